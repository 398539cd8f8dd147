"""The curves as text for the terminal: test error as filled marks, training error as hollow ones on a dotted line.

Plain and residual stand side by side on one scale. A depth has its mark, its lightness and its label, any of which would do.
"""

import math
import statistics
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from resnet_lab.config.terms import KINDS, Kind
from resnet_lab.record.store import Run

ROWS = 10
_LEFT, _RIGHT, _GAP = 5, 5, 2  # columns of the scale, of the labels, between the panels
_FEWEST, _MOST = 20, 48  # columns of a panel inside its axes
_TEST, _TRAINING = "●▲■◆★▼", "○△□◇☆▽"
_SHADES: dict[Kind, tuple[tuple[int, int, int], tuple[int, int, int]]] = {  # shallowest and deepest
    "plain": ((240, 170, 100), (205, 85, 0)),
    "residual": ((120, 180, 240), (30, 100, 210)),
}
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # bits of the braille patterns, from U+2800 on
_THIRDS = (1, 2, 3, 4, 5, 10, 15, 20, 25, 30, 100 / 3)
_MARK_EVERY = 6  # columns between two hollow marks


@dataclass(frozen=True)
class Span:
    """A piece of a line; `colour` is `#rrggbb`, or empty where it has none."""

    text: str
    colour: str = ""
    bold: bool = False


Line = list[Span]
Points = list[tuple[int, float]]


@dataclass(frozen=True)
class _Network:
    """The curves of a network, in percent by step; `label` is its depth, after its shortcut where that is not option A."""

    label: str
    test: Points
    training: Points
    test_mark: str
    training_mark: str
    colour: str


@dataclass(frozen=True)
class _Scale:
    """From errors in percent and steps to places in a panel."""

    bottom: float
    third: float
    steps: int
    columns: int

    def row(self, error: float, rows: int) -> int:
        """Of `rows`, the top one being 0."""
        share = (error - self.bottom) / (3 * self.third)
        return min(max(round((1 - share) * (rows - 1)), 0), rows - 1)

    def column(self, step: int, columns: int) -> int:
        """Of `columns`."""
        return min(round(step / self.steps * (columns - 1)), columns - 1)


def curves(runs: Sequence[Run], width: int) -> list[Line]:
    """Lines of text, none wider than `width` where that is 30 or more; none at all where no run has a record.

    Errors are means over the seeds that have the step.
    """
    networks = {kind: _networks(kind, [run for run in runs if run.config.model.kind == kind]) for kind in KINDS}
    points = [point for group in networks.values() for each in group for point in (*each.test, *each.training)]
    if not points:
        return []
    beside = (width - _GAP) // 2 - _LEFT - _RIGHT
    columns = min(beside if beside >= _FEWEST else max(width - _LEFT - _RIGHT, _FEWEST), _MOST)
    steps = max(run.config.recipe.steps for run in runs)
    bottom, third = _range([error for _, error in points])
    scale = _Scale(bottom, third, max(steps, 1), columns)
    panels = [_panel(kind, group, scale) for kind, group in networks.items()]
    lines = [[*left, Span(" " * _GAP), *right] for left, right in zip(*panels, strict=True)]
    shown = lines if beside >= _FEWEST else [line for panel in panels for line in panel]
    mean = ", means over seeds" if len({run.config.seed for run in runs}) > 1 else ""
    legend = textwrap.wrap(f"Error in % by step{mean}. Filled: test; hollow, dotted: training.", width)
    return [*map(_trimmed, shown), *([Span(text)] for text in legend)]


def _networks(kind: Kind, runs: Sequence[Run]) -> list[_Network]:
    networks = sorted({(run.config.model.shortcut, run.config.model.depth) for run in runs})
    found = []
    for position, network in enumerate(networks):
        members = [run for run in runs if (run.config.model.shortcut, run.config.model.depth) == network]
        share = position / (len(networks) - 1) if len(networks) > 1 else 0.5
        light, dark = _SHADES[kind]
        found.append(
            _Network(
                label=f"{network[0]}{network[1]}".removeprefix("A"),
                test=_mean((record.step, record.test_error) for run in members for record in run.evaluations),
                training=_mean((record.step, record.error) for run in members for record in run.train),
                test_mark=_TEST[position % len(_TEST)],
                training_mark=_TRAINING[position % len(_TRAINING)],
                colour="#" + "".join(f"{round(a + share * (b - a)):02x}" for a, b in zip(light, dark, strict=True)),
            )
        )
    return found


def _mean(points: Iterable[tuple[int, float]]) -> Points:
    """The mean in percent at every step, over the seeds that have it."""
    errors: dict[int, list[float]] = {}
    for step, error in points:
        errors.setdefault(step, []).append(100 * error)
    return [(step, statistics.fmean(errors[step])) for step in sorted(errors)]


def _range(errors: Sequence[float]) -> tuple[float, float]:
    """The bottom of the scale and a third of its height, round numbers such that all errors lie inside."""
    for third in _THIRDS:
        unit = min(third, 5)
        bottom = unit * math.floor(min(errors) / unit)
        if bottom + 3 * third >= max(errors):
            return bottom, third
    return 0, _THIRDS[-1]


def _panel(kind: Kind, networks: Sequence[_Network], scale: _Scale) -> list[Line]:
    """A title, the rows, the axis and its labels; every line is as wide as the others."""
    cells: dict[tuple[int, int], Span] = {}
    for network in networks:
        cells |= _dotted(network, scale)
    for offset, network in enumerate(networks):
        cells |= _hollow(network, scale, offset)
    for network in networks:
        for step, error in network.test:
            place = scale.row(error, ROWS), scale.column(step, scale.columns)
            cells[place] = Span(network.test_mark, network.colour, bold=True)
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
    """The kind, or that there is none of it."""
    text = kind if networks else f"no {kind} runs"
    return [Span(text.ljust(width), networks[-1].colour if networks else "", bold=True)]


def _dotted(network: _Network, scale: _Scale) -> dict[tuple[int, int], Span]:
    """The training error as braille dots, two by four a cell."""
    bits: dict[tuple[int, int], int] = {}
    for step, error in network.training:
        x, y = scale.column(step, 2 * scale.columns), scale.row(error, 4 * ROWS)
        place = y // 4, x // 2
        bits[place] = bits.get(place, 0) | _DOTS[y % 4][x % 2]
    return {place: Span(chr(0x2800 + each), network.colour) for place, each in bits.items()}


def _hollow(network: _Network, scale: _Scale, offset: int) -> dict[tuple[int, int], Span]:
    """The depth's mark on its dots every few columns, each depth at other ones."""
    errors: dict[int, list[float]] = {}
    for step, error in network.training:
        errors.setdefault(scale.column(step, scale.columns), []).append(error)
    return {
        (scale.row(statistics.fmean(found), ROWS), column): Span(network.training_mark, network.colour)
        for column, found in errors.items()
        if column % _MARK_EVERY == (1 + 2 * offset) % _MARK_EVERY
    }


def _labels(networks: Sequence[_Network], scale: _Scale) -> dict[int, Span]:
    """Mark and depth beside the end of each curve, or at the nearest row that is free."""
    labels: dict[int, Span] = {}
    for network in networks:
        ends = network.test or network.training
        free = [row for row in range(ROWS) if row not in labels]
        if ends and free:
            place = scale.row(ends[-1][1], ROWS)
            text = f" {network.test_mark}{network.label}"
            labels[min(free, key=lambda row: abs(row - place))] = Span(text.ljust(_RIGHT), network.colour, bold=True)
    return labels


def _trimmed(line: Line) -> Line:
    """Without spaces at its end."""
    kept = list(line)
    while kept and not kept[-1].text.strip():
        kept.pop()
    return [*kept[:-1], Span(kept[-1].text.rstrip(), kept[-1].colour, kept[-1].bold)] if kept else []
