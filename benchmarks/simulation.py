"""A simulation of a study on GPUs that are preempted: when does the last run end? Used by `scale.py simulation`."""

import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Preemptions:
    """Every GPU is taken away without warning every `interval` seconds, first after a random part of it, and returned at once.

    Its runs lose what they have trained since their last checkpoint, at most `checkpoint` seconds, and need `restart` seconds
    until they train again. Times are in seconds. Raises ValueError if runs would not progress.
    """

    interval: float = 4 * 3600.0
    checkpoint: float = 120.0
    restart: float = 60.0

    def __post_init__(self) -> None:
        if self.interval <= self.restart + self.checkpoint:
            raise ValueError("between two preemptions there must be time for a restart and a checkpoint")


@dataclass(frozen=True)
class Outcome:
    """The seconds until the last run ends, the number of interruptions of runs, and the seconds of training that they cost."""

    makespan: float
    interruptions: int
    lost: float


def lower_bound(work: Sequence[float], places: int) -> float:
    """No schedule of runs of these seconds is shorter, with this many runs at once."""
    return max(sum(work) / places, *work)


def simulate(
    work: Sequence[float], gpus: int, runs_per_gpu: int = 1, preemptions: Preemptions | None = None, seed: int = 0
) -> Outcome:
    """Start runs of these seconds, longest first, whenever a place is free. A run stays on its GPU when that is preempted."""
    source = random.Random(seed)
    first = [source.random() * preemptions.interval if preemptions else 0.0 for _ in range(gpus)]
    free = [(0.0, place) for place in range(gpus * runs_per_gpu)]  # when each place is free
    interruptions, lost = 0, 0.0
    for seconds in sorted(work, reverse=True):
        begin, place = heapq.heappop(free)
        if preemptions is None:
            end = begin + seconds
        else:
            end, count, lost_seconds = _end(seconds, begin, first[place % gpus], preemptions)
            interruptions, lost = interruptions + count, lost + lost_seconds
        heapq.heappush(free, (end, place))
    return Outcome(max(end for end, _ in free), interruptions, lost)


def _end(seconds: float, begin: float, first: float, preemptions: Preemptions) -> tuple[float, int, float]:
    """When a run ends that begins at `begin` on a GPU first preempted at `first`; its interruptions, and the time lost."""
    now, interruptions, lost = begin, 0, 0.0
    number = 0 if begin < first else int((begin - first) // preemptions.interval) + 1
    while now + seconds > (preempted := first + number * preemptions.interval):
        since_checkpoint = (preempted - now) % preemptions.checkpoint
        seconds -= preempted - now - since_checkpoint
        lost += since_checkpoint
        now = preempted + preemptions.restart
        interruptions += 1
        number += 1
    return now + seconds, interruptions, lost
