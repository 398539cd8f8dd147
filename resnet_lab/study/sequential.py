"""Intervals of a mean that stay valid if it is looked at after every seed, until it is decided or `max_seeds` are reached.

Alpha spending (Lan and DeMets 1983, Biometrika 70:659) with their function of Pocock's type: after n of N seeds, an error of
alpha * ln(1 + (e - 1) n / N) is spent. Each look spends what its n adds, on an interval that is wider than Student's.

The critical values are those of Student's t, not of its normal approximation, whose intervals are too narrow for few seeds. They
are exact up to the accuracy of a grid: the t statistics of a growing sample of normal values with mean 0 form a Markov chain,
whose distribution `_next_tail` computes from look to look. The function of O'Brien and Fleming's type is of no use here: with
three of ten seeds it spends 0.004 %, and would require a mean of 60 standard deviations.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from resnet_lab.record.sequential import Design

if TYPE_CHECKING:
    import numpy as np

    Array = np.typing.NDArray[np.float64]
    _Tail = Callable[[float | Array], Array]

OVERALL_ERROR = 0.05  # over all looks, half of it on each side
_RIGHT_ANGLE = math.pi / 2 - 1e-9  # where the tangent is still finite
_CELLS = 200  # of the grid; critical values are within 0.2 % of those on a grid of 1,600


@dataclass(frozen=True)
class Bound:
    """The interval at one look. `confidence` is that of a single Student interval of this width."""

    look: int
    num_seeds: int
    confidence: float
    interval: tuple[float, float]


def bounds(values: Sequence[float], design: Design) -> list[Bound]:
    """The interval of the mean at each look so far, for values in the order of the seeds; none before the first look."""
    from scipy.special import stdtr  # noqa: PLC0415  # slow to import, like numpy

    looks = []
    for look, critical in enumerate(critical_values(design.first_look, design.max_seeds), start=1):
        num_seeds = design.first_look + look - 1
        if num_seeds <= len(values):
            mean, half = statistics.fmean(values[:num_seeds]), half_width(design, num_seeds, statistics.stdev(values[:num_seeds]))
            confidence = 1 - 2 * float(stdtr(num_seeds - 1, -critical))
            looks.append(Bound(look, num_seeds, confidence, (mean - half, mean + half)))
    return looks


def half_width(design: Design, num_seeds: int, deviation: float) -> float:
    """Half the width of the interval at the look with `num_seeds` values of this sample standard deviation."""
    critical = critical_values(design.first_look, design.max_seeds)[num_seeds - design.first_look]
    return critical * deviation / math.sqrt(num_seeds)


@cache
def critical_values(first_look: int, max_seeds: int) -> tuple[float, ...]:
    """The critical value of the t statistic at each look, with `first_look`, `first_look` + 1, ..., `max_seeds` values.

    The probability that the statistic of the true mean ever exceeds them is half of OVERALL_ERROR; by symmetry, so is that of the
    other side. They are rounded up to two decimals.
    """
    import numpy as np  # noqa: PLC0415
    from scipy.optimize import brentq  # noqa: PLC0415

    criticals, spent = [], 0.0
    tail = _first_tail(first_look)
    for count in range(first_look, max_seeds + 1):
        spends = _spent(count / max_seeds) - spent
        spent += spends
        edge = brentq(_excess, 0, _RIGHT_ANGLE, args=(tail, spends))
        criticals.append(math.ceil(100 * math.sqrt(count - 1) * math.tan(edge)) / 100)
        edges = np.linspace(-_RIGHT_ANGLE, edge, _CELLS + 1)
        tail = _next_tail((edges[1:] + edges[:-1]) / 2, -np.diff(tail(edges)), count)
    return tuple(criticals)


def _spent(share: float) -> float:
    """The error spent on one side after this share of the seeds: the function of Pocock's type."""
    return OVERALL_ERROR / 2 * math.log(1 + (math.e - 1) * share)


def _excess(angle: float, tail: "_Tail", target: float) -> float:
    return float(tail(angle)) - target


def _first_tail(count: int) -> "_Tail":
    """The probability that the statistic t of `count` normal values of mean 0 exceeds the one at an angle.

    The angle is arctan(t / sqrt(count - 1)); its sine is the cosine between the vectors of the values and of ones.
    """
    import numpy as np  # noqa: PLC0415
    from scipy.special import stdtr  # noqa: PLC0415

    return lambda angle: stdtr(count - 1, -math.sqrt(count - 1) * np.tan(angle))


def _next_tail(cells: "Array", masses: "Array", count: int) -> "_Tail":
    """Like `_first_tail` with one more value, if the angle of `count` values is in one of the `cells` with these probabilities.

    The next value, divided by the norm of the earlier values, is the tangent of an angle a, does not depend on the earlier
    statistics, and is distributed as Student's t with `count` degrees of freedom over sqrt(count). The sine of the next
    statistic's angle is `height` * cos(a - `peak`).
    """
    import numpy as np  # noqa: PLC0415
    from scipy.special import stdtr  # noqa: PLC0415

    slope = math.sqrt(count) * np.sin(cells)
    height, peak = np.sqrt((slope**2 + 1) / (count + 1)), np.arctan2(1, slope)

    def below(angle: "Array") -> "Array":
        return stdtr(count, math.sqrt(count) * np.tan(np.clip(angle, -_RIGHT_ANGLE, _RIGHT_ANGLE)))  # type: ignore[no-any-return]

    def tail(angle: "float | Array") -> "Array":
        width = np.arccos(np.clip(np.sin(angle)[..., None] / height, -1, 1))
        above = below(peak + width) - below(peak - width) + below(peak + width - 2 * math.pi)
        return above @ masses

    return tail
