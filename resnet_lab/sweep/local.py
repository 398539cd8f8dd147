"""The launcher for this machine: each run is a separate process, on one of the devices and with a share of the cores."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch

from resnet_lab.record.files import disk_errors
from resnet_lab.record.store import RunFolder
from resnet_lab.run.device import pick_device
from resnet_lab.sweep.launch import Allocation, Job, Outcome

_POLL_SECONDS = 0.2
_PROGRAM = (sys.executable, "-m", "resnet_lab")


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
        program: Sequence[str] = _PROGRAM,
    ) -> None:
        self._device, self._threads, self._num_jobs, self._program = device, threads, num_jobs, program

    def allocate(self, num_runs: int) -> Allocation:
        """See Launcher."""
        device = pick_device(self._device)
        max_jobs = num_cores() if device.type == "cpu" else len(self._devices(str(device)))
        num_jobs = min(self._num_jobs or max_jobs, num_runs)
        return Allocation(num_jobs, self._threads or threads_for(num_jobs, num_cores()), str(device))

    def launch(self, jobs: Sequence[Job], allocation: Allocation, stop: Callable[[], int | None]) -> Iterator[Outcome | None]:
        """See Launcher."""
        devices = self._devices(allocation.device)
        waiting = [(job, devices[index % len(devices)]) for index, job in enumerate(jobs)]
        running: dict[RunFolder, subprocess.Popen[bytes]] = {}
        signalled = False
        try:
            while waiting or running:
                if stop() is not None and not signalled:
                    waiting.clear()
                    _send(running.values(), stop() or signal.SIGTERM)
                    signalled = True
                while waiting and len(running) < allocation.num_jobs:
                    job, device = waiting.pop(0)
                    running[job.folder] = self._start(job, device, allocation.threads)
                ended = [folder for folder, process in running.items() if process.poll() is not None]
                for folder in ended:
                    yield Outcome(folder, _exit_code(running.pop(folder)), was_stopped=signalled)
                if not ended and running:
                    time.sleep(_POLL_SECONDS)
                    yield None
        finally:
            _send(running.values(), signal.SIGTERM)
            for process in running.values():
                process.wait()

    def _devices(self, device: str) -> list[str]:
        """The devices over which jobs are distributed in turn: every GPU, unless one is specified."""
        several = device == "cuda" and torch.cuda.device_count() > 1
        return [f"cuda:{index}" for index in range(torch.cuda.device_count())] if several else [device]

    def _start(self, job: Job, device: str, threads: int) -> "subprocess.Popen[bytes]":
        """Start a job in a new session, so that Ctrl-C reaches it only once, through the sweep."""
        argv = [*self._program, *job.arguments(), "--device", device, "--threads", str(threads)]
        with disk_errors(job.folder.path), job.folder.log_file.open("ab") as log:
            return subprocess.Popen(
                argv, env=_environment(threads), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )


def _environment(threads: int) -> dict[str, str]:
    """This process's environment with the number of threads of every maths library pinned."""
    return os.environ | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))


def _send(processes: "Iterable[subprocess.Popen[bytes]]", number: int) -> None:
    for process in list(processes):
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)


def _exit_code(process: "subprocess.Popen[bytes]") -> int:
    """The exit code as in a shell: 128 plus the number of the signal for a process killed by one."""
    code: int = process.returncode
    return 128 - code if code < 0 else code


def threads_for(num_jobs: int, num_cores: int) -> int:
    """CPU threads per job, when the cores are divided among concurrent jobs."""
    return max(1, num_cores // num_jobs)


def num_cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
