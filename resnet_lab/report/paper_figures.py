"""Figures 1, 6 and 7 of He et al. 2015 from a study's runs, for the column of a paper: PDF files with embedded fonts."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from resnet_lab.analysis.catalogue.responses import Responses, layer_stds
from resnet_lab.analysis.definition import newest
from resnet_lab.analysis.registry import findings
from resnet_lab.config.terms import KINDS
from resnet_lab.presentation.blocks import Network, Part, X
from resnet_lab.presentation.style import STYLE, label_ends, line_style
from resnet_lab.report.figures import STAND_IN_COLOUR, STAND_IN_NOTICE, colours
from resnet_lab.report.over_time import (
    FIGURE_1_PARTS,
    Members,
    draw_line,
    has_figure_1,
    limits,
    mark_drops,
    networks,
    shallowest_and_deepest,
    time_axis,
)
from resnet_lab.study.compare import Comparison

WIDTH = 3.25  # of a column, in inches
_PAPER: Any = {
    **STYLE,
    "font.family": "STIXGeneral",  # resembles Times, and comes with matplotlib
    "mathtext.fontset": "stix",
    "font.size": 7.5,
    "axes.titlesize": 7.5,
    "axes.linewidth": 0.5,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "xtick.major.size": 2,
    "ytick.major.size": 2,
    "axes.labelpad": 2,
}
_WIDTHS: Mapping[Part, float] = {"running": 0.35, "training": 0.9, "test": 1.2}


class PaperFigures(NamedTuple):
    """The figures that a study has data for, by name, and a sentence for each of the others."""

    drawn: dict[str, Figure]
    missing: tuple[str, ...]


def paper_figures(comparison: Comparison, x: X = "step") -> PaperFigures:
    """Draw the figures of the paper; `x` is the unit of the horizontal axis of Figures 1 and 6."""
    results, _ = findings(comparison.runs)
    responses = newest(results, Responses)
    kinds = {run.config.model.kind for run in comparison.runs if run.evaluations}
    name = comparison.study.name
    plans: dict[str, tuple[bool, Callable[[], Figure], str]] = {
        "figure1": (
            has_figure_1(comparison),
            lambda: _figure_1(comparison, x),
            f"Figure 1 needs evaluations of plain networks of two depths, which {name} does not have.",
        ),
        "figure6": (
            kinds == set(KINDS),
            lambda: _figure_6(comparison, x),
            f"Figure 6 needs evaluations of plain and of residual networks, which {name} does not have.",
        ),
        "figure7": (
            bool(responses),
            lambda: _figure_7(comparison, responses),
            f"Figure 7 needs the responses of layers: run `resnet-lab analyze responses {comparison.study.path}` first.",
        ),
    }
    drawn = {key: draw() for key, (has_data, draw, _) in plans.items() if has_data}
    return PaperFigures(drawn, tuple(reason for has_data, _, reason in plans.values() if not has_data))


@contextmanager
def _column(
    comparison: Comparison, height: float, rows: int, columns: int, **options: Any
) -> Iterator[tuple[Figure, list[Axes]]]:
    """Yield a figure as wide as a column, and its panels; if the data is a stand-in, the figure says so."""
    with mpl.rc_context(_PAPER):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False, **options).flat
        if comparison.stand_in:
            figure.suptitle(STAND_IN_NOTICE, fontsize=7, color=STAND_IN_COLOUR, weight="bold")
        yield figure, list(panels)


def _figure_1(comparison: Comparison, x: X) -> Figure:
    """Training error and test error of the shallowest and the deepest plain network."""
    with _column(comparison, 1.45, 1, 2, sharey=True) as (figure, panels):
        chosen = shallowest_and_deepest(comparison)
        runs = [run for network in chosen for run in network.runs]
        panels[0].set_ylim(*limits(runs))
        for axes, label, parts in zip(panels, ("training error (%)", "test error (%)"), FIGURE_1_PARTS, strict=True):
            axes.set_ylabel(label)
            axes.tick_params(labelleft=True)
            _draw_curves(axes, comparison, chosen, parts, x)
    return figure


def _figure_6(comparison: Comparison, x: X) -> Figure:
    """All networks, plain and residual in panels of their own; dashed is the training error, bold the test error."""
    with _column(comparison, 1.75, 1, 2, sharey=True) as (figure, panels):
        evaluated = [run for run in comparison.runs if run.evaluations]
        panels[0].set_ylim(*limits(evaluated))
        panels[0].set_ylabel("error (%)")
        for axes, kind in zip(panels, KINDS, strict=True):
            axes.set_title(f"{kind} networks")
            chosen = list(networks(comparison, [run for run in evaluated if run.config.model.kind == kind]))
            _draw_curves(axes, comparison, chosen, ("running", "training", "test"), x)
        handles = [
            Line2D([], [], color="0.2", linewidth=_WIDTHS["training"], linestyle=(0, (3, 1.3)), label="training"),
            Line2D([], [], color="0.2", linewidth=_WIDTHS["test"], label="test"),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, handlelength=2.4)
    return figure


def _draw_curves(axes: Axes, comparison: Comparison, chosen: Sequence[Members], parts: Sequence[Part], x: X) -> None:
    axis = time_axis(comparison.runs, x)
    axes.set_xlabel(axis.label)
    axes.set_xlim(0, axis.end)
    mark_drops(axes, axis, [run for network in chosen for run in network.runs], linewidth=0.5)
    ends = []
    for network in chosen:
        drawn = [draw_line(axes, network, part, axis, linewidth=_WIDTHS[part], marker="") for part in parts]
        if drawn[-1].mean:
            ends.append((drawn[-1].mean[-1], network.name.replace("residual", "ResNet"), network.colour))
    label_ends(axes, ends)


def _figure_7(comparison: Comparison, responses: Mapping[Network, Sequence[Responses]]) -> Figure:
    """Standard deviations of the responses of layers, in their order above and in order of size below."""
    palette = colours(comparison)
    with _column(comparison, 2.9, 2, 1, sharey=True) as (figure, panels):
        for axes, label in zip(panels, ("layer (original order)", "layer (sorted by magnitude)"), strict=True):
            axes.set_xlabel(label)
            axes.set_ylabel("std")
            for network, results in responses.items():
                stds = layer_stds(results) if axes is panels[0] else sorted(layer_stds(results), reverse=True)
                look = {**line_style(network, palette, len(stds)), "linewidth": 0.9, "markersize": 2}
                name = "{}-{}".format(*network).replace("residual", "ResNet")
                axes.plot(range(1, len(stds) + 1), stds, label=name, **look)
            axes.set_ylim(bottom=0)
        panels[0].legend(frameon=False, ncols=2, loc="upper right")
    return figure
