"""What the runs of a study say together: errors by depth and variant, the gaps between depths, and the verdict.

The primary measure is the *clean* training error of the last evaluation, never the best over time: degradation is a matter
of optimisation, and choosing a step by its test error would be a selection on the test set.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from resnet_lab.config.schema import differences
from resnet_lab.record.store import Run
from resnet_lab.record.study import Study, read_study
from resnet_lab.study.cells import Cell, cells_of
from resnet_lab.study.differences import Difference, Gap, gains_of, gaps_of, interaction_of
from resnet_lab.study.digest import records_digest
from resnet_lab.study.verdict import lacking, unfinished, unmatched, verdict_on
from resnet_lab.text import printable


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

    @cached_property
    def records_digest(self) -> str:
        """The sha256 of the runs' records."""
        return records_digest(self.runs)

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
    cells = tuple(cells_of(chosen, finished))
    gaps = tuple(gaps_of(finished))
    gains = tuple(gains_of(finished))
    missing = [*study.faults, *missing, *_other_sizes(chosen), *unfinished(chosen), *lacking(cells, gaps)]
    stand_in = any(run.is_stand_in for run in chosen)
    return Comparison(
        study=printable(study.name),
        stand_in=stand_in,
        runs=tuple(chosen),
        cells=cells,
        gaps=gaps,
        gains=gains,
        interaction=interaction_of(finished),
        verdict=verdict_on(gaps),
        missing=tuple(missing),
        unmatched=tuple(unmatched(cells)),
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
