"""The interface of launchers, which start the runs of a sweep, several at once, on resources that they manage.

Every launcher starts `python -m resnet_lab train --run DIR`, which skips, resumes or retries the run according to its folder.
`local.py` has the launcher for this machine. To add one, write a class with the methods of `Launcher` and pass it to `plan`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from resnet_lab.errors import DivergedError, LockedError
from resnet_lab.record.store import RunFolder

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


@dataclass(frozen=True)
class Allocation:
    """A launcher's resources for a sweep: the number of concurrent runs, and the CPU threads and the device of each.

    The planner measures the speed with this number of threads on this device; `cuda` means all GPUs.
    """

    num_jobs: int
    threads: int
    device: str


class Launcher(Protocol):
    """Runs jobs on resources that it allocates itself."""

    def allocate(self, num_runs: int) -> Allocation:
        """Return the resources for a sweep of this many runs. Raises ConfigError."""
        ...

    def launch(self, jobs: Sequence[Job], allocation: Allocation, stop: Callable[[], int | None]) -> Iterator[Outcome | None]:
        """Start the jobs in order; yield an Outcome whenever one ends, and None at least once a second in between.

        `stop()` returns the number of the signal to pass on to running jobs, or None. After a signal no more jobs are started.
        """
        ...


def start(
    launcher: Launcher, jobs: Sequence[Job], allocation: Allocation, stop: Callable[[], int | None]
) -> Iterator[Outcome | None]:
    """Launch the jobs, and record a `failed` event for each run whose process failed. Yields like Launcher.launch."""
    for outcome in launcher.launch(jobs, allocation, stop):
        if outcome is not None and outcome.failed and outcome.exit_code not in _NOT_FAILED:
            step = max((record.step for record in outcome.folder.records()), default=0)
            outcome.folder.append_event("failed", step, exit_code=outcome.exit_code)
        yield outcome
