"""A study's records in the forms of other tools: tables as CSV, and event files as TensorBoard reads them."""

import csv
import dataclasses
import datetime
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from resnet_lab.config.settings import flatten
from resnet_lab.errors import ConfigError
from resnet_lab.record.files import disk_errors
from resnet_lab.record.lines import EvalRecord, Record, TrainRecord, ValidationRecord
from resnet_lab.record.store import Run
from resnet_lab.record.study import Study
from resnet_lab.record.sums import write_listed
from resnet_lab.text import printable

_HEAD = ("study", "run", "variant", "kind", "shortcut", "depth", "seed")  # of a row in every table
_OWN = ".resnet-lab"  # the end of an event file's name, by which a later export knows it as one of its own


def write_csv(folder: Path, study: Study) -> list[Path]:
    """Write `runs.csv` with a row a run, and a file with a row a record for each type of record. Raises DiskError.

    Numbers have all their digits, errors are fractions, and what a record or a config does not have is an empty cell.
    """
    tables = {
        "runs.csv": _run_rows(study),
        "training.csv": _record_rows(study, TrainRecord, [(run, run.train) for run in study.runs]),
        "evaluation.csv": _record_rows(study, EvalRecord, [(run, run.evaluations) for run in study.runs]),
        "validation.csv": _record_rows(study, ValidationRecord, [(run, run.validation) for run in study.runs]),
    }
    write_listed(folder, {name: _csv(rows).encode() for name, rows in tables.items()}, "--out")
    return [folder / name for name in tables]


def _run_rows(study: Study) -> Iterator[list[Any]]:
    """The header, and a row a run: its network, how far it is, its identity and its settings."""
    settings = [dict(flatten(run.config.model_dump(mode="json", exclude={"seed"}))) for run in study.runs]
    keys = list(dict.fromkeys(key for each in settings for key in each))
    yield [*_HEAD, "state", "step", "digest", *keys]
    for run, each in zip(study.runs, settings, strict=True):
        yield [*_head(study, run), run.state, run.step, run.config.digest(), *(_cell(each.get(key)) for key in keys)]


def _record_rows(study: Study, kind: type[Record], found: Iterable[tuple[Run, Sequence[Record]]]) -> Iterator[list[Any]]:
    """The header, and a row a record of this type."""
    yield [*_HEAD, *(field.name for field in dataclasses.fields(kind))]
    for run, records in found:
        yield from ([*_head(study, run), *dataclasses.astuple(record)] for record in records)


def _head(study: Study, run: Run) -> list[Any]:
    """The cells under _HEAD."""
    model = run.config.model
    return [printable(study.name), run.name, model.variant, model.kind, model.shortcut, model.depth, run.config.seed]


def _cell(value: Any) -> Any:
    """Numbers, text and nothing as they are, the rest as in JSON."""
    return value if value is None or (isinstance(value, int | float | str) and not isinstance(value, bool)) else json.dumps(value)


def _csv(rows: Iterable[Sequence[Any]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def write_tensorboard(folder: Path, runs: Sequence[Run]) -> list[Path]:
    """Write an event file in a folder of its own for each run, and remove those of an earlier export that it does not write.

    Raises DiskError, and ConfigError where TensorBoard is not installed. The same records give the same bytes.
    """
    files = {f"{run.name}/events.out.tfevents.{int(_started(run)):010d}{_OWN}": _event_file(run) for run in runs}
    paths = [folder / name for name in files]
    with disk_errors(folder, "--out"):
        for path in folder.glob(f"*/events.out.tfevents.*{_OWN}"):
            if path not in paths:
                path.unlink()
    write_listed(folder, files, "--out")
    return paths


def _event_file(run: Run) -> bytes:
    """A run's scalars as an event file; TensorBoard keeps values as 32-bit floats."""
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter
    except ImportError:
        raise ConfigError(
            "TensorBoard is not installed here: `pip install 'resnet-lab[tensorboard]'` installs it, and --to csv goes without."
        ) from None
    buffer = io.BytesIO()
    writer = RecordWriter(buffer)
    writer.write(Event(wall_time=_started(run), file_version="brain.Event:2").SerializeToString())
    for wall_time, step, scalars in _scalars(run):
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()])
        writer.write(Event(wall_time=wall_time, step=step, summary=summary).SerializeToString())
    return buffer.getvalue()


def _scalars(run: Run) -> Iterator[tuple[float, int, dict[str, float]]]:
    """Wall time, step and new scalars of every record. Time is the start's and the seconds that the records count since then."""
    records: list[Record] = sorted(
        [*run.train, *run.validation, *run.evaluations], key=lambda record: (record.step, isinstance(record, EvalRecord))
    )
    wall_time = _started(run)
    seen: set[tuple[int, str]] = set()
    for record in records:
        wall_time += record.seconds
        new = {tag: value for tag, value in _tags(record).items() if (record.step, tag) not in seen}
        seen |= {(record.step, tag) for tag in new}  # a check and an evaluation may fall on one step: one validation error
        yield wall_time, record.step, new


def _tags(record: Record) -> dict[str, float]:
    """A record's scalars by the names that TensorBoard shows; what stands before the slash is one group of charts."""
    match record:
        case TrainRecord():
            speed = {"images per second": record.images / record.seconds} if record.seconds > 0 else {}
            scalars = {"error/training (running)": record.error, "loss/training (running)": record.loss, "lr": record.lr}
            return scalars | speed
        case ValidationRecord():
            return {"error/validation": record.error, "loss/validation": record.loss}
        case EvalRecord():
            found = {
                "error/training (clean)": record.train_error,
                "error/validation": record.validation_error,
                "error/test": record.test_error,
                "loss/training (clean)": record.train_loss,
                "loss/validation": record.validation_loss,
                "loss/test": record.test_loss,
            }
            return {tag: value for tag, value in found.items() if value is not None}


def _started(run: Run) -> float:
    """When the run started, in seconds since 1970; 0 where no readable event says so."""
    try:
        return datetime.datetime.fromisoformat(run.events[0].time).timestamp()
    except (IndexError, TypeError, ValueError):
        return 0.0
