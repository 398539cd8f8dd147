"""The launcher for this machine: each run is a separate process, on one of the devices and with a share of the cores."""

import contextlib
import itertools
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch

from resnet_lab.errors import DivergedError, LockedError
from resnet_lab.record.files import disk_errors
from resnet_lab.record.lock import Owner, this_machine
from resnet_lab.run.device import pick_device
from resnet_lab.sweep.launch import Allocation, Job, Outcome

_POLL_SECONDS = 0.2
_LOOK_SECONDS = 1.0  # between looks at runs that other processes hold
_Task = tuple[Job, str]  # a job and its device
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

    def launch(
        self,
        jobs: Sequence[Job],
        allocation: Allocation,
        stop: Callable[[], int | None],
        retry: Callable[[Outcome], str | None],
    ) -> Iterator[Outcome | str | None]:
        """See Launcher. A run that another process of this machine holds takes a place, since it uses the same cores."""
        assert allocation.device is not None
        devices = itertools.cycle(self._devices(allocation.device))
        pending = _Pending([(job, next(devices)) for job in jobs])
        signalled = False
        try:
            while pending.waiting or pending.running or pending.held:
                if not signalled and (number := stop()) is not None:
                    signalled = True
                    pending.waiting.clear()
                    pending.held.clear()
                    _send(pending.running.values(), number)
                updates: list[Outcome | str] = [*pending.released(), *pending.found_held(allocation.num_jobs)]
                while pending.waiting and pending.num_here < allocation.num_jobs:
                    task = pending.waiting.pop(0)
                    pending.running[task] = self._start(*task, allocation.threads)
                updates += pending.ended(retry, was_stopped=signalled)
                yield from updates
                if not updates and (pending.running or pending.held):
                    time.sleep(_POLL_SECONDS)
                    yield None
        finally:
            _send(pending.running.values(), signal.SIGTERM)
            for process in pending.running.values():
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


class _Pending:
    """The runs that have not ended: waiting to be started, in order; running in processes of this sweep; held by other processes.

    `held` has the last known owner of each run.
    """

    def __init__(self, waiting: list[_Task]) -> None:
        self.waiting = waiting
        self.running: dict[_Task, subprocess.Popen[bytes]] = {}
        self.held: dict[_Task, Owner | None] = {}
        self._reported: set[_Task] = set()
        self._looked_at = -math.inf

    @property
    def num_here(self) -> int:
        """The number of runs that are being trained on this machine."""
        return len(self.running) + sum(owner is None or owner.machine == this_machine() for owner in self.held.values())

    def found_held(self, num_jobs: int) -> Iterator[str]:
        """While a place is free: move waiting runs that another process holds to `held`; yield a message for each, once."""
        if self.num_here < num_jobs:
            for task in list(self.waiting):
                if (owner := task[0].folder.holder()) is not None:
                    self.waiting.remove(task)
                    yield from self._hold(task, owner)

    def released(self) -> Iterator[Outcome]:
        """Yield the outcome of each held run that has ended; one that was released without having ended is next to be started."""
        if time.monotonic() - self._looked_at < _LOOK_SECONDS:
            return
        self._looked_at = time.monotonic()
        for task in list(self.held):
            folder = task[0].folder
            if (owner := folder.holder()) is not None:
                self.held[task] = owner
                continue
            del self.held[task]
            if (end := folder.ending()) is None:
                self.waiting.insert(0, task)
            else:
                yield Outcome(folder, 0 if end.name == "finished" else DivergedError.exit_code)

    def ended(self, retry: Callable[[Outcome], str | None], *, was_stopped: bool) -> Iterator[Outcome | str]:
        """Yield the outcome of each process that has ended, or the message if the run is waited for or started again."""
        for task in [task for task, process in self.running.items() if process.poll() is not None]:
            outcome = Outcome(task[0].folder, _exit_code(self.running.pop(task)), was_stopped=was_stopped)
            if outcome.exit_code == LockedError.exit_code and not was_stopped:
                yield from self._hold(task, task[0].folder.holder())
            elif (message := retry(outcome)) is not None:
                self.waiting.insert(0, task)
                yield message
            else:
                yield outcome

    def _hold(self, task: _Task, owner: Owner | None) -> Iterator[str]:
        self.held[task] = owner
        if owner is not None and task not in self._reported:
            self._reported.add(task)
            yield f"{task[0].folder.path.name} is being trained by {owner}; waiting for it."


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
