"""The figures against time: errors of every network, Figure 1 of the paper, and the lr and speed of every run."""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from resnet_lab.config.terms import KINDS
from resnet_lab.presentation.blocks import Layout, Part, X
from resnet_lab.presentation.style import DOTTED, RUNNING, TEST, TRAINING, keys, label_ends, new_panels, training_and_test
from resnet_lab.record.lines import EvalRecord, TrainRecord
from resnet_lab.record.store import Run
from resnet_lab.report.charts import hours_at, lr_drops, points
from resnet_lab.report.figures import colours
from resnet_lab.study.compare import Comparison

FEW_POINTS, MOST_POINTS = 20, 300
FIGURE_1_PARTS: tuple[tuple[Part, ...], ...] = (("running", "training"), ("test",))
STYLES: Mapping[Part, dict[str, Any]] = {"running": RUNNING, "test": TEST, "training": TRAINING}  # from back to front

R = TypeVar("R", TrainRecord, EvalRecord)


class Line(NamedTuple):
    """Errors in percent along the horizontal axis: the mean over seeds, and the extremes `low` and `high`."""

    x: list[float]
    mean: list[float]
    low: list[float]
    high: list[float]


class Axis(NamedTuple):
    """The horizontal axis: a function from a run's step to its position, the label, and the upper end."""

    position: Callable[[Run, int], float]
    label: str
    end: float


class Members(NamedTuple):
    """A network: its name, its runs (one per seed), and its colour."""

    name: str
    runs: list[Run]
    colour: str


def curves(comparison: Comparison, x: X = "step", layout: Layout = "wide") -> Figure:
    """As in Fig. 6: error of every network on a common scale, with a panel for plain and one for residual networks."""
    kinds = [kind for kind in KINDS if any(run.config.model.kind == kind for run in comparison.runs)] or KINDS[:1]
    with new_panels(layout, len(kinds), 3.9, sharey=True) as (figure, panels):
        axis = time_axis(comparison.runs, x)
        panels[0].set_ylim(*limits(comparison.runs))
        for kind, axes in zip(kinds, panels, strict=True):
            runs = [run for run in comparison.runs if run.config.model.kind == kind]
            _prepare(axes, f"{kind} networks" if runs else "no runs", axis, runs)
            ends = []
            for network in networks(comparison, runs):
                ends += _ends(network, [draw_line(axes, network, part, axis) for part in STYLES])
            label_ends(axes, ends)
        _label_errors(panels, layout)
        several = any(len(cell.seeds) > 1 for cell in comparison.cells)
        keys(figure, line_keys(several=several))
    return figure


def degradation(comparison: Comparison, x: X = "step", layout: Layout = "wide") -> Figure:
    """As in Fig. 1: the shallowest and the deepest plain network, training error in one panel and test error in the other."""
    with new_panels(layout, 2, 3.6, sharey=True) as (figure, panels):
        axis = time_axis(comparison.runs, x)
        chosen = shallowest_and_deepest(comparison)
        runs = [run for network in chosen for run in network.runs]
        panels[0].set_ylim(*limits(runs))
        for axes, title, parts in zip(panels, ("training error", "test error"), FIGURE_1_PARTS, strict=True):
            _prepare(axes, title, axis, runs)
            ends = []
            for network in chosen:
                ends += _ends(network, [draw_line(axes, network, part, axis) for part in parts])
            label_ends(axes, ends)
        _label_errors(panels, layout)
        keys(figure, line_keys(several=any(len(network.runs) > 1 for network in chosen)))
    return figure


def traces(comparison: Comparison, x: X = "step", layout: Layout = "wide") -> Figure:
    """The lr and the training speed of every run; an lr that all runs share is one grey line."""
    with new_panels(layout, 2, 3.3) as (figure, (left, right)):
        axis = time_axis(comparison.runs, x)
        _prepare(left, "learning rate", axis, [])
        left.set_yscale("log")
        _prepare(right, "images per second while training", axis, [])
        lrs: dict[tuple[tuple[float, float], ...], set[str]] = {}
        ends = []
        max_points = max(MOST_POINTS // 5, min(MOST_POINTS, 6000 // max(len(comparison.runs), 1)))
        for network in networks(comparison, comparison.runs):
            for run in network.runs:
                changes = _changes([(axis.position(run, record.step), record.lr) for record in run.train])
                lrs.setdefault(tuple(changes), set()).add(network.colour)
                timed = [record for record in run.train if record.seconds > 0]
                speeds = _medians(
                    [(axis.position(run, record.step), record.images / record.seconds) for record in timed], max_points
                )
                right.plot([x for x, _ in speeds], [speed for _, speed in speeds], color=network.colour, linewidth=1)
                ends += [(speeds[-1][1], network.name, network.colour)] if speeds and run is network.runs[-1] else []
        for changes_shown, drawn_in in lrs.items():
            colour = "0.3" if len(drawn_in) > 1 else next(iter(drawn_in))
            left.step([x for x, _ in changes_shown], [lr for _, lr in changes_shown], where="pre", color=colour, linewidth=1.4)
        right.set_ylim(bottom=0)
        label_ends(right, ends)
    return figure


def has_figure_1(comparison: Comparison) -> bool:
    """Whether there are plain networks of two depths to show."""
    return len({run.config.model.depth for run in _plain_with_records(comparison)}) > 1


def shallowest_and_deepest(comparison: Comparison) -> list[Members]:
    """The two plain networks of Figure 1."""
    plain = list(networks(comparison, _plain_with_records(comparison)))
    return [plain[0], plain[-1]]


def _plain_with_records(comparison: Comparison) -> list[Run]:
    return [run for run in comparison.runs if run.config.model.kind == "plain" and run.evaluations]


def time_axis(runs: Sequence[Run], x: X) -> Axis:
    """The horizontal axis that these runs share, in steps, epochs or hours."""
    longest = max((run.config.recipe.steps for run in runs), default=0)
    if x == "epoch":
        return Axis(
            lambda run, step: step / run.config.epoch_steps, "epochs", longest / runs[0].config.epoch_steps if runs else 0
        )
    if x == "hours":
        hours = {run.name: hours_at(run) for run in runs}
        unit, scale = ("hours", 1) if any(times and max(times.values()) >= 2 for times in hours.values()) else ("minutes", 60)
        end = max((max(times.values(), default=0.0) for times in hours.values()), default=0.0)
        return Axis(lambda run, step: scale * _hour(hours[run.name], step), f"{unit} of training and evaluation", scale * end)
    scale, unit = (1000, "thousand steps") if longest >= 2000 else (1, "steps")
    return Axis(lambda run, step: step / scale, unit, longest / scale)


def _hour(hours: Mapping[int, float], step: int) -> float:
    """The hours at a step; between two recorded steps it is interpolated."""
    if step in hours or not hours:
        return hours.get(step, 0.0)
    return float(np.interp(step, [0, *hours], [0.0, *hours.values()]))


def _prepare(axes: Axes, title: str, axis: Axis, runs: Sequence[Run]) -> None:
    axes.set_title(title)
    axes.grid(axis="y", color="0.9", linewidth=0.6)
    axes.set_xlabel(axis.label)
    if axis.end:
        axes.set_xlim(0, axis.end)
    mark_drops(axes, axis, runs)


def mark_drops(axes: Axes, axis: Axis, runs: Sequence[Run], **style: Any) -> None:
    """Mark the drops of the lr by dotted vertical lines."""
    for x in sorted({axis.position(run, step) for run in runs for step in lr_drops(run)}):
        axes.axvline(x, color="0.6", zorder=0, **{**DOTTED, **style})


def _label_errors(panels: Sequence[Axes], layout: Layout) -> None:
    for axes in panels if layout == "narrow" else panels[:1]:
        axes.set_ylabel("error (%)")


def networks(comparison: Comparison, runs: Sequence[Run]) -> Iterator[Members]:
    """Yield the networks of these runs, shallow before deep."""
    palette = colours(comparison)
    for variant, depth in sorted({(run.config.model.variant, run.config.model.depth) for run in runs}):
        members = [run for run in runs if (run.config.model.variant, run.config.model.depth) == (variant, depth)]
        yield Members(f"{variant}-{depth}", members, palette[variant, depth])


def draw_line(axes: Axes, network: Members, part: Part, axis: Axis, **style: Any) -> Line:
    """Draw the mean over seeds, and the range but for the running error. Returns what was drawn."""
    line = _line(network.runs, part, axis)
    markers = {"marker": "o", "markersize": 2.5} if part != "running" and len(line.x) <= FEW_POINTS else {}
    axes.plot(line.x, line.mean, color=network.colour, **{**STYLES[part], **markers, **style})
    if part != "running" and line.low != line.high:
        axes.fill_between(line.x, line.low, line.high, color=network.colour, alpha=0.12, linewidth=0)
    return line


def _line(runs: Sequence[Run], part: Part, axis: Axis) -> Line:
    if part == "running":
        return _thinned(_over_seeds(runs, axis, lambda run: run.train, lambda record: record.error))
    if part == "training":
        return _over_seeds(runs, axis, lambda run: run.evaluations, lambda record: record.train_error)
    return _over_seeds(runs, axis, lambda run: run.evaluations, lambda record: record.test_error)


def _over_seeds(runs: Sequence[Run], axis: Axis, records: Callable[[Run], Sequence[R]], error: Callable[[R], float]) -> Line:
    """Mean and extremes over runs at the steps that all of them have recorded."""
    members = [run for run in runs if records(run)]
    tables = [{record.step: 100 * error(record) for record in records(run)} for run in members]
    steps = sorted(set.intersection(*map(set, tables))) if tables else []
    if not steps:
        return Line([], [], [], [])
    xs = np.array([[axis.position(run, step) for step in steps] for run in members])
    values = np.array([[table[step] for step in steps] for table in tables])
    return Line(*(column.tolist() for column in (xs.mean(0), values.mean(0), values.min(0), values.max(0))))


def _thinned(line: Line) -> Line:
    """Average neighbouring points, so that no line has more than MOST_POINTS."""
    size = -(-len(line.x) // MOST_POINTS)
    if size <= 1:
        return line
    starts = np.arange(0, len(line.x), size)
    counts = np.diff(starts, append=len(line.x))
    return Line(*((np.add.reduceat(values, starts) / counts).tolist() for values in line))


def _ends(network: Members, lines: Sequence[Line]) -> list[tuple[float, str, str]]:
    """The label of a network at the end of the last of its lines that has points."""
    drawn = [line for line in lines if line.mean]
    return [(drawn[-1].mean[-1], network.name, network.colour)] if drawn else []


def line_keys(*, several: bool) -> list[Line2D]:
    """Handles that explain the lines of curves; `several`: over seeds."""
    band: dict[str, Any] = {"linewidth": 7, "alpha": 0.2}
    handles = [*training_and_test(), Line2D([], [], color="0.2", label="training, running (augmented)", **RUNNING)]
    return [*handles, *([Line2D([], [], color="0.2", label="range over seeds", **band)] if several else [])]


def limits(runs: Sequence[Run]) -> tuple[float, float]:
    """The range of all errors in percent, with a margin."""
    errors = [100 * error for run in runs for _, _, error in points(run)] or [0.0, 100.0]
    margin = max(0.06 * (max(errors) - min(errors)), 0.5)
    return max(0.0, min(errors) - margin), min(100.0, max(errors) + margin)


def _changes(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points before and after each change of the value, and both ends."""
    values = [value for _, value in points]
    kept = {0, len(points) - 1} if points else set()
    for index in range(1, len(points)):
        if values[index] != values[index - 1]:
            kept |= {index - 1, index}
    return [points[index] for index in sorted(kept)]


def _medians(points: Sequence[tuple[float, float]], max_points: int) -> list[tuple[float, float]]:
    """At most `max_points` medians of neighbouring points, which short pauses do not affect."""
    size = max(5, -(-len(points) // max_points)) if len(points) >= 10 else 1
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [(statistics.fmean(x for x, _ in group), statistics.median(value for _, value in group)) for group in groups]
