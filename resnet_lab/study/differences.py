"""Differences paired over seeds: deeper minus shallower, residual minus plain, and the interaction of the two."""

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Literal

from resnet_lab.config.terms import KINDS, PROJECTION_VARIANTS, RESIDUAL_VARIANTS, VARIANTS
from resnet_lab.record.lines import EvalRecord
from resnet_lab.record.sequential import Design
from resnet_lab.record.store import Run
from resnet_lab.study import sequential
from resnet_lab.study.sequential import Bound
from resnet_lab.study.spread import FEWEST_FOR_INTERVAL, Spread, half_width, sign_flip_p

Degradation = Literal["shown", "not shown", "undecided"]
MATTERS = 0.02  # the smallest difference that counts as degradation
# How far the gap of one seed may be from the mean over seeds: 1.7 times the largest standard deviation of a gap over the seeds of
# a study in reference/, which is 3.0 points.
SEED_MARGIN = 0.05
MANY_SEEDS = 50
Last = dict[tuple[str, int, int], EvalRecord]  # by variant, depth and seed


@dataclass(frozen=True)
class Difference:
    """The difference of two groups of runs, paired over the seeds that both have. Errors are fractions."""

    name: str
    seeds: tuple[int, ...]
    train_error: Spread
    test_error: Spread


@dataclass(frozen=True)
class Gain(Difference):
    """Residual network of a variant minus the plain network of the same depth; below zero, the residual one is better."""

    variant: str
    depth: int


@dataclass(frozen=True)
class Gap(Difference):
    """Deepest minus shallowest network of a variant; a positive gap in training error is degradation.

    `margin` is twice the binomial standard error of the difference of two training errors measured on so many images. `p_value`
    is for the training error, the primary endpoint. With a `design`, seeds are in the order in which they were added.
    `diverged_shallow` and `diverged_deep` have the names of diverged runs of the two networks, or of deeper ones that therefore
    have no gap. Without these, the other seeds are a biased sample: the mean gap is too large without shallow runs, and too small
    without deep ones. `is_withheld` is whether the study's design is lost.
    """

    variant: str
    shallow: int
    deep: int
    shallow_train_error: float
    deep_train_error: float
    margin: float
    design: Design | None = None
    diverged_shallow: tuple[str, ...] = ()
    diverged_deep: tuple[str, ...] = ()
    is_withheld: bool = False

    @property
    def diverged(self) -> tuple[str, ...]:
        """The names of all diverged runs that bear on the gap."""
        return self.diverged_shallow + self.diverged_deep

    @property
    def p_value(self) -> float:
        """One-sided sign-flip test of a mean gap above zero; at least 2^-n with n seeds. It does not allow for looks."""
        return sign_flip_p(self.train_error.values)

    @cached_property
    def bound(self) -> Bound | None:
        """The interval at the first look that decided, else at the newest; None without a design or before the first look."""
        looks = sequential.bounds(self.train_error.values, self.design) if self.design else []
        return next((look for look in looks if _decided(*look.interval) != "undecided"), looks[-1] if looks else None)

    @property
    def degradation(self) -> Degradation:
        """Whether the deeper net of this variant has the higher training error.

        With three or more seeds: shown if the 95 % interval lies above zero, not shown if it lies below MATTERS. With one or two
        seeds, the same for an interval of SEED_MARGIN (or `margin`, if that is larger) around every gap. With a design, the
        interval is that of `bound`, and there is no verdict before the first look. Diverged runs rule out a verdict in whose
        favour their absence would be: shallow ones "shown", deep ones "not shown".
        """
        verdict = "undecided" if self.is_withheld else self._degradation
        favoured = {"shown": self.diverged_shallow, "not shown": self.diverged_deep}
        return "undecided" if favoured.get(verdict) else verdict

    @property
    def _degradation(self) -> Degradation:
        """The verdict of the finished runs."""
        if self.design is not None:
            return "undecided" if self.bound is None else _decided(*self.bound.interval)
        interval = self.train_error.interval
        if interval is not None:
            return _decided(*interval)
        margin = max(SEED_MARGIN, self.margin)
        verdicts = {_decided(gap - margin, gap + margin) for gap in self.train_error.values}
        return verdicts.pop() if len(verdicts) == 1 else "undecided"

    @property
    def seeds_needed(self) -> int | None:
        """More seeds needed to decide, assuming the same mean and deviation: 0 if already decided.

        None if 50 more would not suffice, or the most that the design allows, and if runs have diverged or the design is lost.
        """
        if self.degradation != "undecided":
            return 0
        if self.diverged or self.is_withheld:
            return None
        num_seeds, deviation = len(self.seeds), self.train_error.deviation
        fewest = FEWEST_FOR_INTERVAL if self.design is None else self.design.first_look
        if num_seeds < fewest or deviation is None:
            return fewest - num_seeds
        most = num_seeds + MANY_SEEDS if self.design is None else self.design.max_seeds
        for number in range(num_seeds + 1, most + 1):
            half = half_width(number, deviation) if self.design is None else sequential.half_width(self.design, number, deviation)
            if _decided(self.train_error.mean - half, self.train_error.mean + half) != "undecided":
                return number - num_seeds
        return None


def _decided(low: float, high: float) -> Degradation:
    return "shown" if low > 0 else "not shown" if high < MATTERS else "undecided"


def gaps_of(
    runs: Sequence[Run], design: Design | None = None, diverged: Sequence[Run] = (), *, is_withheld: bool = False
) -> Iterator[Gap]:
    """Yield the gap of every variant that has finished runs at two depths with a common seed.

    `design` is the study's; `is_withheld` is whether it is lost. `diverged` are the runs of this recipe that have diverged.
    """
    for variant in VARIANTS:
        gap = _gap(variant, runs, design)
        if gap is not None:
            has_fixed_depths = design is not None and design.depths is not None
            lost = [(run.name, run.config.model.depth) for run in diverged if run.config.model.variant == variant]
            yield replace(
                gap,
                diverged_shallow=tuple(name for name, depth in lost if depth == gap.shallow),
                diverged_deep=tuple(
                    name for name, depth in lost if depth == gap.deep or (depth > gap.deep and not has_fixed_depths)
                ),
                is_withheld=is_withheld,
            )


def _gap(variant: str, runs: Iterable[Run], design: Design | None) -> Gap | None:
    """The gap of a variant; None if it has fewer than two depths or its extremes share no seed."""
    last = _last(runs)
    extremes = _extremes(variant, last, design)
    if extremes is None:
        return None
    shallow, deep = extremes
    seeds = _shared(last, (variant, shallow), (variant, deep))
    if not seeds:
        return None
    if design is not None:
        seeds = design.ordered(seeds)
    pairs = [(last[variant, shallow, seed], last[variant, deep, seed]) for seed in seeds]
    variance = statistics.fmean(
        sum(record.train_error * (1 - record.train_error) / record.train_images for record in pair) for pair in pairs
    )
    return Gap(
        name=f"{variant}, {deep} - {shallow}",
        seeds=tuple(seeds),
        train_error=Spread(tuple(deeper.train_error - shallower.train_error for shallower, deeper in pairs)),
        test_error=Spread(tuple(deeper.test_error - shallower.test_error for shallower, deeper in pairs)),
        variant=variant,
        shallow=shallow,
        deep=deep,
        shallow_train_error=statistics.fmean(shallower.train_error for shallower, _ in pairs),
        deep_train_error=statistics.fmean(deeper.train_error for _, deeper in pairs),
        margin=2 * math.sqrt(variance),
        design=design,
    )


def gains_of(runs: Iterable[Run]) -> Iterator[Gain]:
    """Yield residual minus plain at every depth that has both, for each shortcut option."""
    last = _last(runs)
    for depth, variant in product(sorted({depth for _, depth, _ in last}), RESIDUAL_VARIANTS):
        seeds = _shared(last, ("plain", depth), (variant, depth))
        if seeds:
            pairs = [(last["plain", depth, seed], last[variant, depth, seed]) for seed in seeds]
            yield Gain(
                name=f"{variant} - plain at {depth}",
                seeds=tuple(seeds),
                train_error=Spread(tuple(residual.train_error - plain.train_error for plain, residual in pairs)),
                test_error=Spread(tuple(residual.test_error - plain.test_error for plain, residual in pairs)),
                variant=variant,
                depth=depth,
            )


def interaction_of(runs: Iterable[Run], design: Design | None = None) -> Difference | None:
    """The residual gap (option A) minus the plain gap, paired over seeds; `design` is the study's.

    None unless both kinds have the same shallowest and deepest depth and all four networks share a seed.
    """
    last = _last(runs)
    extremes = _extremes("plain", last, design)
    if extremes is None or extremes != _extremes("residual", last, design):
        return None
    shallow, deep = extremes
    seeds = _shared(last, *((kind, depth) for kind in KINDS for depth in extremes))
    if not seeds:
        return None

    def _spread(error: Callable[[EvalRecord], float]) -> Spread:
        return Spread(
            tuple(
                (error(last["residual", deep, seed]) - error(last["residual", shallow, seed]))
                - (error(last["plain", deep, seed]) - error(last["plain", shallow, seed]))
                for seed in seeds
            )
        )

    others = any(variant in PROJECTION_VARIANTS for variant, _, _ in last)
    name = "interaction, option A" if others else "interaction"
    return Difference(name, tuple(seeds), _spread(lambda record: record.train_error), _spread(lambda record: record.test_error))


def _last(runs: Iterable[Run]) -> Last:
    """The last evaluation of each run."""
    return {(run.config.model.variant, run.config.model.depth, run.config.seed): run.evaluations[-1] for run in runs}


def _extremes(variant: str, last: Last, design: Design | None) -> tuple[int, int] | None:
    """The depths of a design that fixes them, else the smallest and the largest of a variant; None if it has fewer than two."""
    if design is not None and design.depths is not None:
        return design.depths
    depths = sorted({depth for other, depth, _ in last if other == variant})
    return (depths[0], depths[-1]) if len(depths) > 1 else None


def _shared(last: Last, *networks: tuple[str, int]) -> list[int]:
    """The seeds that all of these networks (variant and depth) have in common."""
    seeds = sorted({seed for _, _, seed in last})
    return [seed for seed in seeds if all((*network, seed) in last for network in networks)]
