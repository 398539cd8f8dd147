"""The data of the curves: as series for the page's script, as a table, and as CSV."""

import csv
import io
import itertools
import math
from collections.abc import Iterator, Sequence
from functools import cache

from resnet_lab.config.schema import Milestones
from resnet_lab.config.varied import label
from resnet_lab.presentation.blocks import Chart, Part, Series, Table
from resnet_lab.record.files import to_json
from resnet_lab.record.lines import Record, ValidationRecord
from resnet_lab.record.store import Run
from resnet_lab.study.compare import Comparison
from resnet_lab.study.values import comparison_values

_TENTHS = 10


def chart(comparison: Comparison, colours: dict[tuple[str, int], str], notice: str = "") -> Chart:
    """Errors and losses of every run; `colours` are by variant and depth."""
    series = tuple(
        line for run in comparison.runs for line in _series(run, colours[run.config.model.variant, run.config.model.depth])
    )
    epoch_steps = comparison.runs[0].config.epoch_steps if comparison.runs else 1
    drops = sorted({step for run in comparison.runs for step in lr_drops(run)})
    return Chart(series, epoch_steps, tuple(drops), notice)


def _series(run: Run, colour: str) -> Iterator[Series]:
    model = run.config.model
    hours = hours_at(run)
    parts: dict[Part, list[tuple[int, float, float]]] = {
        "running": [(record.step, record.error, record.loss) for record in run.train],
        "training": [(record.step, record.train_error, record.train_loss) for record in run.evaluations],
        "test": [(record.step, record.test_error, record.test_loss) for record in run.evaluations],
    }
    for part, rows in parts.items():
        yield Series(
            run=run.name,
            network=f"{model.variant}-{model.depth}",
            kind=model.kind,
            seed=run.config.seed,
            part=part,
            colour=colour,
            steps=tuple(step for step, _, _ in rows),
            hours=tuple(round(hours[step], 5) for step, _, _ in rows),
            errors=tuple(round(100 * error, 3) for _, error, _ in rows),
            losses=tuple(float(f"{loss:.4g}") if math.isfinite(loss) else None for _, _, loss in rows),
        )


def hours_at(run: Run) -> dict[int, float]:
    """Accumulated hours of training, checks and evaluations, at the step of each training record and evaluation."""
    hours, total = {}, 0.0
    records: Sequence[Record] = sorted(
        [*run.train, *run.validation, *run.evaluations], key=lambda record: (record.step, record.type == "eval")
    )
    for record in records:
        total += record.seconds / 3600
        if not isinstance(record, ValidationRecord):  # the training before a check is timed by a later record
            hours[record.step] = total
    return hours


def lr_drops(run: Run) -> list[int]:
    """The steps after which the lr was lower.

    The recorded lrs show between which records it fell; the steps are the milestones or the validation checks between these two
    records, or the step of the later one if there are none.
    """
    schedule = run.config.recipe.schedule
    known = schedule.milestones if isinstance(schedule, Milestones) else [record.step for record in run.validation]
    drops: list[int] = []
    for before, after in itertools.pairwise(run.train):
        if after.lr < before.lr:
            between = [step for step in known if before.step <= step < after.step]
            drops += (between if isinstance(schedule, Milestones) else between[-1:]) or [after.step]
    return drops


def curve_table(comparison: Comparison) -> Table:
    """Clean training error and test error of every run, in percent, at each tenth of its steps: the last record up to it."""
    rows = []
    for run in comparison.runs:
        marks = [run.config.recipe.steps * tenth // _TENTHS for tenth in range(1, _TENTHS + 1)]
        for part, points in (
            ("training", [(record.step, record.train_error) for record in run.evaluations]),
            ("test", [(record.step, record.test_error) for record in run.evaluations]),
        ):
            rows.append((f"{run.name} {part}", *(_at(points, mark) for mark in marks)))
    header = ("error in %", *(f"{100 * tenth // _TENTHS} %" for tenth in range(1, _TENTHS + 1)))
    caption = "Clean training error and test error: the last evaluation up to each tenth of a run's steps."
    return Table(caption, header, tuple(rows))


def _at(points: Sequence[tuple[int, float]], mark: int) -> str:
    before = [error for step, error in points if step <= mark]
    is_reached = bool(points) and points[-1][0] >= mark
    return f"{100 * before[-1]:.2f}" if before and is_reached else "-"


def numbers(comparison: Comparison) -> dict[str, bytes]:
    """The contents of `curves.csv` and `summary.json`, by file name."""
    return {"curves.csv": curve_points(comparison).encode(), "summary.json": to_json(comparison_values(comparison))}


def curve_points(comparison: Comparison) -> str:
    """All points of all runs as CSV; `error` is a fraction in full precision. Only a study with cases has the column `varied`."""
    has_cases = bool(comparison.varied)
    columns = ("run", "variant", "kind", "shortcut", "depth", "seed", *(["varied"] if has_cases else []))
    parts = [_csv(*columns, "step", "series", "error") + "\n"]
    for run in comparison.all_runs:
        model = run.config.model
        varied = [label(run.config.varied_settings)] if has_cases else []
        head = _csv(run.name, model.variant, model.kind, model.shortcut, model.depth, run.config.seed, *varied)
        parts += [f"{head},{step},{_csv(series)},{error!r}\n" for step, series, error in sorted(points(run))]
    return "".join(parts)


@cache
def _csv(*cells: object) -> str:
    """One CSV row, quoted where necessary, without a line end."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow(cells)
    return buffer.getvalue()


def points(run: Run) -> Iterator[tuple[int, str, float]]:
    """Yield the step, the name of the series and the error (a fraction) of every record."""
    for record in run.train:
        yield record.step, "training, running", record.error
    for evaluation in run.evaluations:
        yield evaluation.step, "training, clean", evaluation.train_error
        yield evaluation.step, "test", evaluation.test_error
        if evaluation.validation_error is not None:
            yield evaluation.step, "validation", evaluation.validation_error
