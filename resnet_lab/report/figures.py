"""The figures of a study's own numbers. Hue shows the variant and lightness the depth, so that greyscale is readable."""

import io
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from resnet_lab.config.terms import KINDS, VARIANTS
from resnet_lab.presentation.blocks import Illustration, X
from resnet_lab.presentation.style import STYLE, label_ends
from resnet_lab.record.lines import EvalRecord, TrainRecord
from resnet_lab.record.store import Run
from resnet_lab.report.charts import hours_at, lr_drops, points
from resnet_lab.study.compare import Comparison
from resnet_lab.study.published import NUMBERS, PAPER, is_comparable
from resnet_lab.text import printable

STAND_IN_NOTICE = "SYNTHETIC STAND-IN, NOT CIFAR-10"
FEW_POINTS, MOST_POINTS = 20, 300
_HUES = {"plain": "Oranges", "residual": "Blues", "residual-B": "Greens", "residual-C": "Purples"}
_DASHED, _THIN, _BOLD = (0, (3, 1.5)), 1.0, 2.2


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


def curves(comparison: Comparison, x: X = "step") -> Figure:
    """As in Fig. 6: error of every network, plain and residual side by side on a common scale; training dashed, test bold."""
    with mpl.rc_context(STYLE):
        figure, panels = _panels()
        axis = _axis(comparison.runs, x)
        panels[0].set_ylim(*_limits(comparison.runs))
        for kind, axes in zip(KINDS, panels, strict=True):
            runs = [run for run in comparison.runs if run.config.model.kind == kind]
            _prepare(axes, f"{kind} networks", axis, runs)
            ends = []
            for name, members, colour in _networks(comparison, runs):
                _draw(axes, _training(members, axis), colour, test=False)
                tests = _test(members, axis)
                _draw(axes, tests, colour, test=True)
                ends += [(tests.mean[-1], name, colour)] if tests.mean else []
            if not runs:
                axes.text(0.5, 0.5, f"no {kind} runs", transform=axes.transAxes, ha="center", color="0.4")
            label_ends(axes, ends)
        several = any(len(cell.seeds) > 1 for cell in comparison.cells)
        figure.legend(handles=_styles(several=several), loc="outside lower center", ncols=3, frameon=False)
    return figure


def degradation(comparison: Comparison, x: X = "step") -> Figure:
    """As in Fig. 1: the shallowest and the deepest plain network, training error on the left and test error on the right."""
    with mpl.rc_context(STYLE):
        figure, panels = _panels()
        axis = _axis(comparison.runs, x)
        networks = list(_networks(comparison, _plain_with_records(comparison)))
        chosen = [networks[0], networks[-1]]
        runs = [run for _, members, _ in chosen for run in members]
        panels[0].set_ylim(*_limits(runs))
        for axes, title, lines in ((panels[0], "training error", _training), (panels[1], "test error", _test)):
            _prepare(axes, title, axis, runs)
            ends = []
            for name, members, colour in chosen:
                line = lines(members, axis)
                _draw(axes, line, colour, test=title == "test error")
                ends += [(line.mean[-1], name, colour)] if line.mean else []
            label_ends(axes, ends)
    return figure


def by_depth(comparison: Comparison) -> Figure:
    """Error at the last evaluation against depth, with published test errors if all runs follow the paper's recipe."""
    with mpl.rc_context(STYLE):
        figure, panels = _panels()
        depths = sorted({cell.depth for cell in comparison.cells})
        offset = max(1.2, (depths[-1] - depths[0]) / 30)  # horizontal offset of published numbers from ours
        for axes, title in zip(panels, ("clean training error", "test error"), strict=True):
            axes.set_title(title)
            axes.grid(axis="y", color="0.9", linewidth=0.6)
            axes.set_xlabel("depth (weighted layers)")
            axes.set_xticks(depths)
            axes.set_xlim(depths[0] - 3 * offset, depths[-1] + 3 * offset)
            ends = []
            for variant in VARIANTS:
                colour = _colour(variant, 1, 2)
                cells = [cell for cell in comparison.cells if cell.variant == variant]
                errors = [cell.train_error if axes is panels[0] else cell.test_error for cell in cells]
                means = [100 * error.mean for error in errors]
                half_widths = [0.0 if error.interval is None else 100 * (error.interval[1] - error.mean) for error in errors]
                style = "s-" if variant == "plain" else "o-"
                axes.errorbar(
                    [cell.depth for cell in cells], means, yerr=half_widths, fmt=style, color=colour, capsize=3, linewidth=1.6
                )
                ends += [(means[-1], variant, colour)] if means else []
            label_ends(axes, ends)
        if published_depths(comparison):
            for variant, marker in (("plain", "s"), ("residual", "o")):
                ours = {cell.depth for cell in comparison.cells if cell.variant == variant}
                others = [number for number in NUMBERS if number.variant == variant and number.depth in ours]
                for is_paper, face in ((False, "none"), (True, _colour(variant, 1, 2))):
                    chosen = [number for number in others if (number.source == PAPER) == is_paper]
                    axes.plot(
                        [number.depth + (offset if is_paper else -offset) for number in chosen],
                        [number.test_error for number in chosen],
                        marker,
                        color=_colour(variant, 0, 2),
                        markerfacecolor=face,
                        markersize=6 if is_paper else 4,
                    )
            handles = [
                Line2D([], [], marker="o", color="0.3", label="ours"),
                Line2D([], [], marker="o", color="0.3", linestyle="", markersize=6, label="the paper (right)"),
                Line2D(
                    [], [], marker="o", color="0.3", linestyle="", markerfacecolor="none", markersize=4, label="others (left)"
                ),
            ]
            figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    return figure


def published_depths(comparison: Comparison) -> list[int]:
    """The depths at which ours can be compared with published numbers: none unless every run follows the paper's recipe."""
    if not comparison.cells or not all(is_comparable(run.config) for run in comparison.runs):
        return []
    return sorted({cell.depth for cell in comparison.cells} & {number.depth for number in NUMBERS})


def traces(comparison: Comparison, x: X = "step") -> Figure:
    """The lr and the training speed of every run."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        axis = _axis(comparison.runs, x)
        _prepare(left, "learning rate", axis, [])
        left.set_yscale("log")
        _prepare(right, "images per second while training", axis, [])
        ends: dict[str, tuple[float, str, str]] = {}
        max_points = max(MOST_POINTS // 5, min(MOST_POINTS, 6000 // max(len(comparison.runs), 1)))
        for name, members, colour in _networks(comparison, comparison.runs):
            for run in members:
                lrs = _changes([(axis.position(run, record.step), record.lr) for record in run.train])
                left.step([x for x, _ in lrs], [lr for _, lr in lrs], where="pre", color=colour, linewidth=1.4)
                timed = [record for record in run.train if record.seconds > 0]
                speeds = _medians(
                    [(axis.position(run, record.step), record.images / record.seconds) for record in timed], max_points
                )
                right.plot([x for x, _ in speeds], [speed for _, speed in speeds], color=colour, linewidth=_THIN)
                if speeds:
                    ends[name] = (speeds[-1][1], name, colour)
        right.set_ylim(bottom=0)
        label_ends(right, list(ends.values()))
    return figure


def has_figure_1(comparison: Comparison) -> bool:
    """Whether there are plain networks of two depths to show."""
    return len({run.config.model.depth for run in _plain_with_records(comparison)}) > 1


def _plain_with_records(comparison: Comparison) -> list[Run]:
    return [run for run in comparison.runs if run.config.model.kind == "plain" and run.train]


def svg(figure: Figure, keywords: str | None = None) -> str:
    """The figure as an SVG element without an XML header; the same runs give the same bytes. `keywords` are metadata."""
    text = rendered(figure, "svg", keywords).decode()
    return text[text.index("<svg") :]


def colours(comparison: Comparison) -> dict[tuple[str, int], str]:
    """The colour of every variant and depth."""
    palette: dict[tuple[str, int], str] = {}
    for variant in VARIANTS:
        depths = sorted({run.config.model.depth for run in comparison.runs if run.config.model.variant == variant})
        palette |= {(variant, depth): _colour(variant, index, len(depths)) for index, depth in enumerate(depths)}
    return palette


def _panels() -> tuple[Figure, Sequence[Axes]]:
    """A figure with two panels that share a vertical axis in percent."""
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    panels[0].set_ylabel("error (%)")
    return figure, panels


def entitled(illustration: Illustration, comparison: Comparison) -> Figure:
    """Draw an illustration under a title with the name of the study and, if it applies, the stand-in notice."""
    figure = illustration.draw()
    name = printable(comparison.study.name).replace("$", r"\$")  # matplotlib would read $ as mathematics
    title = f"{name}: {illustration.title}"
    if comparison.stand_in:
        figure.suptitle(f"{STAND_IN_NOTICE}\n{title}", fontsize=10, color="#b00020", weight="bold")
    else:
        figure.suptitle(title, fontsize=10)
    return figure


def untitled(figure: Figure) -> Figure:
    """The figure without its title, for the page, where the caption and the warning stand beside it."""
    figure.suptitle("").set_in_layout(False)
    return figure


def _axis(runs: Sequence[Run], x: X) -> Axis:
    longest = max((run.config.recipe.steps for run in runs), default=0)
    if x == "epoch":
        return Axis(
            lambda run, step: step / run.config.epoch_steps, "epochs", longest / runs[0].config.epoch_steps if runs else 0
        )
    if x == "hours":
        hours = {run.name: hours_at(run) for run in runs}
        unit, scale = ("hours", 1) if any(times and max(times.values()) >= 2 for times in hours.values()) else ("minutes", 60)
        end = max((max(times.values(), default=0.0) for times in hours.values()), default=0.0)
        return Axis(lambda run, step: scale * hours[run.name].get(step, 0.0), f"{unit} of training and evaluation", scale * end)
    scale, unit = (1000, "thousand steps") if longest >= 2000 else (1, "steps")
    return Axis(lambda run, step: step / scale, unit, longest / scale)


def _prepare(axes: Axes, title: str, axis: Axis, runs: Sequence[Run]) -> None:
    axes.set_title(title)
    axes.grid(axis="y", color="0.9", linewidth=0.6)
    axes.set_xlabel(axis.label)
    if axis.end:
        axes.set_xlim(0, axis.end)
    for x in sorted({axis.position(run, step) for run in runs for step in lr_drops(run)}):
        axes.axvline(x, color="0.75", linewidth=0.8, linestyle=":", zorder=0)


def _networks(comparison: Comparison, runs: Sequence[Run]) -> Iterator[tuple[str, list[Run], str]]:
    """Yield the name, the runs and the colour of every network, shallow before deep."""
    palette = colours(comparison)
    for variant, depth in sorted({(run.config.model.variant, run.config.model.depth) for run in runs}):
        members = [run for run in runs if (run.config.model.variant, run.config.model.depth) == (variant, depth)]
        yield f"{variant}-{depth}", members, palette[variant, depth]


def _training(runs: Sequence[Run], axis: Axis) -> Line:
    return _thinned(_over_seeds(runs, axis, lambda run: run.train, lambda record: record.error))


def _test(runs: Sequence[Run], axis: Axis) -> Line:
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


def _draw(axes: Axes, line: Line, colour: str, *, test: bool) -> None:
    marker = "o" if test and len(line.x) <= FEW_POINTS else ""
    style: Any = {"linewidth": _BOLD, "marker": marker, "markersize": 2.5} if test else {"linewidth": _THIN, "linestyle": _DASHED}
    axes.plot(line.x, line.mean, color=colour, **style)
    if line.low != line.high:
        axes.fill_between(line.x, line.low, line.high, color=colour, alpha=0.18, linewidth=0)


def _styles(*, several: bool) -> list[Line2D]:
    handles = [
        Line2D([], [], color="0.2", linewidth=_THIN, linestyle=_DASHED, label="training (running, augmented)"),
        Line2D([], [], color="0.2", linewidth=_BOLD, label="test"),
    ]
    if several:
        handles.append(Line2D([], [], color="0.2", linewidth=7, alpha=0.18, label="range over seeds"))
    return handles


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


def _limits(runs: Sequence[Run]) -> tuple[float, float]:
    """The range of all errors in percent, with a margin."""
    errors = [100 * error for run in runs for _, _, error in points(run)] or [0.0, 100.0]
    margin = max(0.06 * (max(errors) - min(errors)), 0.5)
    return max(0.0, min(errors) - margin), min(100.0, max(errors) + margin)


def _colour(variant: str, index: int, number: int) -> str:
    """The colour of the depth with this index among `number` depths: deeper is darker, and the lightest is visible on white."""
    darkness = 0.75 if number == 1 else 0.55 + 0.43 * index / (number - 1)
    return to_hex(mpl.colormaps[_HUES[variant]](darkness))


def rendered(figure: Figure, file_format: str, keywords: str | None = None) -> bytes:
    """The figure in this file format: png (200 dpi), svg or pdf. `keywords` are metadata."""
    metadata: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(file_format, {})
    metadata |= {"Keywords": keywords} if keywords else {}
    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format=file_format, dpi=200, metadata=metadata)
    return buffer.getvalue()
