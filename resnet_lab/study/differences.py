"""Differences that are paired over seeds: deeper minus shallower, residual minus plain, and how these go together."""

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

from resnet_lab.config.terms import KINDS, PROJECTION_VARIANTS, RESIDUAL_VARIANTS, VARIANTS
from resnet_lab.record.lines import EvalRecord
from resnet_lab.record.store import Run
from resnet_lab.study.spread import FEWEST_FOR_INTERVAL, Spread, half_width, sign_flip_p

Shown = Literal["shown", "not shown", "undecided"]
# The smallest difference that matters, and what one or two seeds alone can decide. Over two or three seeds, training errors of
# the demo's networks had standard deviations of 0.2 to 3.1 points, most of them 1 to 2.
MATTERS = 0.02
MANY_SEEDS = 50
Last = dict[tuple[str, int, int], EvalRecord]  # by variant, depth and seed


@dataclass(frozen=True)
class Difference:
    """One side minus another, paired over the seeds that both have."""

    name: str
    seeds: tuple[int, ...]
    train_error: Spread
    test_error: Spread


@dataclass(frozen=True)
class Gap(Difference):
    """Deepest minus shallowest of a variant: the degradation, where it is positive.

    `margin` is twice the standard error with which two training errors on that many images differ by chance of the images
    alone. `p_value` is that of the exact one-sided sign-flip test of the training error, the primary endpoint.
    """

    variant: str
    shallow: int
    deep: int
    shallow_train_error: float
    deep_train_error: float
    margin: float

    @property
    def p_value(self) -> float:
        """Of the differences in training error being no larger than zero; never below 2^-n with n seeds."""
        return sign_flip_p(self.train_error.values)

    @property
    def degradation(self) -> Shown:
        """Whether deeper nets of this variant have the higher training error.

        From three seeds on the 95 % interval of the difference decides: above zero it is shown, below MATTERS not shown. One or
        two seeds show it where all differ by more than MATTERS, and do not where none differs by more than the margin.
        """
        interval = self.train_error.interval
        if interval is not None:
            return _decided(*interval)
        if all(gap > max(MATTERS, self.margin) for gap in self.train_error.values):
            return "shown"
        return "not shown" if all(gap <= self.margin for gap in self.train_error.values) else "undecided"

    @property
    def seeds_needed(self) -> int | None:
        """How many more seeds would decide if they spread as these do: 0 if decided, None if more than 50 would not."""
        if self.degradation != "undecided":
            return 0
        have, deviation = len(self.seeds), self.train_error.deviation
        if self.train_error.interval is None or deviation is None:
            return FEWEST_FOR_INTERVAL - have
        for more in range(1, MANY_SEEDS + 1):
            half = half_width(have + more, deviation)
            if _decided(self.train_error.mean - half, self.train_error.mean + half) != "undecided":
                return more
        return None


def _decided(low: float, high: float) -> Shown:
    return "shown" if low > 0 else "not shown" if high < MATTERS else "undecided"


def gaps_of(runs: Sequence[Run]) -> Iterator[Gap]:
    """The gap of every variant that has one."""
    for variant in VARIANTS:
        gap = _gap(variant, runs)
        if gap is not None:
            yield gap


def _gap(variant: str, runs: Iterable[Run]) -> Gap | None:
    """Deepest minus shallowest among the depths of a variant; None where deepest and shallowest share no seed."""
    last = _last(runs)
    extremes = _extremes(variant, last)
    if extremes is None:
        return None
    shallow, deep = extremes
    seeds = _shared(last, (variant, shallow), (variant, deep))
    if not seeds:
        return None
    pairs = [(last[variant, shallow, seed], last[variant, deep, seed]) for seed in seeds]
    variance = statistics.fmean(
        sum(record.train_error * (1 - record.train_error) / record.train_images for record in pair) for pair in pairs
    )
    return Gap(
        name=f"{variant}, {deep} - {shallow}",
        seeds=tuple(seeds),
        train_error=Spread(tuple(high.train_error - low.train_error for low, high in pairs)),
        test_error=Spread(tuple(high.test_error - low.test_error for low, high in pairs)),
        variant=variant,
        shallow=shallow,
        deep=deep,
        shallow_train_error=statistics.fmean(low.train_error for low, _ in pairs),
        deep_train_error=statistics.fmean(high.train_error for _, high in pairs),
        margin=2 * math.sqrt(variance),
    )


def gains_of(runs: Iterable[Run]) -> Iterator[Difference]:
    """Residual minus plain at every depth that has both, shortcut by shortcut."""
    last = _last(runs)
    for depth, variant in product(sorted({depth for _, depth, _ in last}), RESIDUAL_VARIANTS):
        seeds = _shared(last, ("plain", depth), (variant, depth))
        if seeds:
            pairs = [(last["plain", depth, seed], last[variant, depth, seed]) for seed in seeds]
            yield Difference(
                f"{variant} - plain at {depth}",
                tuple(seeds),
                Spread(tuple(residual.train_error - plain.train_error for plain, residual in pairs)),
                Spread(tuple(residual.test_error - plain.test_error for plain, residual in pairs)),
            )


def interaction_of(runs: Iterable[Run]) -> Difference | None:
    """How much more a residual net of option A gains from depth than a plain one; None where not all four share a seed."""
    last = _last(runs)
    extremes = _extremes("plain", last)
    if extremes is None or extremes != _extremes("residual", last):
        return None
    shallow, deep = extremes
    seeds = _shared(last, *((kind, depth) for kind in KINDS for depth in extremes))
    if not seeds:
        return None

    def _of(error: Callable[[EvalRecord], float]) -> Spread:
        return Spread(
            tuple(
                (error(last["residual", deep, seed]) - error(last["residual", shallow, seed]))
                - (error(last["plain", deep, seed]) - error(last["plain", shallow, seed]))
                for seed in seeds
            )
        )

    others = any(variant in PROJECTION_VARIANTS for variant, _, _ in last)
    name = "interaction, option A" if others else "interaction"
    return Difference(name, tuple(seeds), _of(lambda record: record.train_error), _of(lambda record: record.test_error))


def _last(runs: Iterable[Run]) -> Last:
    """The last evaluation of each run."""
    return {(run.config.model.variant, run.config.model.depth, run.config.seed): run.evaluations[-1] for run in runs}


def _extremes(variant: str, last: Last) -> tuple[int, int] | None:
    """The shallowest and the deepest of a variant, if there are two depths."""
    depths = sorted({depth for each, depth, _ in last if each == variant})
    return (depths[0], depths[-1]) if len(depths) > 1 else None


def _shared(last: Last, *sides: tuple[str, int]) -> list[int]:
    """The seeds that all these variants and depths have."""
    seeds = sorted({seed for _, _, seed in last})
    return [seed for seed in seeds if all((*side, seed) in last for side in sides)]
