"""Start the runs of a sweep, each as a process of its own, several at once; skip, resume and retry are the folders' own.

Every launcher starts the same argv, `python -m resnet_lab train --run DIR`.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from resnet_lab.record.files import disk_errors
from resnet_lab.record.store import RunFolder

_POLL_SECONDS = 0.2
_DIVERGED, _LOCKED = 4, 75


@dataclass(frozen=True)
class Job:
    """A run to start, and what it may use."""

    folder: RunFolder
    data_dir: Path
    device: str
    threads: int

    def argv(self) -> list[str]:
        """The command that starts, resumes or skips the run."""
        options = ["--run", str(self.folder.path), "--data-dir", str(self.data_dir), "--device", self.device]
        return [sys.executable, "-m", "resnet_lab", "train", *options, "--threads", str(self.threads)]

    def environment(self) -> dict[str, str]:
        """This process's environment with the threads of every maths library pinned."""
        threads = str(self.threads)
        return os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}


@dataclass(frozen=True)
class Outcome:
    """How a run's process ended."""

    folder: RunFolder
    exit_code: int
    was_stopped: bool = False

    @property
    def failed(self) -> bool:
        """Whether the run did not finish and the sweep had not asked it to stop."""
        return self.exit_code != 0 and not self.was_stopped


class Launcher(Protocol):
    """Runs jobs, in their order, and yields each as it ends; a stop interrupts those that run and starts no more."""

    def launch(self, jobs: Sequence[Job], stop: Callable[[], int | None]) -> Iterator[Outcome | None]:
        """Yield an Outcome for each job that ends, and None at least once a second while nothing does.

        `stop()` gives the signal to pass on to running jobs, or None.
        """
        ...


class LocalPool:
    """A pool of processes on this machine."""

    def __init__(self, num_jobs: int) -> None:
        self._num_jobs = num_jobs

    def launch(self, jobs: Sequence[Job], stop: Callable[[], int | None]) -> Iterator[Outcome | None]:
        """See Launcher."""
        waiting = list(jobs)
        running: dict[RunFolder, subprocess.Popen[bytes]] = {}
        signalled = False
        try:
            while waiting or running:
                if stop() is not None and not signalled:
                    waiting.clear()
                    _send(running.values(), stop() or signal.SIGTERM)
                    signalled = True
                while waiting and len(running) < self._num_jobs:
                    job = waiting.pop(0)
                    running[job.folder] = _start(job)
                ended = [folder for folder, process in running.items() if process.poll() is not None]
                for folder in ended:
                    yield _outcome(folder, running.pop(folder).returncode, was_stopped=signalled)
                if not ended and running:
                    time.sleep(_POLL_SECONDS)
                    yield None
        finally:
            _send(running.values(), signal.SIGTERM)
            for process in running.values():
                process.wait()


def _start(job: Job) -> "subprocess.Popen[bytes]":
    """Start a job in a session of its own, so that Ctrl-C reaches it once, through the sweep."""
    with disk_errors(job.folder.path), job.folder.log_file.open("ab") as log:
        return subprocess.Popen(
            job.argv(), env=job.environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )


def _send(processes: "Iterable[subprocess.Popen[bytes]]", number: int) -> None:
    for process in list(processes):
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)


def _outcome(folder: RunFolder, exit_code: int, *, was_stopped: bool) -> Outcome:
    exit_code = 128 - exit_code if exit_code < 0 else exit_code  # killed by a signal, as a shell counts it
    outcome = Outcome(folder, exit_code, was_stopped)
    if outcome.failed and exit_code not in (_DIVERGED, _LOCKED):  # a diverged run says so itself, a locked one is another's
        step = max((record.step for record in folder.records()), default=0)
        folder.append_event("failed", step, exit_code=exit_code)
    return outcome


def threads_for(num_jobs: int, num_cores: int) -> int:
    """The cores shared out among jobs that run at once."""
    return max(1, num_cores // num_jobs)


def num_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
