"""The figures of a study: the one place that plots. Depth is lightness and kind is hue, readable in greyscale."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from resnet_lab.compare import KINDS, Comparison
from resnet_lab.config import Kind
from resnet_lab.record.files import write_atomically
from resnet_lab.record.store import Run
from resnet_lab.report.charts import points

STAND_IN_NOTICE = "SYNTHETIC STAND-IN, NOT CIFAR-10"
FEW_POINTS = 20
_HUES = {"plain": "Oranges", "residual": "Blues"}
_STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "svg.fonttype": "none",
    "svg.hashsalt": "resnet-lab",
}


def curves(comparison: Comparison) -> Figure:
    """Error against steps, plain and residual side by side on one scale, as in Fig. 6: training dashed, test bold."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(8, 4.2), layout="constrained")
        panels = figure.subplots(1, len(KINDS), sharey=True)
        panels[0].set_ylim(*_limits(comparison.runs))  # shared by both panels
        panels[0].set_ylabel("error (%)")
        for kind, axes in zip(KINDS, panels, strict=True):
            _panel(axes, kind, [run for run in comparison.runs if run.config.model.kind == kind])
        styles = [
            Line2D([], [], color="0.2", linewidth=1, linestyle=(0, (3, 1.5)), label="training (running, augmented)"),
            Line2D([], [], color="0.2", linewidth=2.2, label="test"),
        ]
        figure.legend(handles=styles, loc="outside lower center", ncols=2, frameon=False)
        title = f"{comparison.study}: training and test error"
        if comparison.stand_in:
            figure.suptitle(f"{STAND_IN_NOTICE}\n{title}", fontsize=10, color="#b00020", weight="bold")
        else:
            figure.suptitle(title, fontsize=10)
    return figure


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write the figure as PNG (200 dpi), SVG and PDF beside each other. Raises DiskError."""
    paths = []
    for suffix, content in (("png", _rendered(figure, "png")), ("svg", svg(figure).encode()), ("pdf", _rendered(figure, "pdf"))):
        paths.append(stem.with_suffix(f".{suffix}"))
        write_atomically(paths[-1], content)
    return paths


def svg(figure: Figure) -> str:
    """The figure as an SVG element without an XML header, the same bytes for the same runs."""
    text = _rendered(figure, "svg").decode()
    return text[text.index("<svg") :]


def _panel(axes: Axes, kind: Kind, runs: Sequence[Run]) -> None:
    axes.set_title(f"{kind} networks")
    axes.grid(axis="y", color="0.9", linewidth=0.6)
    longest = max((run.config.recipe.steps for run in runs), default=0)
    scale, unit = (1000, "thousand steps") if longest >= 2000 else (1, "steps")
    axes.set_xlabel(unit)
    depths = sorted({run.config.model.depth for run in runs})
    ends: list[tuple[float, str, str]] = []
    for position, depth in enumerate(depths):
        colour = _colour(kind, position, len(depths))
        members = [run for run in runs if run.config.model.depth == depth]
        for run in members:
            steps = [record.step / scale for record in run.train]
            axes.plot(steps, [100 * record.error for record in run.train], color=colour, linewidth=1, linestyle=(0, (3, 1.5)))
            steps = [record.step / scale for record in run.evaluations]
            marker = "o" if len(steps) <= FEW_POINTS else ""
            tests = [100 * record.test_error for record in run.evaluations]
            axes.plot(steps, tests, color=colour, linewidth=2.2, marker=marker, markersize=2.5)
        lasts = [100 * run.evaluations[-1].test_error for run in members if run.evaluations]
        if lasts:
            ends.append((float(np.mean(lasts)), f"{kind}-{depth}", colour))
    if longest:
        axes.set_xlim(0, longest / scale)
    if not runs:
        axes.text(0.5, 0.5, f"no {kind} runs", transform=axes.transAxes, ha="center", color="0.4")
    _label_ends(axes, ends)


def _limits(runs: Sequence[Run]) -> tuple[float, float]:
    """The range of all errors in percent, with some room."""
    errors = [100 * error for run in runs for _, _, error in points(run)] or [0.0, 100.0]
    room = max(0.06 * (max(errors) - min(errors)), 0.5)
    return max(0.0, min(errors) - room), min(100.0, max(errors) + room)


def _label_ends(axes: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Name the lines at their right ends, in place of a legend, moved apart where the names would overlap."""
    bottom, top = axes.get_ylim()
    place = -np.inf
    for error, text, colour in sorted(ends):
        place = max(error, place + 0.055 * (top - bottom))
        axes.annotate(
            text,
            (1.0, place),
            xycoords=("axes fraction", "data"),
            xytext=(5, 0),
            textcoords="offset points",
            color=colour,
            va="center",
            weight="bold",
            annotation_clip=False,
        )


def colours(comparison: Comparison) -> dict[tuple[str, int], str]:
    """The colour of every kind and depth."""
    found: dict[tuple[str, int], str] = {}
    for kind in KINDS:
        depths = sorted({run.config.model.depth for run in comparison.runs if run.config.model.kind == kind})
        found |= {(kind, depth): _colour(kind, position, len(depths)) for position, depth in enumerate(depths)}
    return found


def _colour(kind: Kind, position: int, number: int) -> str:
    """Deeper is darker; the lightest still stands out from white."""
    lightness = 0.75 if number == 1 else 0.55 + 0.43 * position / (number - 1)
    return to_hex(mpl.colormaps[_HUES[kind]](lightness))


def _rendered(figure: Figure, form: str) -> bytes:
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(form)
    buffer = io.BytesIO()
    with mpl.rc_context(_STYLE):
        figure.savefig(buffer, format=form, dpi=200, metadata=metadata)
    return buffer.getvalue()
