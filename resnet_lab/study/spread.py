"""What several seeds say: mean, deviation, interval, and an exact test of paired differences."""

import bisect
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

FEWEST_FOR_INTERVAL = 3
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Spread:
    """One value a seed, in the order of the seeds."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return statistics.fmean(self.values)

    @cached_property
    def deviation(self) -> float | None:
        """Sample standard deviation, from two seeds on."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """Student's 95 % interval of the mean over seeds, from three seeds on: with two its half is nine deviations wide."""
        if len(self.values) < FEWEST_FOR_INTERVAL or self.deviation is None:
            return None
        half = half_width(len(self.values), self.deviation)
        return self.mean - half, self.mean + half


def half_width(num_seeds: int, deviation: float) -> float:
    """Half of Student's 95 % interval of a mean of so many values with this sample deviation."""
    from scipy.special import stdtrit  # noqa: PLC0415  # a fifth of a second, and most comparisons have one seed

    return float(stdtrit(num_seeds - 1, (1 + _CONFIDENCE) / 2)) * deviation / math.sqrt(num_seeds)


def sign_flip_p(differences: Sequence[float]) -> float:
    """Exact one-sided p-value that the mean of paired differences is no larger than zero (Fisher's randomisation test).

    Were the sides of each pair exchangeable, every one of the 2^n choices of signs would be equally likely: p is the share of
    those whose sum is at least the observed one. The sums are those of two halves, one of them sorted, so that 2^(n/2) numbers
    are held for n seeds.
    """
    middle = len(differences) // 2
    left, right = _signed_sums(differences[:middle]), sorted(_signed_sums(differences[middle:]))
    observed = math.fsum(differences)
    tolerance = 1e-9 * max(1.0, math.fsum(map(abs, differences)))
    at_least = sum(len(right) - bisect.bisect_left(right, observed - partial - tolerance) for partial in left)
    return at_least / (len(left) * len(right))


def _signed_sums(values: Sequence[float]) -> list[float]:
    sums = [0.0]
    for value in values:
        sums = [total + sign * value for total in sums for sign in (1, -1)]
    return sums
