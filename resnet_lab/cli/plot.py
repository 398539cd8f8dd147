"""A text plot of the curves: test error as filled markers, clean training error as hollow markers on a dotted line.

Plain and residual networks have a panel each, with a common scale. Marker, lightness and label each identify a depth.
"""

import math
import statistics
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from resnet_lab.config.terms import KINDS, Kind
from resnet_lab.record.store import Run

ROWS = 10
_LEFT, _RIGHT, _GAP = 5, 5, 2  # columns for the scale, for the labels, between the panels
_MIN_COLUMNS, _MAX_COLUMNS = 20, 48  # of a panel inside its axes
_TEST, _TRAINING = "●▲■◆★▼", "○△□◇☆▽"
_SHADES: dict[Kind, tuple[tuple[int, int, int], tuple[int, int, int]]] = {  # shallowest to deepest
    "plain": ((240, 170, 100), (205, 85, 0)),
    "residual": ((120, 180, 240), (30, 100, 210)),
}
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # bits of the braille patterns, added to U+2800
_THIRDS = (1, 2, 3, 4, 5, 10, 15, 20, 25, 30, 100 / 3)  # of the scale's height, in percent
_MARKER_COLUMNS = 6  # distance between hollow markers


@dataclass(frozen=True)
class Span:
    """A piece of a line; `colour` is `#rrggbb`, or empty for the default."""

    text: str
    colour: str = ""
    bold: bool = False


Line = list[Span]
Points = list[tuple[float, float]]


@dataclass(frozen=True)
class _Network:
    """The curves of a network, in percent by step; `label` is its depth, prefixed with B or C for these shortcuts."""

    label: str
    test: Points
    training: Points
    test_marker: str
    training_marker: str
    colour: str


@dataclass(frozen=True)
class _Scale:
    """Maps errors in percent and steps to rows and columns of a panel."""

    bottom: float
    third: float
    steps: int
    columns: int

    def row(self, error: float, rows: int) -> int:
        """The row of an error, counted from the top, out of `rows`."""
        share = (error - self.bottom) / (3 * self.third)
        return min(max(round((1 - share) * (rows - 1)), 0), rows - 1)

    def column(self, step: float, columns: int) -> int:
        """The column of a step, out of `columns`."""
        return min(round(step / self.steps * (columns - 1)), columns - 1)

    def between(self, points: Points) -> Points:
        """Points on the straight lines between these, close enough that every column of dots has one."""
        number = 2 * self.columns
        shares = [share / number for share in range(number)]
        lines = [
            (start + share * (end - start), first + share * (last - first))
            for (start, first), (end, last) in pairwise(points)
            for share in shares
        ]
        return [*lines, *points[-1:]]


def curves(runs: Sequence[Run], width: int) -> list[Line]:
    """Plot the runs as lines of text, at most `width` (at least 30) columns wide; no lines if no run has records.

    Errors are means over the seeds that have a record at the step.
    """
    networks = {kind: _networks(kind, [run for run in runs if run.config.model.kind == kind]) for kind in KINDS}
    points = [point for group in networks.values() for network in group for point in (*network.test, *network.training)]
    if not points:
        return []
    side_by_side = (width - _GAP) // 2 - _LEFT - _RIGHT
    is_wide = side_by_side >= _MIN_COLUMNS
    columns = min(side_by_side if is_wide else max(width - _LEFT - _RIGHT, _MIN_COLUMNS), _MAX_COLUMNS)
    steps = max(run.config.recipe.steps for run in runs)
    bottom, third = _range([error for _, error in points])
    scale = _Scale(bottom, third, max(steps, 1), columns)
    panels = [_panel(kind, group, scale) for kind, group in networks.items()]
    lines = [[*left, Span(" " * _GAP), *right] for left, right in zip(*panels, strict=True)]
    shown = lines if is_wide else [line for panel in panels for line in panel]
    mean = ", means over seeds" if len({run.config.seed for run in runs}) > 1 else ""
    legend = textwrap.wrap(f"Error in %{mean}. Filled: test; hollow, dotted: clean training.", width)
    return [*map(_trimmed, shown), *([Span(text)] for text in legend)]


def _networks(kind: Kind, runs: Sequence[Run]) -> list[_Network]:
    """The networks of one kind, by shortcut and depth."""
    keys = sorted({(run.config.model.shortcut, run.config.model.depth) for run in runs})
    networks = []
    for position, (shortcut, depth) in enumerate(keys):
        members = [run for run in runs if (run.config.model.shortcut, run.config.model.depth) == (shortcut, depth)]
        share = position / (len(keys) - 1) if len(keys) > 1 else 0.5
        light, dark = _SHADES[kind]
        networks.append(
            _Network(
                label=f"{shortcut}{depth}".removeprefix("A"),
                test=_mean((record.step, record.test_error) for run in members for record in run.evaluations),
                training=_mean((record.step, record.train_error) for run in members for record in run.evaluations),
                test_marker=_TEST[position % len(_TEST)],
                training_marker=_TRAINING[position % len(_TRAINING)],
                colour="#" + "".join(f"{round(a + share * (b - a)):02x}" for a, b in zip(light, dark, strict=True)),
            )
        )
    return networks


def _mean(points: Iterable[tuple[int, float]]) -> Points:
    """The mean in percent at every step, over the seeds that have a record there."""
    errors: dict[int, list[float]] = {}
    for step, error in points:
        errors.setdefault(step, []).append(100 * error)
    return [(step, statistics.fmean(errors[step])) for step in sorted(errors)]


def _range(errors: Sequence[float]) -> tuple[float, float]:
    """The bottom of the scale and a third of its height: round numbers that enclose all errors."""
    for third in _THIRDS:
        unit = min(third, 5)
        bottom = unit * math.floor(min(errors) / unit)
        if bottom + 3 * third >= max(errors):
            return bottom, third
    return 0, _THIRDS[-1]


def _panel(kind: Kind, networks: Sequence[_Network], scale: _Scale) -> list[Line]:
    """The lines of a panel: title, plot, axis and its labels. All are equally wide."""
    cells: dict[tuple[int, int], Span] = {}
    for network in networks:
        cells |= _dotted(network, scale)
    for offset, network in enumerate(networks):
        cells |= _hollow(network, scale, offset)
    for network in networks:
        for step, error in network.test:
            place = scale.row(error, ROWS), scale.column(step, scale.columns)
            cells[place] = Span(network.test_marker, network.colour, bold=True)
    labels = _labels(networks, scale)
    lines: list[Line] = [[Span(" " * _LEFT), *_title(kind, networks, scale.columns + _RIGHT)]]
    for row in range(ROWS):
        error = scale.bottom + scale.third * (ROWS - 1 - row) / 3
        number = f"{error:.0f}" if row % 3 == 0 else ""
        drawn = [cells.get((row, column), Span(" ")) for column in range(scale.columns)]
        lines.append([Span(f"{number:>{_LEFT - 2}} {'┤' if number else '│'}"), *drawn, labels.get(row, Span(" " * _RIGHT))])
    end = f"{scale.steps:,}"
    lines.append([Span(" " * (_LEFT - 1) + "└" + "─" * scale.columns + " " * _RIGHT)])
    lines.append([Span(" " * _LEFT + "0" + end.rjust(scale.columns - 1) + " " * _RIGHT)])
    return lines


def _title(kind: Kind, networks: Sequence[_Network], width: int) -> Line:
    """The kind of the panel, or a statement that there are no runs of it."""
    text = kind if networks else f"no {kind} runs"
    return [Span(text.ljust(width), networks[-1].colour if networks else "", bold=True)]


def _dotted(network: _Network, scale: _Scale) -> dict[tuple[int, int], Span]:
    """The training error as braille dots, two by four per cell."""
    bits: dict[tuple[int, int], int] = {}
    for step, error in scale.between(network.training):
        x, y = scale.column(step, 2 * scale.columns), scale.row(error, 4 * ROWS)
        place = y // 4, x // 2
        bits[place] = bits.get(place, 0) | _DOTS[y % 4][x % 2]
    return {place: Span(chr(0x2800 + pattern), network.colour) for place, pattern in bits.items()}


def _hollow(network: _Network, scale: _Scale, offset: int) -> dict[tuple[int, int], Span]:
    """The training markers, every few columns; `offset` staggers those of different networks."""
    errors: dict[int, list[float]] = {}
    for step, error in scale.between(network.training):
        errors.setdefault(scale.column(step, scale.columns), []).append(error)
    return {
        (scale.row(statistics.fmean(values), ROWS), column): Span(network.training_marker, network.colour)
        for column, values in errors.items()
        if column % _MARKER_COLUMNS == (1 + 2 * offset) % _MARKER_COLUMNS
    }


def _labels(networks: Sequence[_Network], scale: _Scale) -> dict[int, Span]:
    """Marker and depth beside the end of each curve, or in the nearest free row."""
    labels: dict[int, Span] = {}
    for network in networks:
        free = [row for row in range(ROWS) if row not in labels]
        if network.test and free:
            place = scale.row(network.test[-1][1], ROWS)
            text = f" {network.test_marker}{network.label}"
            labels[min(free, key=lambda row: abs(row - place))] = Span(text.ljust(_RIGHT), network.colour, bold=True)
    return labels


def _trimmed(line: Line) -> Line:
    """The line without trailing spaces."""
    kept = list(line)
    while kept and not kept[-1].text.strip():
        kept.pop()
    return [*kept[:-1], Span(kept[-1].text.rstrip(), kept[-1].colour, kept[-1].bold)] if kept else []
