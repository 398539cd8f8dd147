"""Export of a study's records as CSV tables and TensorBoard event files."""

import csv
import dataclasses
import datetime
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from resnet_lab.config.settings import flatten
from resnet_lab.errors import ConfigError
from resnet_lab.record.checksums import write_files
from resnet_lab.record.files import disk_errors
from resnet_lab.record.lines import EvalRecord, Record, TrainRecord, ValidationRecord
from resnet_lab.record.store import Run
from resnet_lab.record.study import Study
from resnet_lab.text import printable

_RUN_COLUMNS = ("study", "run", "variant", "kind", "shortcut", "depth", "seed")  # the first columns of every table
Show = Callable[[str], None]  # is told what is being done
_SUFFIX = ".resnet-lab"  # of event files, so that a later export recognises and replaces them


def write_csv(folder: Path, study: Study, show: Show = lambda what: None) -> list[Path]:
    """Write `runs.csv` with one row per run, and one file per record type with one row per record. Raises DiskError.

    Numbers have full precision, errors are fractions, and missing values are empty cells.
    """
    show("Writing tables")
    tables = {
        "runs.csv": _run_rows(study),
        "training.csv": _record_rows(study, TrainRecord, [(run, run.train) for run in study.runs]),
        "evaluation.csv": _record_rows(study, EvalRecord, [(run, run.evaluations) for run in study.runs]),
        "validation.csv": _record_rows(study, ValidationRecord, [(run, run.validation) for run in study.runs]),
    }
    write_files(folder, {name: _csv(rows).encode() for name, rows in tables.items()}, "--out")
    return [folder / name for name in tables]


def _run_rows(study: Study) -> Iterator[list[Any]]:
    """The header, then one row per run: its network, state, step, identity and settings."""
    settings_of_runs = [dict(flatten(run.config.model_dump(mode="json", exclude={"seed"}))) for run in study.runs]
    keys = list(dict.fromkeys(key for settings in settings_of_runs for key in settings))
    yield [*_RUN_COLUMNS, "state", "step", "digest", *keys]
    for run, settings in zip(study.runs, settings_of_runs, strict=True):
        yield [*_run_cells(study, run), run.state, run.step, run.config.digest(), *(_cell(settings.get(key)) for key in keys)]


def _record_rows(
    study: Study, record_type: type[Record], records_of_runs: Iterable[tuple[Run, Sequence[Record]]]
) -> Iterator[list[Any]]:
    """The header, then one row per record of this type."""
    yield [*_RUN_COLUMNS, *(field.name for field in dataclasses.fields(record_type))]
    for run, records in records_of_runs:
        yield from ([*_run_cells(study, run), *dataclasses.astuple(record)] for record in records)


def _run_cells(study: Study, run: Run) -> list[Any]:
    """The values of _RUN_COLUMNS."""
    model = run.config.model
    return [printable(study.name), run.name, model.variant, model.kind, model.shortcut, model.depth, run.config.seed]


def _cell(value: Any) -> Any:
    """Numbers, text and None unchanged, anything else as JSON."""
    return value if value is None or (isinstance(value, int | float | str) and not isinstance(value, bool)) else json.dumps(value)


def _csv(rows: Iterable[Sequence[Any]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def each(runs: Sequence[Run], show: Show) -> Iterator[Run]:
    """Yield the runs; `show` gets the name of each before it is exported."""
    for number, run in enumerate(runs, 1):
        show(f"Exporting {run.name}, {number} of {len(runs)}")
        yield run


def write_tensorboard(folder: Path, study: Study, show: Show = lambda what: None) -> list[Path]:
    """Write one event file per run, each in its own folder, and remove outdated files of earlier exports.

    The same records give the same bytes. Raises DiskError, and ConfigError if TensorBoard is not installed.
    """
    files = {
        f"{run.name}/events.out.tfevents.{int(started(run)):010d}{_SUFFIX}": _event_file(run) for run in each(study.runs, show)
    }
    paths = [folder / name for name in files]
    with disk_errors(folder, "--out"):
        for path in folder.glob(f"*/events.out.tfevents.*{_SUFFIX}"):
            if path not in paths:
                path.unlink()
    write_files(folder, files, "--out")
    return paths


def _event_file(run: Run) -> bytes:
    """The content of a run's event file; TensorBoard stores values as 32-bit floats."""
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter
    except ImportError:
        raise ConfigError(
            "TensorBoard is not installed: run `pip install 'resnet-lab[tensorboard]'`, or use --to csv, which does not need it."
        ) from None
    buffer = io.BytesIO()
    writer = RecordWriter(buffer)
    writer.write(Event(wall_time=started(run), file_version="brain.Event:2").SerializeToString())
    for wall_time, step, values in scalars(run):
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()])
        writer.write(Event(wall_time=wall_time, step=step, summary=summary).SerializeToString())
    return buffer.getvalue()


def scalars(run: Run) -> Iterator[tuple[float, int, dict[str, float]]]:
    """Yield wall time, step and new scalars of every record. Wall time is the run's start plus the seconds recorded since."""
    records: list[Record] = sorted(
        [*run.train, *run.validation, *run.evaluations], key=lambda record: (record.step, isinstance(record, EvalRecord))
    )
    wall_time = started(run)
    seen: set[tuple[int, str]] = set()
    for record in records:
        wall_time += record.seconds
        new = {tag: value for tag, value in _tags(record).items() if (record.step, tag) not in seen}
        seen |= {(record.step, tag) for tag in new}  # a plateau check and an evaluation at one step give the same error once
        yield wall_time, record.step, new


def _tags(record: Record) -> dict[str, float]:
    """A record's scalars by name; TensorBoard and W&B group charts by the part before the slash."""
    match record:
        case TrainRecord():
            speed = {"images per second": record.images / record.seconds} if record.seconds > 0 else {}
            training = {"error/training (running)": record.error, "loss/training (running)": record.loss, "lr": record.lr}
            return training | speed
        case ValidationRecord():
            return {"error/validation": record.error, "loss/validation": record.loss}
        case EvalRecord():
            values = {
                "error/training (clean)": record.train_error,
                "error/validation": record.validation_error,
                "error/test": record.test_error,
                "loss/training (clean)": record.train_loss,
                "loss/validation": record.validation_loss,
                "loss/test": record.test_loss,
            }
            return {tag: value for tag, value in values.items() if value is not None}


def started(run: Run) -> float:
    """When the run started, in seconds since 1970; 0 if no readable event records it."""
    try:
        return datetime.datetime.fromisoformat(run.events[0].time).timestamp()
    except (IndexError, TypeError, ValueError):
        return 0.0
