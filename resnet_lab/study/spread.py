"""Statistics over seeds: mean, standard deviation, confidence interval, and an exact test of paired differences."""

import bisect
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

FEWEST_FOR_INTERVAL = 3
_CONFIDENCE = 0.95
_MOST_EXACT, _NUM_RANDOM = 32, 100_000  # of the sign-flip test


@dataclass(frozen=True)
class Spread:
    """One value per seed, in the order of the seeds."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean over seeds."""
        return statistics.fmean(self.values)

    @cached_property
    def deviation(self) -> float | None:
        """Sample standard deviation; None with fewer than two seeds."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """Student's 95 % interval of the mean; None with fewer than three seeds (with two, it spans ± nine deviations)."""
        if len(self.values) < FEWEST_FOR_INTERVAL or self.deviation is None:
            return None
        half = half_width(len(self.values), self.deviation)
        return self.mean - half, self.mean + half


def half_width(num_seeds: int, deviation: float) -> float:
    """Half the width of Student's 95 % interval of the mean of `num_seeds` values with this sample standard deviation."""
    from scipy.special import stdtrit  # noqa: PLC0415  # takes 0.2 s to import, and most comparisons have one seed

    return float(stdtrit(num_seeds - 1, (1 + _CONFIDENCE) / 2)) * deviation / math.sqrt(num_seeds)


@lru_cache(maxsize=64)
def sign_flip_p(differences: tuple[float, ...]) -> float:
    """One-sided p-value of a mean paired difference above zero (Fisher's randomisation test), exact for up to 32 differences.

    Under the null hypothesis all 2^n sign assignments are equally likely; p is the share whose sum is at least the observed one.
    The differences are split into two halves, one with sorted sums, so that only 2^(n/2) sums are held in memory. For more
    differences, p is estimated from 100,000 random assignments, always the same ones.
    """
    if len(differences) > _MOST_EXACT:
        return _estimated_p(differences)
    middle = len(differences) // 2
    left, right = _signed_sums(differences[:middle]), sorted(_signed_sums(differences[middle:]))
    observed = math.fsum(differences)
    tolerance = 1e-9 * max(1.0, math.fsum(map(abs, differences)))
    at_least = sum(len(right) - bisect.bisect_left(right, observed - partial - tolerance) for partial in left)
    return at_least / (len(left) * len(right))


def _estimated_p(differences: tuple[float, ...]) -> float:
    """The p-value from random assignments; the observed one counts as one of them."""
    import numpy as np  # noqa: PLC0415  # for more seeds than most studies have

    signs = np.random.default_rng(0).integers(0, 2, size=(_NUM_RANDOM, len(differences)), dtype=np.int8) * 2 - 1
    tolerance = 1e-9 * max(1.0, math.fsum(map(abs, differences)))
    at_least = int((signs @ np.array(differences) >= math.fsum(differences) - tolerance).sum())
    return (at_least + 1) / (_NUM_RANDOM + 1)


def _signed_sums(values: Sequence[float]) -> list[float]:
    sums = [0.0]
    for value in values:
        sums = [total + sign * value for total in sums for sign in (1, -1)]
    return sums
