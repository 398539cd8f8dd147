"""The first screen of a report: what was found, how sure it is, one figure and its numbers."""

from collections.abc import Iterator, Mapping
from itertools import islice

from resnet_lab.config import paper
from resnet_lab.config.terms import KINDS
from resnet_lab.presentation.blocks import Chip, Headline, Picture, Table
from resnet_lab.report.tables import bracketed, spread
from resnet_lab.study.compare import Comparison
from resnet_lab.study.differences import Gap
from resnet_lab.study.finding import between_kinds, by_effect, finding

FEW_STEPS = 10_000


def headline(comparison: Comparison, pictures: Mapping[str, Picture]) -> Headline:
    """The finding of a comparison; `pictures` are by stem."""
    return Headline(
        finding=finding(comparison.gaps),
        sentences=(
            *between_kinds(comparison.gains, comparison.deepest, comparison.study.design),
            *islice(by_effect(comparison.cases), 1),
        ),
        chips=tuple(map(_chip, comparison.gaps)),
        picture=pictures.get("finding"),
        numbers=_numbers(comparison) if comparison.cells else None,
        notes=tuple(_notes(comparison)),
    )


def _chip(gap: Gap) -> Chip:
    count = f"{len(gap.seeds)} seed{'s' if len(gap.seeds) > 1 else ''}"
    interval = gap.train_error.interval
    if gap.design is not None:
        interval = gap.bound.interval if gap.bound else None
    certainty = "" if interval else ", no interval"
    status = {
        "shown": "degradation shown",
        "not shown": "no degradation shown",
        "undecided": "undecided",
    }[gap.degradation]
    change = bracketed(gap.train_error.mean, interval, "{:+.2f}")
    return Chip(f"{gap.variant} networks", status, f"{change} points, {count}{certainty}")


def _numbers(comparison: Comparison) -> Table:
    """Clean training errors of the shallowest and the deepest networks; a row per depth, a column per variant."""
    depths = sorted({cell.depth for cell in comparison.cells})
    shown = dict.fromkeys((depths[0], depths[-1]))
    errors = {(cell.variant, cell.depth): spread(cell.train_error) for cell in comparison.cells}
    variants = list(dict.fromkeys([*KINDS, *(cell.variant for cell in comparison.cells)]))
    rows = tuple((f"{depth} layers", *(errors.get((variant, depth), "-") for variant in variants)) for depth in shown)
    return Table("Clean training error in percent at the last evaluation.", ("depth", *variants), rows)


def _notes(comparison: Comparison) -> Iterator[str]:
    """What was shortened, and what limits the finding."""
    steps = max((run.config.recipe.steps for run in comparison.runs), default=0)
    if 0 < steps < FEW_STEPS:
        paper_steps = paper.recipe_for(comparison.runs[0].config).steps
        yield (
            f"Shortened: {steps:,} training steps instead of the paper's {paper_steps:,}. The results show how far SGD gets in "
            "this time, not what the networks converge to."
        )
    if comparison.missing:
        count = len(comparison.missing)
        limits = "1 limitation of this verdict is" if count == 1 else f"{count} limitations of this verdict are"
        yield f"{limits} listed in the section Verdict and its rule."
