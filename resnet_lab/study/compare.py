"""The comparison of a study's runs: errors by depth and variant, the gaps between depths, and the verdict.

The primary measure is the *clean* training error of the last evaluation, never the best over time: degradation is an optimisation
problem, and choosing a step by its test error would be selection on the test set.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from resnet_lab.config.schema import differences
from resnet_lab.config.varied import label
from resnet_lab.record.store import Run
from resnet_lab.record.study import Study, read_study
from resnet_lab.study.cases import NETWORK_KEYS, Case, cases_of, continued_runs, with_varied_settings
from resnet_lab.study.cells import Cell, cells_of
from resnet_lab.study.differences import Difference, Gain, Gap, gains_of, gaps_of, interaction_of
from resnet_lab.study.digest import records_digest
from resnet_lab.study.finding import between_kinds
from resnet_lab.study.verdict import lacking, not_trained, unfinished, unmatched, verdict_on


@dataclass(frozen=True)
class Comparison:
    """The comparison of a study's `runs` that share one recipe, and of its `varied` runs with them, by case.

    If there are varied runs, the runs `continued` from networks built by `analyze identity` are cases, too.

    `gains` are residual minus plain at each depth. `interaction` is the residual gap minus the plain one, for option A only,
    since only its pairs are matched. `missing` has a sentence for each run left out and for everything that limits the verdict,
    `unmatched` one for each pair, and each case, whose parameter counts differ.
    """

    study: Study
    stand_in: bool
    runs: tuple[Run, ...]
    cells: tuple[Cell, ...]
    gaps: tuple[Gap, ...]
    gains: tuple[Gain, ...]
    interaction: Difference | None
    verdict: tuple[str, ...]
    missing: tuple[str, ...]
    unmatched: tuple[str, ...] = ()
    varied: tuple[Run, ...] = ()
    continued: tuple[Run, ...] = ()
    cases: tuple[Case, ...] = ()

    @property
    def all_runs(self) -> tuple[Run, ...]:
        """The runs, and after them those with varied settings."""
        return (*self.runs, *self.varied)

    @cached_property
    def records_digest(self) -> str:
        """The sha256 of the names, configs and records of all runs, with the continued ones."""
        return records_digest((*self.all_runs, *self.continued))

    @property
    def deepest(self) -> int | None:
        """The depth that the verdict is about: the largest one of a gap; None without gaps."""
        return max((gap.deep for gap in self.gaps), default=None)

    @property
    def differences(self) -> tuple[Difference, ...]:
        """Gaps, gains and interaction, in display order."""
        return (*self.gaps, *self.gains, *([self.interaction] if self.interaction else []))

    @property
    def shows_degradation(self) -> bool:
        """The paper's finding: degradation is shown in plain nets and in no residual variant, of which there is at least one.

        An undecided residual gap passes: see the verdict.
        """
        by_variant = {gap.variant: gap.degradation for gap in self.gaps}
        residual = [degradation for variant, degradation in by_variant.items() if variant != "plain"]
        return by_variant.get("plain") == "shown" and bool(residual) and "shown" not in residual


def compare_study(folder: Path) -> Comparison:
    """Read a study from its folder and compare its runs."""
    return compare(read_study(folder))


def compare(study: Study) -> Comparison:
    """Compare the runs that share the most common recipe, and those with varied settings; `missing` names the others."""
    chosen, missing = _one_recipe([run for run in study.runs if not run.config.varied])
    chosen, copies = _without_copies(chosen)
    varied, others = with_varied_settings(study.runs, chosen)
    varied, varied_copies = _without_copies(varied)
    finished = [run for run in chosen if run.state == "finished" and run.final is not None]
    continued = list(continued_runs(finished)) if varied else []
    cells = tuple(cells_of(chosen, finished))
    diverged = [run for run in chosen if run.state == "diverged"]
    gaps = tuple(gaps_of(finished, study.design, diverged, is_withheld=study.has_lost_design))
    gains = tuple(gains_of(finished))
    compared = [*chosen, *varied]
    missing = [
        *study.faults,
        *missing,
        *others,
        *copies,
        *varied_copies,
        *_other_sizes(compared),
        *unfinished([*chosen, *(run for run in varied if run.state != "diverged")]),
        *not_trained(finished),
        *lacking(cells, gaps),
    ]
    stand_in = any(run.is_stand_in for run in compared)
    return Comparison(
        study=study,
        stand_in=stand_in,
        runs=tuple(chosen),
        cells=cells,
        gaps=gaps,
        gains=gains,
        interaction=interaction_of(finished, study.design),
        verdict=(*verdict_on(gaps), *between_kinds(gains, max((gap.deep for gap in gaps), default=None), study.design)),
        missing=tuple(missing),
        unmatched=tuple(unmatched(cells, varied)),
        varied=tuple(varied),
        continued=tuple(run for run, _ in continued),
        cases=tuple(cases_of(finished, [*((run, run.config.varied_settings) for run in varied), *continued], gaps)),
    )


def _without_copies(runs: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """The first run of each network, seed and varied settings, and a sentence on each other one, such as a copied folder."""
    first: dict[tuple[Any, ...], Run] = {}
    sentences = []
    for run in runs:
        config = run.config
        key = config.model.variant, config.model.depth, config.seed, label(config.varied_settings)
        if first.setdefault(key, run) is not run:
            sentences.append(f"{run.name}: left out, {first[key].name} is the same network with the same seed.")
    return list(first.values()), sentences


def _one_recipe(runs: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """The largest group of runs with the same recipe and images, and a sentence on each of the other groups."""
    recipes = [run.config.recipe_digest() for run in runs]
    digests = [None if run.image_digests is None else run.image_digests.names for run in runs]
    started = {recipe: digest for recipe, digest in zip(recipes, digests, strict=True) if digest is not None}
    groups: dict[tuple[str, str | None], list[Run]] = {}
    for recipe, digest, run in zip(recipes, digests, runs, strict=True):
        images = digest or started.get(recipe)  # a run that has not started joins those of its recipe that have
        groups.setdefault((recipe, images), []).append(run)
    ordered = sorted(groups.values(), key=len, reverse=True)
    if not ordered:
        return [], []
    reference = ordered[0][0].config
    sentences = []
    for group in ordered[1:]:
        settings = [f"{key} = {value}" for key, _, value in differences(reference, group[0].config) if key not in NETWORK_KEYS]
        left_out = ", ".join(run.name for run in group)
        reason = f"different recipe ({', '.join(settings)})" if settings else "trained on different images"
        sentences.append(f"{left_out}: left out, {reason}.")
    return ordered[0], sentences


def _other_sizes(runs: Sequence[Run]) -> Iterator[str]:
    """A sentence if the sizes of the image files differ between runs."""
    digests = {run.name: run.image_digests.files for run in runs if run.image_digests is not None}
    first = next(iter(digests.values()), None)
    others = [name for name, digest in digests.items() if digest != first]
    if others:
        yield f"{', '.join(others)}: some image files differed in size from those of {next(iter(digests))}."
