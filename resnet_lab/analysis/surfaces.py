"""Draws the figures of `catalogue.landscape` and `catalogue.line` with matplotlib."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from resnet_lab.analysis.catalogue.landscape import Landscape
from resnet_lab.analysis.catalogue.line import Line
from resnet_lab.presentation.blocks import Colours, Network
from resnet_lab.presentation.style import STYLE, legend, line_style, logarithmic, new_figure, prepare

_LEVELS = 13
_MAP = "viridis"
_MAX_LOSS = 100.0  # upper limit of the axis in slices; the loss of chance among ten classes is ln 10 = 2.3
_MAX_LEVEL = 10 * math.log(10)  # upper limit of contours, surfaces and lines: ten times the loss of chance among ten classes


def contours(results: Mapping[str, Landscape]) -> Figure:
    """Training loss around networks in two directions, as contours on a common logarithmic scale; a cross marks the network."""
    with mpl.rc_context(STYLE):
        columns = min(len(results), 4)
        figure, panels = _grid(len(results), columns)
        norm, levels = _scale(results.values())
        for axes, (name, result) in zip(panels, results.items(), strict=False):
            losses = np.clip(_losses(result), levels[0], levels[-1])
            coordinates = result.coordinates
            axes.contourf(coordinates, coordinates, losses, levels=levels, norm=norm, cmap=_MAP)
            _label_contours(axes, coordinates, losses, norm)
            axes.plot(0, 0, "+", color="white", markersize=9, markeredgewidth=2.6)
            axes.plot(0, 0, "+", color="black", markersize=8, markeredgewidth=1.1)
            axes.set_title(f"{name}: {_centre(result)}", fontsize=9)
            axes.set_aspect("equal")
        _colourbar(figure, panels, norm)
    return figure


def surfaces(results: Mapping[str, Landscape]) -> Figure:
    """Training loss around networks in two directions, as surfaces whose height is the logarithm of the loss."""
    with mpl.rc_context(STYLE):
        columns = min(len(results), 4)
        figure, panels = _grid(len(results), columns, projection="3d")
        norm, levels = _scale(results.values())
        for axes, (name, result) in zip(panels, results.items(), strict=False):
            heights = np.log10(np.clip(_losses(result), levels[0], levels[-1]))
            x, y = np.meshgrid(result.coordinates, result.coordinates)
            low, high = math.log10(levels[0]), math.log10(levels[-1])
            look: Any = {"cmap": _MAP, "norm": Normalize(low, high), "shade": False, "edgecolor": "0.15", "linewidth": 0.2}
            surface: Any = axes  # not shaded, so that its colours match the colour bar
            surface.plot_surface(x, y, heights, rstride=1, cstride=1, **look)
            surface.set_zlim(low, high)
            ticks = _round_losses(norm)
            surface.set_zticks([math.log10(tick) for tick in ticks], [f"{tick:g}" for tick in ticks])
            surface.tick_params(labelsize=7, pad=-2)
            surface.set_title(name, fontsize=9)
        _colourbar(figure, panels, norm)
    return figure


def slices(results: Mapping[str, tuple[Network, Landscape]], colours: Colours) -> Figure:
    """Training loss and error in one direction around networks."""
    with new_figure(8, 3.9) as figure:
        left, right = figure.subplots(1, 2)
        prepare(left, "training loss", "distance along the direction, in filter norms", integers=False)
        prepare(right, "training error (%)", "distance along the direction, in filter norms", integers=False)
        logarithmic(left)
        for network, result in results.values():
            style = line_style(network)
            left.plot(result.coordinates, _with_gaps(result.losses[0]), color=colours[network], **style)
            right.plot(result.coordinates, 100 * np.array(result.errors[0]), color=colours[network], **style)
        left.set_ylim(top=min(left.get_ylim()[1], _MAX_LOSS))
        legend(figure, dict.fromkeys(network for network, _ in results.values()), colours)
    return figure


def lines(results: Mapping[str, tuple[Network, Line]], colours: Colours) -> Figure:
    """Loss and error on straight lines between networks; training bold, test thin and dashed."""
    with new_figure(8, 3.9) as figure:
        panels = figure.subplots(1, 2)
        for axes, title in zip(panels, ("loss", "error (%)"), strict=True):
            prepare(axes, title, "from the first network (0) to the second (1)", integers=False)
            for end in (0, 1):
                axes.axvline(end, color="0.8", linewidth=0.8)
        handles = []
        for name, (network, result) in results.items():
            for part, style in (("training", {"linewidth": 2.0}), ("test", {"linewidth": 1.0, "linestyle": (0, (3, 1.5))})):
                losses = result.train_losses if part == "training" else result.test_losses
                errors = result.train_errors if part == "training" else result.test_errors
                look: Any = {"color": colours[network], **style}
                panels[0].plot(result.positions, _with_gaps(losses), **look)
                panels[1].plot(result.positions, [100 * error for error in errors], **look)
                handles.append(Line2D([], [], label=f"{name}, {part}", **look))
        panels[0].set_ylim(0, min(panels[0].get_ylim()[1], _MAX_LEVEL))
        panels[1].set_ylim(bottom=0)
        figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    return figure


def _grid(number: int, columns: int, **options: Any) -> tuple[Figure, list[Axes]]:
    rows = -(-number // columns)
    figure = Figure(figsize=(max(2.3 * columns + 1.0, 4.0), 2.6 * rows + 0.5), layout="constrained")
    panels = [figure.add_subplot(rows, columns, index + 1, **options) for index in range(number)]
    return figure, panels


def _scale(results: Iterable[Landscape]) -> tuple[LogNorm, list[float]]:
    """The common logarithmic scale, from the lowest loss to at most _MAX_LEVEL, and its contour levels."""
    values = np.concatenate([_losses(result).ravel() for result in results])
    low = max(float(values.min()), 1e-3)
    high = min(float(values.max()), _MAX_LEVEL)
    levels = np.geomspace(low, max(high, 1.01 * low), _LEVELS)
    return LogNorm(levels[0], levels[-1]), [float(level) for level in levels]


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
    middle = len(result.coordinates) // 2
    if len(result.coordinates) % 2 == 0:
        return "training loss"
    loss = result.losses[middle][middle]
    return f"loss {loss:.3g}" if loss is not None else "no finite loss"


def _colourbar(figure: Figure, panels: Sequence[Axes], norm: LogNorm) -> None:
    bar = figure.colorbar(ScalarMappable(norm, _MAP), ax=panels, label="training loss", shrink=0.8, pad=0.02)
    assert bar.solids is not None
    bar.solids.set_rasterized(False)  # the page's security policy allows no images
    ticks = _round_losses(norm)
    bar.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    bar.minorticks_off()
