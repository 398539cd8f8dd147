"""The figures of a study's cases: error against the value of one varied setting, and all cases side by side."""

from textwrap import shorten
from typing import Any, NamedTuple

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from resnet_lab.config.settings import flatten
from resnet_lab.config.varied import short
from resnet_lab.presentation.blocks import Network
from resnet_lab.presentation.style import label_ends, new_figure
from resnet_lab.report.figures import colours
from resnet_lab.study.cases import Case
from resnet_lab.study.cells import Cell
from resnet_lab.study.compare import Comparison
from resnet_lab.study.spread import Spread

_ERROR = "clean training error (%)"
_LOGARITHMIC_FROM = 10  # the ratio of the largest to the smallest value
_MOST_TICKS, _MOST_CHARACTERS = 8, 60  # of values on the axis; of a row's label
_SHALLOW, _DEEP = ":", (0, (4, 1.5))  # line styles of base networks


class _Line(NamedTuple):
    """A base network drawn as a line at its mean training error, in percent."""

    name: str
    error: float
    style: dict[str, Any]


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


def against_value(comparison: Comparison, key: str) -> Figure:
    """Training error against the value of a setting, with the base runs at theirs, and other base networks as lines."""
    with new_figure(6.4, 4) as figure:
        axes = figure.subplots()
        axes.set_ylabel(_ERROR)
        axes.grid(axis="y", color="0.9", linewidth=0.6)
        palette, ends, values = colours(comparison), [], set()
        networks = dict.fromkeys((case.variant, case.depth) for case in comparison.cases if curve_key(case) == key)
        bases = dict.fromkeys(
            f"{value:g}" for network in networks if (value := _base_value(comparison, network, key)) is not None
        )
        axes.set_xlabel(f"{short(key)} (base runs: {', '.join(bases) or 'none'})")
        for network in networks:
            points = _points(comparison, network, key)
            style = "s-" if network[0] == "plain" else "o-"
            axes.errorbar(
                [value for value, _ in points],
                [100 * error.mean for _, error in points],
                yerr=[_half_width(error) for _, error in points],
                fmt=style,
                color=palette[network],
                capsize=3,
                linewidth=1.6,
            )
            ends.append((100 * points[-1][1].mean, "{}-{}".format(*network), palette[network]))
            values |= {value for value, _ in points}
        for name, error, line_style in _lines(comparison, exclude=networks):
            axes.axhline(error, zorder=0, **line_style)
            ends.append((error, name, line_style["color"]))
        if min(values) > 0 and max(values) >= _LOGARITHMIC_FROM * min(values):
            axes.set_xscale("log")
        if len(values) <= _MOST_TICKS:
            axes.set_xticks(sorted(values), [f"{value:g}" for value in sorted(values)])
            axes.minorticks_off()
        label_ends(axes, ends)
    return figure


def side_by_side(comparison: Comparison) -> Figure:
    """The training error of every case in a row of its own, with its seeds, and base networks as lines."""
    cases, palette = comparison.cases, colours(comparison)
    with new_figure(7.2, 1.5 + 0.27 * len(cases)) as figure:
        axes = figure.subplots()
        axes.set_xlabel(_ERROR)
        axes.grid(axis="y", color="0.93", linewidth=0.6)
        axes.set_yticks(range(len(cases)), [_row_label(case) for case in cases])
        axes.set_ylim(len(cases) - 0.5, -0.5)
        for row, case in enumerate(cases):
            colour = palette[case.variant, case.depth]
            if case.train_error is not None:
                values, marker = [100 * value for value in case.train_error.values], "s" if case.variant == "plain" else "o"
                axes.plot(values, [row] * len(values), "o", color=colour, alpha=0.35, markersize=3, markeredgewidth=0)
                axes.errorbar(
                    100 * case.train_error.mean,
                    row,
                    xerr=_half_width(case.train_error),
                    fmt=marker,
                    color=colour,
                    markersize=4.5,
                    capsize=3,
                )
        lines = _lines(comparison)
        for line in lines:
            axes.axvline(line.error, zorder=0, **line.style)
        handles = [Line2D([], [], label=name, **style) for name, _, style in lines]
        figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    return figure


def _row_label(case: Case) -> str:
    text = shorten(f"{case.network}, {case.label}", _MOST_CHARACTERS, placeholder=" ...")
    return f"{text} (diverged)" if case.diverged else text


def _points(comparison: Comparison, network: Network, key: str) -> list[tuple[float, Spread]]:
    """The values of a setting and the training errors of a network's cases and base runs, in order of value."""
    cases = [case for case in comparison.cases if curve_key(case) == key and (case.variant, case.depth) == network]
    points = [(case.settings[key], case.train_error) for case in cases if case.train_error is not None]
    base = [cell.train_error for cell in comparison.cells if (cell.variant, cell.depth) == network]
    if base and (value := _base_value(comparison, network, key)) is not None:
        points.append((value, base[0]))
    return sorted(points, key=lambda point: point[0])


def _base_value(comparison: Comparison, network: Network, key: str) -> float | None:
    """The value of a setting in the base runs of a network; None if they have no number."""
    configs = (run.config for run in comparison.runs if (run.config.model.variant, run.config.model.depth) == network)
    values = (dict(flatten(config.model_dump(mode="json"))).get(key) for config in configs)
    return next((value for value in values if isinstance(value, int | float)), None)


def _lines(comparison: Comparison, exclude: "dict[Network, None] | None" = None) -> list[_Line]:
    """The shallowest and the deepest plain network, and the deepest of each residual variant, without those in `exclude`."""
    palette, lines = colours(comparison), []
    for variant in dict.fromkeys(cell.variant for cell in comparison.cells):
        cells = [cell for cell in comparison.cells if cell.variant == variant]
        shown: list[Cell] = [cells[0], cells[-1]] if variant == "plain" and len(cells) > 1 else cells[-1:]
        for cell in shown:
            if (variant, cell.depth) not in (exclude or ()):
                style = {"color": palette[variant, cell.depth], "linestyle": _DEEP if cell is cells[-1] else _SHALLOW}
                lines.append(_Line(f"{variant}-{cell.depth}", 100 * cell.train_error.mean, style | {"linewidth": 1.2}))
    return lines


def _half_width(error: Spread) -> float:
    """Half of the 95 % interval, in percent; 0 without an interval."""
    return 0.0 if error.interval is None else 100 * (error.interval[1] - error.mean)
