"""The interface of launchers, which start the runs of a sweep, several at once, on resources that they manage.

Every launcher starts `python -m resnet_lab train --run DIR`, which skips, resumes or retries the run according to its folder.
`local.py` has the launcher for this machine. To add one, write a class with the methods of `Launcher` and pass it to `plan`.
`slurm.py` submits the runs and `k8s.py` prints what Kubernetes starts, so both are only an `Allocator`.
"""

import contextlib
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from resnet_lab.errors import ConfigError, DiskError, DivergedError, LockedError, retryable
from resnet_lab.record.store import RunFolder

MAX_RETRIES = 2  # of each run in a sweep
_SIGKILL = 9
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # of the maths libraries, read when they load
_NOT_FAILED = (DivergedError.exit_code, LockedError.exit_code)  # a diverged run records that itself; a locked one runs elsewhere


@dataclass(frozen=True)
class Job:
    """A run to start."""

    folder: RunFolder
    data_dir: Path

    def arguments(self) -> list[str]:
        """Arguments of `resnet-lab` that start, resume or skip the run; a launcher adds device and threads.

        The run makes no forecast of its own, since the sweep has already measured the speed.
        """
        return ["train", "--run", str(self.folder.path), "--data-dir", str(self.data_dir), "--no-forecast"]


@dataclass(frozen=True)
class Outcome:
    """How a run's process ended."""

    folder: RunFolder
    exit_code: int
    was_stopped: bool = False

    @property
    def failed(self) -> bool:
        """Whether the run ended with an error without having been stopped by the sweep."""
        return self.exit_code != 0 and not self.was_stopped

    @property
    def killed_by(self) -> int | None:
        """The number of the signal that ended the process; None if it ended by itself."""
        return self.exit_code - 128 if self.exit_code > 128 else None


@dataclass(frozen=True)
class Allocation:
    """A launcher's resources for a sweep: the number of concurrent runs, and the CPU threads and the device of each.

    The planner measures the speed with this number of threads on this device; `cuda` means all GPUs. The device is None if other
    machines train, whose speed is not measured.
    """

    num_jobs: int
    threads: int
    device: str | None


class Retries:
    """Decides which runs of a sweep are started again, at most twice each: see `retryable`, unless the sweep stopped them."""

    def __init__(self) -> None:
        self._counts: Counter[RunFolder] = Counter()

    def retry(self, outcome: Outcome) -> str | None:
        """What to say of a run that is to be started again now, which counts; None if it is not."""
        if outcome.was_stopped or not retryable(outcome.exit_code) or self._counts[outcome.folder] == MAX_RETRIES:
            return None
        self._counts[outcome.folder] += 1
        number = outcome.killed_by
        reason = f"ended with exit code {outcome.exit_code}" if number is None else f"was killed (signal {number})"
        reason += ", perhaps for lack of memory" if number == _SIGKILL else ""
        return f"{outcome.folder.path.name} {reason}; starting it again, {self._counts[outcome.folder]} of {MAX_RETRIES}."


class Allocator(Protocol):
    """Knows the resources that a sweep has."""

    def allocate(self, num_runs: int) -> Allocation:
        """Return the resources for a sweep of this many runs. Raises ConfigError."""
        ...


class Launcher(Allocator, Protocol):
    """Runs jobs on resources that it allocates itself."""

    def launch(
        self,
        jobs: Sequence[Job],
        allocation: Allocation,
        stop: Callable[[], int | None],
        retry: Callable[[Outcome], str | None],
    ) -> Iterator[Outcome | str | None]:
        """Start the jobs in order; yield an Outcome whenever one ends, and None at least once a second in between.

        `stop()` returns the number of the signal to pass on to running jobs, or None. After a signal no more jobs are started.
        If `retry(outcome)` returns a message, the launcher yields it instead of the outcome and starts the job again. A run that
        another process holds is waited for; then it has ended, or it is started.
        """
        ...


def start(
    launcher: Launcher, jobs: Sequence[Job], allocation: Allocation, stop: Callable[[], int | None]
) -> Iterator[Outcome | str | None]:
    """Launch the jobs, and record a `failed` event for each run whose process failed. Yields like Launcher.launch."""
    for update in launcher.launch(jobs, allocation, stop, Retries().retry):
        if isinstance(update, Outcome) and update.failed and update.exit_code not in _NOT_FAILED:
            signalled = {} if update.killed_by is None else {"signal": _signal_name(update.killed_by)}
            with contextlib.suppress(ConfigError, DiskError):  # a full disk, or a folder that is gone, must not end other runs
                step = max((record.step for record in update.folder.records()), default=0)
                update.folder.append_event("failed", step, exit_code=update.exit_code, **signalled)
        yield update


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # of another system
        return str(number)
