"""What the runs of a study say together: errors by depth and kind, the gaps between depths, and the verdict.

The primary measure is the *clean* training error of the last evaluation, never the best over time: degradation is a matter
of optimisation, and choosing a step by its test error would be a selection on the test set.
"""

import dataclasses
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from resnet_lab.config import Kind, differences
from resnet_lab.record.store import Run, read_study

Shown = Literal["shown", "not shown", "undecided"]
# What one seed alone can decide. Over two or three seeds, training errors of the demo's networks had standard deviations of 0.2
# to 3.1 points, most of them 1 to 2; a smaller difference than this between two single runs may be one of seeds.
ONE_SEED_DECIDES = 0.02
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Spread:
    """Mean over seeds, and their sample standard deviation where there are at least two."""

    mean: float
    deviation: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of one value or more."""
        return cls(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)


@dataclass(frozen=True)
class Cell:
    """The finished runs of one kind and depth; errors are fractions at the last evaluation."""

    kind: Kind
    depth: int
    seeds: tuple[int, ...]
    train_error: Spread
    test_error: Spread
    running_train_error: Spread | None
    train_images: int
    parameters: int | None


@dataclass(frozen=True)
class Gap:
    """Deepest minus shallowest of a kind, over the seeds that both have: the degradation, where it is positive.

    `margin` is twice the standard error with which two training errors on that many images differ by chance of the images
    alone; a gap within it counts as none. It knows nothing of the spread over seeds.
    """

    kind: Kind
    shallow: int
    deep: int
    seeds: tuple[int, ...]
    shallow_train_error: float
    deep_train_error: float
    train_gaps: tuple[float, ...]
    test_gaps: tuple[float, ...]
    margin: float

    @property
    def degradation(self) -> Shown:
        """Whether the deeper nets have the higher training error: in every seed, in none, or undecided.

        Undecided are seeds that disagree, and one seed alone whose difference is no larger than seeds make.
        """
        above = [gap > self.margin for gap in self.train_gaps]
        if len(above) == 1 and self.margin < self.train_gaps[0] <= ONE_SEED_DECIDES:
            return "undecided"
        return "shown" if all(above) else "undecided" if any(above) else "not shown"


@dataclass(frozen=True)
class Comparison:
    """A study's runs of one recipe, compared. `missing` says, a sentence each, what stands in the way of more."""

    study: str
    stand_in: bool
    runs: tuple[Run, ...]
    cells: tuple[Cell, ...]
    gaps: tuple[Gap, ...]
    verdict: tuple[str, ...]
    missing: tuple[str, ...]


def compare_study(folder: Path) -> Comparison:
    """Read and compare the runs of a study's folder."""
    return compare(folder.name, *read_study(folder))


def compare(study: str, runs: Sequence[Run], faults: Sequence[str] = ()) -> Comparison:
    """Compare the runs of the recipe that most of them share; the others are named in `missing`."""
    chosen, missing = _one_recipe(runs)
    finished = [run for run in chosen if run.state == "finished" and run.evaluations]
    cells = tuple(
        _cell(kind, depth, members)
        for depth in sorted({run.config.model.depth for run in finished})
        for kind in KINDS
        if (members := [run for run in finished if run.config.model.kind == kind and run.config.model.depth == depth])
    )
    gaps = tuple(gap for kind in KINDS if (gap := _gap(kind, finished)) is not None)
    missing = [*faults, *missing, *_unfinished(chosen), *_lacking(cells, gaps)]
    stand_in = any(run.is_stand_in for run in chosen)
    return Comparison(study, stand_in, tuple(chosen), cells, gaps, _verdict(gaps), tuple(missing))


def _one_recipe(runs: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """The largest group of runs that share a recipe, and a sentence on each other group. Runs of two recipes never mix."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.config.recipe_digest(), []).append(run)
    ordered = sorted(groups.values(), key=len, reverse=True)
    if not ordered:
        return [], []
    reference = ordered[0][0].config
    sentences = []
    for group in ordered[1:]:
        network = ("model.kind", "model.depth", "seed")
        keys = [f"{key} = {theirs}" for key, _, theirs in differences(reference, group[0].config) if key not in network]
        names = ", ".join(run.name for run in group)
        sentences.append(f"{names}: left out, of another recipe ({', '.join(keys)}).")
    return ordered[0], sentences


def _cell(kind: Kind, depth: int, runs: Sequence[Run]) -> Cell:
    last = [run.evaluations[-1] for run in runs]
    running = [run.train[-1].error for run in runs if run.train]
    return Cell(
        kind=kind,
        depth=depth,
        seeds=tuple(run.config.seed for run in runs),
        train_error=Spread.of([record.train_error for record in last]),
        test_error=Spread.of([record.test_error for record in last]),
        running_train_error=Spread.of(running) if running else None,
        train_images=last[0].train_images,
        parameters=runs[0].parameters,
    )


def _gap(kind: Kind, runs: Iterable[Run]) -> Gap | None:
    """Deepest minus shallowest among the depths of a kind; None where no two depths share a seed."""
    last = {(run.config.model.depth, run.config.seed): run.evaluations[-1] for run in runs if run.config.model.kind == kind}
    depths = sorted({depth for depth, _ in last})
    if len(depths) < 2:
        return None
    shallow, deep = depths[0], depths[-1]
    seeds = sorted(seed for depth, seed in last if depth == shallow and (deep, seed) in last)
    if not seeds:
        return None
    pairs = [(last[shallow, seed], last[deep, seed]) for seed in seeds]
    variance = statistics.fmean(
        sum(record.train_error * (1 - record.train_error) / record.train_images for record in pair) for pair in pairs
    )
    return Gap(
        kind=kind,
        shallow=shallow,
        deep=deep,
        seeds=tuple(seeds),
        shallow_train_error=statistics.fmean(low.train_error for low, _ in pairs),
        deep_train_error=statistics.fmean(high.train_error for _, high in pairs),
        train_gaps=tuple(high.train_error - low.train_error for low, high in pairs),
        test_gaps=tuple(high.test_error - low.test_error for low, high in pairs),
        margin=2 * math.sqrt(variance),
    )


def _verdict(gaps: Sequence[Gap]) -> tuple[str, ...]:
    """One sentence a kind, with the figure that decides it."""
    if not gaps:
        return ("No verdict: it takes finished runs of one kind at two depths with the same seed.",)
    return tuple(_sentence(gap) for gap in gaps)


def _sentence(gap: Gap) -> str:
    seeds = "one seed, so no interval" if len(gap.seeds) == 1 else f"mean of {len(gap.seeds)} seeds"
    figures = (
        f"training error {percent(gap.shallow_train_error)} at depth {gap.shallow}, {percent(gap.deep_train_error)} at depth "
        f"{gap.deep} ({points(statistics.fmean(gap.train_gaps))} points; {seeds})"
    )
    why = "seeds disagree" if len(gap.seeds) > 1 else "one seed is too few for so small a difference"
    lead = {
        "shown": f"Degradation shown in {gap.kind} nets",
        "not shown": f"No degradation in {gap.kind} nets",
        "undecided": f"Degradation undecided in {gap.kind} nets, {why}",
    }
    return f"{lead[gap.degradation]}: {figures}."


def _unfinished(runs: Sequence[Run]) -> list[str]:
    return [
        f"{run.name} is {run.state}, at step {run.step:,} of {run.config.recipe.steps:,}, and not in the table."
        for run in runs
        if run.state != "finished" or not run.evaluations
    ]


def _lacking(cells: Sequence[Cell], gaps: Sequence[Gap]) -> list[str]:
    """What a reader would need to see degradation that is not there."""
    sentences = []
    for kind in KINDS:
        depths = [cell.depth for cell in cells if cell.kind == kind]
        if not depths:
            sentences.append(f"There is no finished {kind} run: `resnet-lab train --depth N --{kind}` makes one.")
        elif len(depths) == 1:
            sentences.append(f"There is only depth {depths[0]} of {kind} nets: another depth shows whether deeper is worse.")
        elif not any(gap.kind == kind for gap in gaps):
            sentences.append(f"The deepest and the shallowest {kind} nets share no seed.")
    return sentences


def comparison_values(comparison: Comparison) -> dict[str, Any]:
    """The comparison as JSON values; errors and gaps are fractions."""
    return {
        "study": comparison.study,
        "stand_in": comparison.stand_in,
        "verdict": list(comparison.verdict),
        "cells": [dataclasses.asdict(cell) for cell in comparison.cells],
        "gaps": [dataclasses.asdict(gap) | {"degradation": gap.degradation} for gap in comparison.gaps],
        "runs": [run_values(run) for run in comparison.runs],
        "missing": list(comparison.missing),
    }


def run_values(run: Run) -> dict[str, Any]:
    """A run as JSON values; errors are fractions."""
    last = run.evaluations[-1] if run.evaluations else None
    return {
        "run": run.name,
        "kind": run.config.model.kind,
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


def percent(fraction: float) -> str:
    """A fraction as percent with two decimals, such as `8.75 %`."""
    return f"{100 * fraction:.2f} %"


def points(difference: float) -> str:
    """A difference of two fractions in signed percentage points, such as `+5.31`."""
    return f"{100 * difference:+.2f}"
