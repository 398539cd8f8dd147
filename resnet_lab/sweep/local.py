"""The launcher for this machine: each run is a separate process, on one of the devices and with a share of the cores."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch

from resnet_lab.errors import DiskError
from resnet_lab.record.lock import this_machine
from resnet_lab.run.device import pick_device
from resnet_lab.sweep.launch import Allocation, Job, Outcome
from resnet_lab.sweep.pending import Pending
from resnet_lab.sweep.process import PROGRAM, SAVE_SECONDS, exit_code, start_process

_POLL_SECONDS = 0.2


class LocalPool:
    """A pool of processes on this machine. See Launcher.

    `device` and `threads` apply to every run, as in Resources. `num_jobs` is the number of concurrent runs; the default is one
    per core, or one per GPU.
    """

    def __init__(
        self,
        device: str = "auto",
        threads: int | None = None,
        num_jobs: int | None = None,
        program: Sequence[str] = PROGRAM,
    ) -> None:
        self._device, self._threads, self._num_jobs, self._program = device, threads, num_jobs, program

    def allocate(self, num_runs: int) -> Allocation:
        """See Launcher."""
        device = pick_device(self._device)
        max_jobs = num_cores() if device.type == "cpu" else len(self._devices(str(device)))
        num_jobs = min(self._num_jobs or max_jobs, num_runs)
        return Allocation(num_jobs, self._threads or threads_for(num_jobs, num_cores()), str(device))

    def launch(
        self,
        jobs: Sequence[Job],
        allocation: Allocation,
        stop: Callable[[], int | None],
        retry: Callable[[Outcome], str | None],
    ) -> Iterator[Outcome | str | None]:
        """See Launcher. A run that another process of this machine holds takes a place, since it uses the same cores."""
        assert allocation.device is not None
        devices = self._devices(allocation.device)
        pending = Pending["subprocess.Popen[bytes]"](jobs)
        device_of: dict[Job, str] = {}
        signalled = False

        def outcome_of(job: Job, process: "subprocess.Popen[bytes]") -> Outcome | None:
            code = exit_code(process)
            return None if code is None else Outcome(job.folder, code, was_stopped=signalled)

        try:
            while pending:
                if not signalled and (number := stop()) is not None:
                    signalled = True
                    pending.stop()
                    _send(pending.running.values(), number)
                updates: list[Outcome | str] = list(pending.released())
                if _num_here(pending) < allocation.num_jobs:
                    updates += pending.found_held()
                while pending.waiting and _num_here(pending) < allocation.num_jobs:
                    job = pending.waiting.pop(0)
                    in_use = [device_of[running] for running in pending.running]
                    device_of[job] = min(devices, key=in_use.count)
                    try:
                        pending.running[job] = self._start(job, device_of[job], allocation.threads)
                    except DiskError as error:
                        updates += [str(error), Outcome(job.folder, error.exit_code)]
                updates += pending.ended(outcome_of, retry)
                yield from updates
                if not updates and (pending.running or pending.held):
                    time.sleep(_POLL_SECONDS)
                    yield None
        finally:
            _end(pending.running.values(), SAVE_SECONDS if not signalled else 0.0)

    def _devices(self, device: str) -> list[str]:
        """The devices over which jobs are distributed: every GPU, unless one is specified."""
        several = device == "cuda" and torch.cuda.device_count() > 1
        return [f"cuda:{index}" for index in range(torch.cuda.device_count())] if several else [device]

    def _start(self, job: Job, device: str, threads: int) -> "subprocess.Popen[bytes]":
        """Start a job in a new session, so that Ctrl-C reaches it only once, through the sweep."""
        argv = [*self._program, *job.arguments(), "--device", device, "--threads", str(threads)]
        return start_process(argv, job.folder.log_file, threads, new_session=True)


def _num_here(pending: "Pending[subprocess.Popen[bytes]]") -> int:
    """The number of runs that are being trained on this machine."""
    held = pending.held.values()
    return len(pending.running) + sum(owner is None or owner.machine == this_machine() for owner in held)


def _send(processes: "Iterable[subprocess.Popen[bytes]]", number: int) -> None:
    for process in list(processes):
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)


def _end(processes: "Iterable[subprocess.Popen[bytes]]", seconds: float) -> None:
    """Ask the processes to save a checkpoint and end, and kill those that have not ended after so many seconds."""
    _send(processes, signal.SIGTERM)
    end = time.monotonic() + seconds
    for process in processes:
        try:
            process.wait(max(end - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def threads_for(num_jobs: int, num_cores: int) -> int:
    """CPU threads per job, when the cores are divided among concurrent jobs."""
    return max(1, num_cores // num_jobs)


def num_cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
