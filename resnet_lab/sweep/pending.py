"""The runs of a sweep that have not ended, whatever starts them."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from resnet_lab.errors import DivergedError, LockedError
from resnet_lab.record.lock import Owner
from resnet_lab.sweep.launch import Job, Outcome

_LOOK_SECONDS = 1.0  # between looks at runs that other processes hold
P = TypeVar("P")


class Pending(Generic[P]):
    """The jobs that have not ended: waiting to be started, in order; running, each in a process P; held by other processes.

    `held` has the last known owner of each run.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.waiting = list(jobs)
        self.running: dict[Job, P] = {}
        self.held: dict[Job, Owner | None] = {}
        self._reported: set[Job] = set()
        self._looked_at = -math.inf

    def __bool__(self) -> bool:
        return bool(self.waiting or self.running or self.held)

    def stop(self) -> None:
        """Start no more jobs, and wait for no other processes."""
        self.waiting.clear()
        self.held.clear()

    def found_held(self) -> Iterator[str]:
        """Move waiting runs that another process holds to `held`; yield a message for each, once."""
        for job in list(self.waiting):
            if (owner := job.folder.holder()) is not None:
                self.waiting.remove(job)
                yield from self._hold(job, owner)

    def released(self) -> Iterator[Outcome]:
        """Yield the outcome of each held run that has ended; one that was released without having ended is next to be started."""
        if time.monotonic() - self._looked_at < _LOOK_SECONDS:
            return
        self._looked_at = time.monotonic()
        for job in list(self.held):
            if (owner := job.folder.holder()) is not None:
                self.held[job] = owner
                continue
            del self.held[job]
            if (end := job.folder.ending()) is None:
                self.waiting.insert(0, job)
            else:
                yield Outcome(job.folder, 0 if end.name == "finished" else DivergedError.exit_code)

    def ended(
        self, outcome_of: Callable[[Job, P], Outcome | None], retry: Callable[[Outcome], str | None]
    ) -> Iterator[Outcome | str]:
        """Yield the outcome of each process that has ended, or the message if the run is waited for or started again.

        `outcome_of` returns None if the process is still running.
        """
        for job, process in list(self.running.items()):
            if (outcome := outcome_of(job, process)) is None:
                continue
            del self.running[job]
            if outcome.exit_code == LockedError.exit_code and not outcome.was_stopped:
                yield from self._hold(job, job.folder.holder())
            elif (message := retry(outcome)) is not None:
                self.waiting.insert(0, job)
                yield message
            else:
                yield outcome

    def _hold(self, job: Job, owner: Owner | None) -> Iterator[str]:
        self.held[job] = owner
        if owner is not None and job not in self._reported:
            self._reported.add(job)
            yield f"{job.folder.path.name} is being trained by {owner}; waiting for it."
