"""The data of the curves: as series for the page's script, as a table, and as CSV."""

import csv
import io
import itertools
from collections.abc import Iterator, Sequence
from functools import cache

from resnet_lab.config.varied import label
from resnet_lab.presentation.blocks import Chart, Series, Table
from resnet_lab.record.files import to_json
from resnet_lab.record.lines import EvalRecord, TrainRecord
from resnet_lab.record.store import Run
from resnet_lab.study.compare import Comparison
from resnet_lab.study.values import comparison_values

_TENTHS = 10


def chart(comparison: Comparison, colours: dict[tuple[str, int], str]) -> Chart:
    """Running training error and test error of every run, in percent; `colours` are by variant and depth."""
    series = tuple(
        line for run in comparison.runs for line in _series(run, colours[run.config.model.variant, run.config.model.depth])
    )
    epoch_steps = comparison.runs[0].config.epoch_steps if comparison.runs else 1
    drops = sorted({step for run in comparison.runs for step in lr_drops(run)})
    return Chart(series, epoch_steps, tuple(drops))


def _series(run: Run, colour: str) -> Iterator[Series]:
    model = run.config.model
    hours = hours_at(run)
    lines = (
        ("training", [(record.step, record.error) for record in run.train]),
        ("test", [(record.step, record.test_error) for record in run.evaluations]),
    )
    for part, points in lines:
        yield Series(
            run=run.name,
            network=f"{model.variant}-{model.depth}",
            kind=model.kind,
            seed=run.config.seed,
            part=part,
            colour=colour,
            steps=tuple(step for step, _ in points),
            hours=tuple(round(hours[step], 5) for step, _ in points),
            values=tuple(round(100 * error, 4) for _, error in points),
        )


def hours_at(run: Run) -> dict[int, float]:
    """Accumulated hours of training and evaluation at each recorded step."""
    hours, total = {}, 0.0
    records: Sequence[TrainRecord | EvalRecord] = sorted(
        [*run.train, *run.evaluations], key=lambda record: (record.step, record.type == "eval")
    )
    for record in records:
        total += record.seconds / 3600
        hours[record.step] = total
    return hours


def lr_drops(run: Run) -> list[int]:
    """The recorded steps at which the lr has decreased."""
    lrs = [(record.step, record.lr) for record in run.train]
    return [step for (_, before), (step, after) in itertools.pairwise(lrs) if after < before]


def curve_table(comparison: Comparison) -> Table:
    """Running training error and test error of every run, in percent, at each tenth of its steps: the last record up to it."""
    rows = []
    for run in comparison.runs:
        marks = [run.config.recipe.steps * tenth // _TENTHS for tenth in range(1, _TENTHS + 1)]
        for part, points in (
            ("training", [(record.step, record.error) for record in run.train]),
            ("test", [(record.step, record.test_error) for record in run.evaluations]),
        ):
            rows.append((f"{run.name} {part}", *(_at(points, mark) for mark in marks)))
    header = ("error in %", *(f"{100 * tenth // _TENTHS} %" for tenth in range(1, _TENTHS + 1)))
    return Table("The curves as numbers: the last value up to each tenth of a run's steps.", header, tuple(rows))


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
