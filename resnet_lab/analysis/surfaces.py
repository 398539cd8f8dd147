"""Draws the figures of `catalogue.landscape` and `catalogue.line` with matplotlib."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from resnet_lab.analysis.catalogue.landscape import Landscape
from resnet_lab.analysis.catalogue.line import Line
from resnet_lab.presentation.blocks import Colours, Layout, Network
from resnet_lab.presentation.style import (
    STYLE,
    TEST,
    TRAINING,
    WIDTHS,
    keys,
    legend,
    line_style,
    logarithmic,
    marker,
    new_panels,
    prepare,
    shade,
    training_and_test,
)

_LEVELS = 13
_MAP = "viridis"
_MAX_LOSS = 100.0  # upper limit of the axis in slices; the loss of chance among ten classes is ln 10 = 2.3
_MAX_LEVEL = 10 * math.log(10)  # upper limit of contours and lines: ten times the loss of chance among ten classes


def contours(results: Mapping[str, Landscape], layout: Layout = "wide") -> Figure:
    """Training loss around networks in two directions, as contours on a common logarithmic scale; a cross marks the network."""
    with mpl.rc_context(STYLE):
        figure, panels = _grid(len(results), layout)
        norm, levels, is_cut = _scale(results.values())
        for axes, (name, result) in zip(panels, results.items(), strict=True):
            losses = np.clip(_losses(result), levels[0], levels[-1])
            coordinates = result.coordinates
            axes.contourf(coordinates, coordinates, losses, levels=levels, norm=norm, cmap=_MAP)
            _label_contours(axes, coordinates, losses, norm)
            axes.plot(0, 0, "+", color="white", markersize=9, markeredgewidth=2.6)
            axes.plot(0, 0, "+", color="0.05", markersize=8, markeredgewidth=1.1)
            axes.set_title(f"{name}\n{_centre(result)}", fontsize=9)
            axes.set_aspect("equal")
        figure.supxlabel("first direction, in filter norms", fontsize=9)
        figure.supylabel("second direction, in filter norms", fontsize=9)
        _colourbar(figure, panels, norm, layout, is_cut=is_cut)
    return figure


def slices(results: Mapping[str, tuple[Network, Landscape]], colours: Colours, layout: Layout = "wide") -> Figure:
    """Training loss and error in one direction around networks."""
    with new_panels(layout, 2, 3.6) as (figure, (left, right)):
        prepare(left, "training loss", "distance along the direction, in filter norms", integers=False)
        prepare(right, "training error (%)", "distance along the direction, in filter norms", integers=False)
        logarithmic(left)
        for network, result in results.values():
            look = {**line_style(network, colours, len(result.coordinates)), **TRAINING}
            left.plot(result.coordinates, _with_gaps(result.losses[0]), **look)
            right.plot(result.coordinates, 100 * np.array(result.errors[0]), **look)
        left.set_ylim(top=min(left.get_ylim()[1], _MAX_LOSS))
        legend(figure, dict.fromkeys(network for network, _ in results.values()), colours)
    return figure


def lines(results: Mapping[str, tuple[Network, Line]], layout: Layout = "wide") -> Figure:
    """Loss and error on straight lines between networks; markers are the measured points."""
    with new_panels(layout, 2, 3.6) as (figure, panels):
        for axes, title in zip(panels, ("loss", "error (%)"), strict=True):
            prepare(axes, title, "0: the first network, 1: the second", integers=False)
            for end in (0, 1):
                axes.axvline(end, color="0.8", linewidth=0.8)
        handles = training_and_test()
        drawn, totals = Counter[str](), Counter(variant for (variant, _), _ in results.values())
        for name, ((variant, _), result) in results.items():
            look: Any = {"color": shade(variant, drawn[variant], totals[variant]), "marker": marker(variant), "markersize": 2.5}
            drawn[variant] += 1
            for losses, errors, part in (
                (result.train_losses, result.train_errors, TRAINING),
                (result.test_losses, result.test_errors, TEST),
            ):
                panels[0].plot(result.positions, _with_gaps(losses), **look, **part)
                panels[1].plot(result.positions, [100 * error for error in errors], **look, **part)
            handles.append(Line2D([], [], label=name, linewidth=1.8, **look))
        panels[0].set_ylim(0, min(panels[0].get_ylim()[1], _MAX_LEVEL))
        panels[1].set_ylim(bottom=0)
        keys(figure, handles)
    return figure


def _grid(number: int, layout: Layout) -> tuple[Figure, list[Axes]]:
    columns = min(number, 4 if layout == "wide" else 2)
    rows = -(-number // columns)
    height = 0.9 * WIDTHS[layout] / columns
    size = (WIDTHS[layout], rows * height + (0.6 if layout == "wide" else 1.2))
    figure = Figure(figsize=size, layout="constrained")
    return figure, [figure.add_subplot(rows, columns, index + 1) for index in range(number)]


def _scale(results: Iterable[Landscape]) -> tuple[LogNorm, list[float], bool]:
    """The common logarithmic scale up to at most _MAX_LEVEL, its contour levels, and whether higher losses are cut off."""
    values = np.concatenate([_losses(result).ravel() for result in results])
    low = max(float(values.min()), 1e-3)
    high = min(float(values.max()), _MAX_LEVEL)
    levels = np.geomspace(low, max(high, 1.01 * low), _LEVELS)
    return LogNorm(levels[0], levels[-1]), [float(level) for level in levels], bool(values.max() > _MAX_LEVEL)


def _losses(result: Landscape) -> "np.ndarray[Any, np.dtype[np.float64]]":
    """The losses as an array; those that are not finite become a large number."""
    return np.array([_finite(row) for row in result.losses])


def _finite(losses: Sequence[float | None]) -> list[float]:
    return [1e9 if loss is None else loss for loss in losses]


def _with_gaps(losses: Sequence[float | None]) -> list[float]:
    """NaN in place of losses that are not finite, which leaves a gap in a line."""
    return [math.nan if loss is None else loss for loss in losses]


def _label_contours(
    axes: Axes, coordinates: Sequence[float], losses: "np.ndarray[Any, np.dtype[np.float64]]", norm: LogNorm
) -> None:
    """Draw labelled contours at round losses, dark on bright and bright on dark."""
    levels = [level for level in _round_losses(norm) if losses.min() < level < losses.max()]
    if levels:
        inks = ["white" if norm(level) < 0.6 else "0.1" for level in levels]
        contour_set = axes.contour(coordinates, coordinates, losses, levels=levels, colors=inks, linewidths=0.7)
        axes.clabel(contour_set, fmt="%g", fontsize=7, inline_spacing=2)


def _round_losses(norm: LogNorm) -> list[float]:
    """The numbers 1, 2 and 5 times powers of ten within a scale."""
    losses = (factor * 10.0**power for power in range(-3, 2) for factor in (1, 2, 5))
    return [loss for loss in losses if norm.vmin is not None and norm.vmax is not None and norm.vmin <= loss <= norm.vmax]


def _centre(result: Landscape) -> str:
    if result.centre is not None:
        return f"loss {result.centre:.3g}"
    return "no finite loss" if len(result.coordinates) % 2 else "training loss"


def _colourbar(figure: Figure, panels: Sequence[Axes], norm: LogNorm, layout: Layout, *, is_cut: bool) -> None:
    """Draw the colour bar, with an arrow if higher losses are cut off."""
    place: Any = {"pad": 0.02, "shrink": 0.9} if layout == "wide" else {"location": "bottom", "aspect": 30}
    bar = figure.colorbar(
        ScalarMappable(norm, _MAP), ax=panels, label="training loss", extend="max" if is_cut else "neither", **place
    )
    assert bar.solids is not None
    bar.solids.set_rasterized(False)  # the page's security policy allows no images
    ticks = _round_losses(norm)
    bar.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    bar.minorticks_off()
