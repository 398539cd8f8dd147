"""What the runs of a study say together: errors by depth and variant, the gaps between depths, and the verdict.

The primary measure is the *clean* training error of the last evaluation, never the best over time: degradation is a matter
of optimisation, and choosing a step by its test error would be a selection on the test set.
"""

import dataclasses
import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

from resnet_lab.config.schema import differences
from resnet_lab.config.terms import KINDS, PROJECTION_VARIANTS, RESIDUAL_VARIANTS, VARIANTS
from resnet_lab.record.lines import EvalRecord
from resnet_lab.record.store import Run, Study, read_study
from resnet_lab.study.spread import FEWEST_FOR_INTERVAL, Spread, half_width, sign_flip_p
from resnet_lab.text import percent, points, printable

Shown = Literal["shown", "not shown", "undecided"]
# The smallest difference that matters, and what one or two seeds alone can decide. Over two or three seeds, training errors of
# the demo's networks had standard deviations of 0.2 to 3.1 points, most of them 1 to 2.
MATTERS = 0.02
_MANY_SEEDS = 50
_FORMAT = 2  # of comparison_values; in the first one, `kind` of a cell or gap was its variant


@dataclass(frozen=True)
class Cell:
    """The runs of one variant and depth.

    Errors are fractions at the last evaluation of the finished ones, one a seed.
    `best_test_error` is the lowest of all evaluations: a selection on the test set, shown only where asked for.
    `lost` names the diverged and failed runs, `at_chance` the finished ones whose clean training error is that of guessing.
    """

    variant: str
    depth: int
    seeds: tuple[int, ...]
    train_error: Spread
    test_error: Spread
    running_train_error: Spread | None
    best_test_error: Spread
    train_images: int
    parameters: int | None
    lost: tuple[str, ...]
    at_chance: tuple[str, ...]


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
        for more in range(1, _MANY_SEEDS + 1):
            half = half_width(have + more, deviation)
            if _decided(self.train_error.mean - half, self.train_error.mean + half) != "undecided":
                return more
        return None


def _decided(low: float, high: float) -> Shown:
    return "shown" if low > 0 else "not shown" if high < MATTERS else "undecided"


@dataclass(frozen=True)
class Comparison:
    """A study's runs of one recipe, compared. `missing` says, a sentence each, what stands in the way of more.

    `gains` are residual minus plain at each depth, `interaction` is the residual gap minus the plain one (option A alone, whose
    pairs are matched). `unmatched` says by how many parameters the members of a pair differ where the shortcuts have some.
    """

    study: str
    stand_in: bool
    runs: tuple[Run, ...]
    cells: tuple[Cell, ...]
    gaps: tuple[Gap, ...]
    gains: tuple[Difference, ...]
    interaction: Difference | None
    verdict: tuple[str, ...]
    missing: tuple[str, ...]
    unmatched: tuple[str, ...] = ()

    @property
    def differences(self) -> tuple[Difference, ...]:
        """All of them, in the order in which they are shown."""
        return (*self.gaps, *self.gains, *([self.interaction] if self.interaction else []))

    @property
    def shows_degradation(self) -> bool:
        """The paper's finding: plain nets are shown to degrade, and residual nets, of whatever shortcuts, are there and are not.

        What is undecided of residual nets does not count against it: see the verdict.
        """
        found = {gap.variant: gap.degradation for gap in self.gaps}
        residual = [degradation for variant, degradation in found.items() if variant != "plain"]
        return found.get("plain") == "shown" and bool(residual) and "shown" not in residual


def compare_study(folder: Path) -> Comparison:
    """Read and compare the runs of a study's folder."""
    return compare(read_study(folder))


def compare(study: Study) -> Comparison:
    """Compare the runs of the recipe that most of them share; the others are named in `missing`."""
    chosen, missing = _one_recipe(study.runs)
    finished = [run for run in chosen if run.state == "finished" and run.evaluations]
    cells = tuple(_cells(chosen, finished))
    gaps = tuple(gap for variant in VARIANTS if (gap := _gap(variant, finished)) is not None)
    gains = tuple(_gains(finished))
    missing = [*study.faults, *missing, *_other_sizes(chosen), *_unfinished(chosen), *_lacking(cells, gaps)]
    stand_in = any(run.is_stand_in for run in chosen)
    return Comparison(
        study=printable(study.name),
        stand_in=stand_in,
        runs=tuple(chosen),
        cells=cells,
        gaps=gaps,
        gains=gains,
        interaction=_interaction(finished),
        verdict=_verdict(gaps),
        missing=tuple(missing),
        unmatched=tuple(_unmatched(cells)),
    )


def _one_recipe(runs: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """The largest group of runs that share recipe and images, and a sentence on each other group. Two such groups never mix."""
    recipes = [run.config.recipe_digest() for run in runs]
    names = [None if run.image_digests is None else run.image_digests.names for run in runs]
    begun = {recipe: name for recipe, name in zip(recipes, names, strict=True) if name is not None}
    groups: dict[tuple[str, str | None], list[Run]] = {}
    for recipe, name, run in zip(recipes, names, runs, strict=True):  # one that has not begun is with the others
        groups.setdefault((recipe, name or begun.get(recipe)), []).append(run)
    ordered = sorted(groups.values(), key=len, reverse=True)
    if not ordered:
        return [], []
    reference = ordered[0][0].config
    sentences = []
    for group in ordered[1:]:
        network = ("model.kind", "model.shortcut", "model.depth", "seed")
        keys = [f"{key} = {theirs}" for key, _, theirs in differences(reference, group[0].config) if key not in network]
        left_out = ", ".join(run.name for run in group)
        why = f"of another recipe ({', '.join(keys)})" if keys else "trained on other images of a folder"
        sentences.append(f"{left_out}: left out, {why}.")
    return ordered[0], sentences


def _other_sizes(runs: Sequence[Run]) -> Iterator[str]:
    """A sentence where a folder's images were not the same files for all runs."""
    files = {run.name: run.image_digests.files for run in runs if run.image_digests is not None}
    first = next(iter(files.values()), None)
    others = [name for name, each in files.items() if each != first]
    if others:
        yield f"{', '.join(others)}: some of the images were files of other sizes than for {next(iter(files))}."


def _cells(runs: Sequence[Run], finished: Sequence[Run]) -> Iterator[Cell]:
    for depth in sorted({run.config.model.depth for run in finished}):
        for variant in VARIANTS:
            members = [run for run in finished if (run.config.model.variant, run.config.model.depth) == (variant, depth)]
            lost = [
                f"{run.name} ({run.state})"
                for run in runs
                if (run.config.model.variant, run.config.model.depth) == (variant, depth) and run.state in ("diverged", "failed")
            ]
            if members:
                yield _cell(variant, depth, sorted(members, key=lambda run: run.config.seed), lost)


def _cell(variant: str, depth: int, runs: Sequence[Run], lost: Sequence[str]) -> Cell:
    last = [run.evaluations[-1] for run in runs]
    running = [run.train[-1].error for run in runs if run.train]
    guess = runs[0].config.data.guess_error
    chance = [
        run.name
        for run, record in zip(runs, last, strict=True)
        if record.train_error >= guess - 2 * math.sqrt(guess * (1 - guess) / record.train_images)
    ]
    return Cell(
        variant=variant,
        depth=depth,
        seeds=tuple(run.config.seed for run in runs),
        train_error=Spread(tuple(record.train_error for record in last)),
        test_error=Spread(tuple(record.test_error for record in last)),
        running_train_error=Spread(tuple(running)) if running else None,
        best_test_error=Spread(tuple(min(record.test_error for record in run.evaluations) for run in runs)),
        train_images=last[0].train_images,
        parameters=runs[0].parameters,
        lost=tuple(lost),
        at_chance=tuple(chance),
    )


Last = dict[tuple[str, int, int], EvalRecord]


def _last(runs: Iterable[Run]) -> Last:
    """The last evaluation by variant, depth and seed."""
    return {(run.config.model.variant, run.config.model.depth, run.config.seed): run.evaluations[-1] for run in runs}


def _extremes(variant: str, last: Last) -> tuple[int, int] | None:
    """The shallowest and the deepest of a variant, if there are two depths."""
    depths = sorted({depth for each, depth, _ in last if each == variant})
    return (depths[0], depths[-1]) if len(depths) > 1 else None


def _shared(last: Last, *sides: tuple[str, int]) -> list[int]:
    """The seeds that all these variants and depths have."""
    seeds = sorted({seed for _, _, seed in last})
    return [seed for seed in seeds if all((*side, seed) in last for side in sides)]


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


def _gains(runs: Iterable[Run]) -> Iterator[Difference]:
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


def _unmatched(cells: Sequence[Cell]) -> Iterator[str]:
    """A sentence for every plain and residual network that differ in parameters, which only shortcuts of option A avoid."""
    plain = {cell.depth: cell.parameters for cell in cells if cell.variant == "plain"}
    for cell in cells:
        ours, theirs = cell.parameters, plain.get(cell.depth)
        if cell.variant != "plain" and ours is not None and theirs is not None and ours != theirs:
            yield (
                f"{cell.variant}-{cell.depth} and plain-{cell.depth} are no matched pair: its projections give the residual "
                f"network {ours - theirs:,} parameters more ({ours:,} against {theirs:,})."
            )


def _interaction(runs: Iterable[Run]) -> Difference | None:
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


def _verdict(gaps: Sequence[Gap]) -> tuple[str, ...]:
    """One sentence a variant, with the figure that decides it."""
    if not gaps:
        return ("No verdict: it takes finished runs of one kind at two depths with the same seed.",)
    return tuple(_sentence(gap) for gap in gaps)


def _sentence(gap: Gap) -> str:
    lead = {
        "shown": f"Degradation shown in {gap.variant} nets",
        "not shown": f"Degradation not shown in {gap.variant} nets",
        "undecided": f"Degradation in {gap.variant} nets undecided: needs {_more_seeds(gap.seeds_needed)}",
    }
    return (
        f"{lead[gap.degradation]}. Training error {percent(gap.shallow_train_error)} at depth {gap.shallow}, "
        f"{percent(gap.deep_train_error)} at depth {gap.deep}: {points(gap.train_error.mean)} points{_certainty(gap)}."
    )


def _more_seeds(number: int | None) -> str:
    if number is None:
        return f"more than {_MANY_SEEDS} more seeds"
    return f"{number} more seed{'s' if number > 1 else ''}"


def _certainty(gap: Gap) -> str:
    count = len(gap.seeds)
    if gap.train_error.interval is None:
        return f" ({'one seed' if count == 1 else f'{count} seeds'}, too few for an interval)"
    low, high = gap.train_error.interval
    return f" (95 % interval {points(low)} to {points(high)} over {count} seeds; sign-flip test p = {gap.p_value:.3g})"


def _unfinished(runs: Sequence[Run]) -> list[str]:
    return [
        f"{run.name} is {run.state}, at step {run.step:,} of {run.config.recipe.steps:,}, and not in the table."
        for run in runs
        if run.state != "finished" or not run.evaluations
    ]


def _lacking(cells: Sequence[Cell], gaps: Sequence[Gap]) -> list[str]:
    """What a reader would need to see degradation that is not there."""
    sentences = []
    others = any(cell.variant in PROJECTION_VARIANTS for cell in cells)
    for variant in VARIANTS:
        depths = [cell.depth for cell in cells if cell.variant == variant]
        if not depths and (variant in PROJECTION_VARIANTS or (variant == "residual" and others)):
            continue
        if not depths:
            sentences.append(f"There is no finished {variant} run: `resnet-lab train --depth N --{variant}` makes one.")
        elif len(depths) == 1:
            sentences.append(f"There is only depth {depths[0]} of {variant} nets: another depth shows whether deeper is worse.")
        elif not any(gap.variant == variant for gap in gaps):
            sentences.append(f"The deepest and the shallowest {variant} nets share no seed.")
    return sentences


def comparison_values(comparison: Comparison, *, best: bool = False) -> dict[str, Any]:
    """The comparison as JSON values; errors and differences are fractions. `best` adds the lowest test error over time."""
    cells = [_values(cell) for cell in comparison.cells]
    if not best:
        for cell in cells:
            del cell["best_test_error"]
    return {
        "format": _FORMAT,
        "study": comparison.study,
        "stand_in": comparison.stand_in,
        "verdict": list(comparison.verdict),
        "shows_degradation": comparison.shows_degradation,
        "cells": cells,
        "gaps": [
            _values(gap) | {"degradation": gap.degradation, "seeds_needed": gap.seeds_needed, "p_value": gap.p_value}
            for gap in comparison.gaps
        ],
        "gains": [_values(gain) for gain in comparison.gains],
        "interaction": comparison.interaction and _values(comparison.interaction),
        "runs": [run_values(run) for run in comparison.runs],
        "missing": list(comparison.missing),
        "unmatched": list(comparison.unmatched),
    }


def _values(item: Cell | Difference) -> dict[str, Any]:
    """The fields as JSON values; a spread as its values, mean, deviation and interval, a variant with its kind and shortcut."""
    values: dict[str, Any] = {}
    for name in (field.name for field in dataclasses.fields(item)):
        value = getattr(item, name)
        if isinstance(value, Spread):
            value = {"values": value.values, "mean": value.mean, "deviation": value.deviation, "interval": value.interval}
        values[name] = value
        if name == "variant":
            values["kind"], _, shortcut = value.partition("-")
            values["shortcut"] = shortcut or "A"
    return values


def run_values(run: Run) -> dict[str, Any]:
    """A run as JSON values; errors are fractions."""
    last = run.evaluations[-1] if run.evaluations else None
    return {
        "run": run.name,
        "variant": run.config.model.variant,
        "kind": run.config.model.kind,
        "shortcut": run.config.model.shortcut,
        "depth": run.config.model.depth,
        "seed": run.config.seed,
        "dataset": run.config.data.dataset,
        "state": run.state,
        "step": run.step,
        "steps": run.config.recipe.steps,
        "running_train_error": run.train[-1].error if run.train else None,
        "train_error": last.train_error if last else None,
        "test_error": last.test_error if last else None,
        "images_per_second": run.images_per_second,
        "seconds_left": run.seconds_left,
    }
