"""The illustrations of a study's own numbers: each figure with its title, description and table."""

from collections.abc import Iterator
from functools import partial

from resnet_lab.config.terms import KINDS
from resnet_lab.config.varied import short
from resnet_lab.presentation.blocks import Illustration, Table, X
from resnet_lab.report import case_figures, figures, finding_figure, over_time
from resnet_lab.report.charts import chart, curve_table, lr_drops
from resnet_lab.report.tables import case_table, error_table, interval_table
from resnet_lab.study.compare import Comparison
from resnet_lab.text import duration


def illustrations(comparison: Comparison, x: X = "step") -> Iterator[Illustration]:
    """Yield the illustrations that the study has data for; `x` is the unit of the horizontal axis of curves."""
    yield curves(comparison, x)
    yield _traces(comparison, x)
    if comparison.cells:
        yield finding_figure.illustration(comparison)
        yield _by_depth(comparison)
    if over_time.has_figure_1(comparison):
        yield _degradation(comparison, x)
    yield from cases(comparison)


def cases(comparison: Comparison) -> Iterator[Illustration]:
    """Yield a curve for each setting with several numbers as values, and all cases side by side if a curve lacks some."""
    keys = case_figures.curve_keys(comparison)
    for key in keys:
        yield Illustration(
            stem=f"cases-{short(key)}",
            title=f"error against {short(key)}",
            description=(
                f"Clean training error at the last evaluation against {short(key)}, with 95 % intervals over seeds, and base "
                "networks as dotted lines."
            ),
            table=case_table(comparison),
            draw=partial(case_figures.against_value, comparison, key),
        )
    if comparison.cases and (len(keys) != 1 or any(case_figures.curve_key(case) != keys[0] for case in comparison.cases)):
        yield Illustration(
            stem="cases",
            title="error with varied settings",
            description=(
                "Clean training error at the last evaluation of every case, with its 95 % interval over seeds, and base networks "
                "as dotted lines. The effects rest on differences paired over seeds, whose intervals are in the table."
            ),
            table=case_table(comparison),
            draw=partial(case_figures.side_by_side, comparison),
        )


def curves(comparison: Comparison, x: X = "step") -> Illustration:
    """Error against time, with a panel for plain and one for residual networks."""
    names = {kind: [run.name for run in comparison.runs if run.config.model.kind == kind] for kind in KINDS}
    panels = "; ".join(f"{kind}: {', '.join(runs)}" for kind, runs in names.items() if runs) or "no runs"
    return Illustration(
        stem="curves",
        title="training and test error",
        description=(
            f"Error in percent against training steps. {panels}. Dashed: clean training error. Solid: test error. "
            "Faint: training error while running."
        ),
        table=curve_table(comparison),
        draw=partial(over_time.curves, comparison, x),
        chart=chart(comparison, figures.colours(comparison), figures.STAND_IN_NOTICE if comparison.stand_in else ""),
    )


def _degradation(comparison: Comparison, x: X) -> Illustration:
    return Illustration(
        stem="degradation",
        title="plain networks, shallowest and deepest",
        description="Clean training error (dashed) and test error (solid) of the shallowest and the deepest plain network.",
        table=error_table(comparison),
        draw=partial(over_time.degradation, comparison, x),
    )


def _by_depth(comparison: Comparison) -> Illustration:
    return Illustration(
        stem="depth",
        title="error against depth",
        description=(
            "Clean training error (dashed) and test error (solid) at the last evaluation against depth, for plain and residual "
            "networks."
        ),
        table=interval_table(comparison),
        draw=partial(figures.by_depth, comparison),
    )


def _traces(comparison: Comparison, x: X) -> Illustration:
    return Illustration(
        stem="traces",
        title="learning rate and speed",
        description="Learning rate and images per second of every run.",
        table=_speed_table(comparison),
        draw=partial(over_time.traces, comparison, x),
    )


def _speed_table(comparison: Comparison) -> Table:
    rows = tuple(
        (
            run.name,
            f"{run.train[0].lr:g}" if run.train else "-",
            ", ".join(f"{step:,}" for step in lr_drops(run)) or "none",
            "-" if run.images_per_second is None else f"{run.images_per_second:,.0f}",
            duration(sum(record.seconds for record in run.train)),
            duration(run.evaluation_seconds),
        )
        for run in comparison.runs
    )
    header = ("run", "first lr", "lr drops at steps", "images per second, last", "training", "evaluation")
    return Table("Learning rate and speed of every run.", header, rows)
