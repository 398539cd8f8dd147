"""The figures of a study's cases: error against the value of one varied setting, and all cases side by side."""

from collections.abc import Container, Sequence
from textwrap import fill
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from resnet_lab.config.settings import flatten
from resnet_lab.config.varied import short
from resnet_lab.presentation.blocks import Colours, Layout, Network
from resnet_lab.presentation.style import DOTTED, TRAINING, keys, label_ends, marker, new_panels
from resnet_lab.report.figures import colours
from resnet_lab.study.cases import Case
from resnet_lab.study.cells import Cell
from resnet_lab.study.compare import Comparison
from resnet_lab.study.spread import Spread

_ERROR = "clean training error (%)"
_LOGARITHMIC_FROM = 10  # the ratio of the largest to the smallest value
_MOST_TICKS = 8  # of values on the axis
_ROW_INCHES: dict[Layout, float] = {"wide": 0.3, "narrow": 0.55}  # of cases side by side
_LINE_CHARACTERS, _SEEDS_BELOW = 46, 0.28  # of cases side by side; the latter as a part of a row
_NO_BREAK = "\u00a0=\u00a0"
_PLAIN_AT = {"model.shortcut_scale": 0.0}  # the value of a setting at which a residual network is the plain one


class _Line(NamedTuple):
    """A base network drawn as a line at its mean training error, in percent."""

    name: str
    error: float
    style: dict[str, Any]


class _Point(NamedTuple):
    """The error of a case, or of the base runs of a network, at the value of a setting."""

    value: float
    error: Spread
    base: Network | None = None


def curve_keys(comparison: Comparison) -> list[str]:
    """The settings that can be an axis: some network has at least two cases that vary this setting alone, with numbers."""
    networks = dict.fromkeys((key, case.network) for case in comparison.cases if (key := curve_key(case)) is not None)
    numbers = {pair: sum((curve_key(case), case.network) == pair for case in comparison.cases) for pair in networks}
    return list(dict.fromkeys(key for (key, _), number in numbers.items() if number > 1))


def curve_key(case: Case) -> str | None:
    """The setting that the case varies, if it is the only one and its value a number; else None."""
    if len(case.settings) != 1 or case.train_error is None:
        return None
    ((key, value),) = case.settings.items()
    return key if isinstance(value, int | float) and not isinstance(value, bool) else None


def against_value(comparison: Comparison, key: str, layout: Layout = "wide") -> Figure:
    """Training error against the value of a setting, with the base runs at theirs, and other base networks as lines."""
    palette, ends = colours(comparison), []
    networks = dict.fromkeys((case.variant, case.depth) for case in comparison.cases if curve_key(case) == key)
    curves = {network: _points(comparison, network, key) for network in networks}
    points = [point for points in curves.values() for point in points]
    with new_panels(layout, 1, 4) as (figure, [axes]):
        axes.set_ylabel(_ERROR)
        axes.set_xlabel(f"{short(key)} (base runs: {_base_values(points) or 'none'})")
        axes.grid(axis="y", color="0.9", linewidth=0.6)
        for network, own in curves.items():
            _draw_points(axes, own, network, palette)
            ends.append((100 * own[-1].error.mean, "{}-{}".format(*network), palette[network]))
            for point in own:
                if point.base not in (None, network):
                    _draw_points(axes, [point], point.base, palette)
        for name, error, line_style in _lines(comparison, exclude={point.base for point in points}):
            axes.axhline(error, zorder=0, **line_style)
            ends.append((error, name, line_style["color"]))
        _set_scale(axes, sorted({point.value for point in points}))
        label_ends(axes, ends)
    return figure


def _draw_points(axes: Axes, points: Sequence[_Point], network: Network, palette: Colours) -> None:
    """The mean errors with their intervals, joined by a line, in the style of a network."""
    axes.errorbar(
        [point.value for point in points],
        [100 * point.error.mean for point in points],
        yerr=[_half_width(point.error) for point in points],
        marker=marker(network[0]),
        color=palette[network],
        capsize=3,
        **TRAINING,
    )


def _set_scale(axes: Axes, values: Sequence[float]) -> None:
    """A logarithmic axis for values of different magnitudes, and ticks at the values if they are few."""
    if values[0] > 0 and values[-1] >= _LOGARITHMIC_FROM * values[0]:
        axes.set_xscale("log")
    if len(values) <= _MOST_TICKS:
        axes.set_xticks(values, [f"{value:g}" for value in values])
        axes.minorticks_off()


def _base_values(points: Sequence[_Point]) -> str:
    """The values of the base runs; for networks of several variants also which."""
    bases = dict.fromkeys((point.value, point.base) for point in points if point.base is not None)
    values = dict.fromkeys(f"{value:g}" for value, _ in bases)
    if len({value for value, _ in bases}) == 1:
        return next(iter(values))
    return ", ".join(f"{base[0]}-{base[1]} at {value:g}" for value, base in bases)


def side_by_side(comparison: Comparison, layout: Layout = "wide") -> Figure:
    """The training error of every case in a row of its own, with its seeds and its effect, and base networks as lines."""
    cases, palette = comparison.cases, colours(comparison)
    networks = list(dict.fromkeys(case.network for case in cases))
    rows = [row + networks.index(case.network) for row, case in enumerate(cases, 1)]  # below a heading for each network
    height = _ROW_INCHES[layout] * (len(cases) + len(networks))
    with new_panels(layout, 1, 1.3 + height) as (figure, [axes]):
        axes.set_xlabel(_ERROR)
        axes.grid(axis="y", color="0.93", linewidth=0.6)
        axes.set_yticks(rows, [_row_label(case) if layout == "wide" else "" for case in cases], fontsize=8)
        axes.set_ylim(len(cases) + len(networks) - 0.5, -0.5)
        for case, row in zip(cases, rows, strict=True):
            colour = palette[case.variant, case.depth]
            if row - 1 not in rows:
                base = _base(case)
                _write_heading(axes, case, row - 1, colour, layout)
            _draw_row(axes, case, row, colour)
            effect = _effect(case) + (f" ({_base(case)})" if _base(case) != base else "")
            if layout == "wide":
                _beside(axes, 1, row, effect, colour)
            else:
                _above(axes, row, f"{_row_label(case)}: {effect}", colour, "normal")
        lines = _lines(comparison)
        for line in lines:
            axes.axvline(line.error, zorder=0, **line.style)
        handles = [Line2D([], [], label=name, **style) for name, _, style in lines]
        keys(figure, handles)
    return figure


def _draw_row(axes: Axes, case: Case, row: float, colour: str) -> None:
    """The mean error of a case with its interval, and its seeds below."""
    if case.train_error is None:
        return
    values = [100 * value for value in case.train_error.values]
    axes.plot(values, [row + _SEEDS_BELOW] * len(values), "o", color=colour, alpha=0.5, markersize=3, markeredgewidth=0)
    mean, half = 100 * case.train_error.mean, _half_width(case.train_error)
    axes.errorbar(mean, row, xerr=half, fmt=marker(case.variant), color=colour, markersize=4.5, capsize=3)


def _write_heading(axes: Axes, case: Case, row: float, colour: str, layout: Layout) -> None:
    """The network of the cases below, and what their effects are measured against."""
    if layout == "wide":
        _beside(axes, 0, row, case.network, colour)
        _beside(axes, 1, row, f"effect on {_base(case)}", colour)
    else:
        _above(axes, row, f"{case.network}, effect on {_base(case)}", colour, "bold")


def _above(axes: Axes, row: float, text: str, colour: str, weight: str) -> None:
    """Text above the middle of a row, from the left edge of the axes."""
    place: Any = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "xytext": (2, 5)}
    axes.annotate(text, (0, row), color=colour, fontsize=7.5, weight=weight, va="bottom", **place)


def _beside(axes: Axes, side: int, row: float, text: str, colour: str) -> None:
    """Text beside the axes in a row: left (0) or right (1)."""
    axes.annotate(
        text,
        (side, row),
        xycoords=("axes fraction", "data"),
        xytext=(8 * (2 * side - 1), 0),
        textcoords="offset points",
        color=colour,
        fontsize=8,
        weight="normal" if side else "bold",
        ha="left" if side else "right",
        va="center",
        annotation_clip=False,
    )


def _row_label(case: Case) -> str:
    """The settings of a case in at most two lines, which break between settings."""
    text = case.label.replace(" = ", _NO_BREAK)
    return fill(text, _LINE_CHARACTERS, max_lines=2, placeholder=" ...").replace(_NO_BREAK, " = ")


def _base(case: Case) -> str:
    """The network on which the effect is."""
    contrast = case.primary
    return contrast.base if contrast else case.network


def _effect(case: Case) -> str:
    """The effect with its share of the gap, such as `reduces 74 %`."""
    contrast = case.primary
    if contrast is None or case.diverged:
        return case.effect
    if contrast.effect != "reduces" or contrast.removed is None:
        return contrast.effect
    return "reduces, perhaps completely" if contrast.removed >= 1 else f"reduces {100 * contrast.removed:.0f} %"


def _points(comparison: Comparison, network: Network, key: str) -> list[_Point]:
    """The errors of a network's cases and of base runs, in order of the setting's value.

    The base runs are those of the network, and of the plain one at a value that makes the network plain.
    """
    cases = [case for case in comparison.cases if curve_key(case) == key and (case.variant, case.depth) == network]
    points = [_Point(case.settings[key], case.train_error) for case in cases if case.train_error is not None]
    values = {network: _base_value(comparison, network, key)}
    plain_at = _PLAIN_AT.get(key)
    if network[0] != "plain" and plain_at not in {point.value for point in points}:
        values["plain", network[1]] = plain_at
    errors = {(cell.variant, cell.depth): cell.train_error for cell in comparison.cells}
    points += [_Point(value, errors[base], base) for base, value in values.items() if value is not None and base in errors]
    return sorted(points, key=lambda point: point.value)


def _base_value(comparison: Comparison, network: Network, key: str) -> float | None:
    """The value of a setting in the base runs of a network; None if they have no number."""
    configs = (run.config for run in comparison.runs if (run.config.model.variant, run.config.model.depth) == network)
    values = (dict(flatten(config.model_dump(mode="json"))).get(key) for config in configs)
    return next((value for value in values if isinstance(value, int | float)), None)


def _lines(comparison: Comparison, exclude: Container[Network | None] = ()) -> list[_Line]:
    """The shallowest and the deepest plain network, and the deepest of each residual variant, without those in `exclude`."""
    palette, lines = colours(comparison), []
    for variant in dict.fromkeys(cell.variant for cell in comparison.cells):
        cells = [cell for cell in comparison.cells if cell.variant == variant]
        shown: list[Cell] = [cells[0], cells[-1]] if variant == "plain" and len(cells) > 1 else cells[-1:]
        for cell in shown:
            if (variant, cell.depth) not in exclude:
                style = DOTTED | {"color": palette[variant, cell.depth], "linewidth": 1.5}
                lines.append(_Line(f"{variant}-{cell.depth}", 100 * cell.train_error.mean, style))
    return lines


def _half_width(error: Spread) -> float:
    """Half of the 95 % interval, in percent; 0 without an interval."""
    return 0.0 if error.interval is None else 100 * (error.interval[1] - error.mean)
