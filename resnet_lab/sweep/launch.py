"""What a launcher is: it starts the runs of a sweep, several at once, on resources of its own.

Every launcher starts `python -m resnet_lab train --run DIR`; skip, resume and retry are the run folder's. `local.py` has the one
for this machine. Another one is another class with the methods of `Launcher`, given to `plan`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from resnet_lab.errors import DivergedError, LockedError
from resnet_lab.record.store import RunFolder

_RECORDED = (DivergedError.exit_code, LockedError.exit_code)  # a diverged run records it itself, a locked one is another's


@dataclass(frozen=True)
class Job:
    """A run to start."""

    folder: RunFolder
    data_dir: Path

    def arguments(self) -> list[str]:
        """Arguments of `resnet-lab` that start, resume or skip the run; a launcher adds device and threads.

        The sweep has measured this machine's speed, which the run does not repeat for a forecast of its own.
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
        """Whether the run did not finish and the sweep had not asked it to stop."""
        return self.exit_code != 0 and not self.was_stopped


@dataclass(frozen=True)
class Allocation:
    """What a launcher has for a sweep: how many runs at once, and the CPU threads and the device of each.

    A plan measures speed with as many threads on this device; `cuda` stands for all GPUs.
    """

    num_jobs: int
    threads: int
    device: str


class Launcher(Protocol):
    """Runs jobs on resources that it decides on."""

    def allocate(self, num_runs: int) -> Allocation:
        """What it has for a sweep of so many runs. Raises ConfigError."""
        ...

    def launch(self, jobs: Sequence[Job], allocation: Allocation, stop: Callable[[], int | None]) -> Iterator[Outcome | None]:
        """Start jobs in their order; yield an Outcome for each that ends, and None at least once a second while nothing does.

        `stop()` gives the signal to pass on to running jobs, or None. After a signal no more are started.
        """
        ...


def start(
    launcher: Launcher, jobs: Sequence[Job], allocation: Allocation, stop: Callable[[], int | None]
) -> Iterator[Outcome | None]:
    """Launch the jobs, and record the failure of a run that could not do so itself. Yields as Launcher.launch does."""
    for outcome in launcher.launch(jobs, allocation, stop):
        if outcome is not None and outcome.failed and outcome.exit_code not in _RECORDED:
            step = max((record.step for record in outcome.folder.records()), default=0)
            outcome.folder.append_event("failed", step, exit_code=outcome.exit_code)
        yield outcome
