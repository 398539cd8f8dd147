"""What a run says: the lines of `metrics.jsonl` and `events.jsonl`. Errors are fractions, time is in seconds."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class TrainRecord:
    """The *running* training error and loss: train mode, augmented, averaged over the images since the last record."""

    type: ClassVar[str] = "train"
    step: int
    error: float
    loss: float
    lr: float
    images: int
    seconds: float


@dataclass(frozen=True)
class ValidationRecord:
    """A check of the plateau schedule: error on the validation images."""

    type: ClassVar[str] = "validation"
    step: int
    error: float
    loss: float
    seconds: float


@dataclass(frozen=True)
class EvalRecord:
    """An evaluation: evaluation mode, no augmentation. `train_error` is the *clean* error on `train_images` images."""

    type: ClassVar[str] = "eval"
    step: int
    train_error: float
    train_loss: float
    train_images: int
    validation_error: float | None
    validation_loss: float | None
    test_error: float
    test_loss: float
    seconds: float


Record = TrainRecord | ValidationRecord | EvalRecord
_RECORDS: dict[str, type[Record]] = {record.type: record for record in (TrainRecord, ValidationRecord, EvalRecord)}


@dataclass(frozen=True)
class Event:
    """Something that happened to a run: started, resumed, checkpointed, preempted, diverged, failed, finished."""

    time: str
    name: str
    step: int
    detail: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class DownloadProgress:
    """How far the download of the data is; not kept on disk. `seconds_left` is None until a rate has been measured."""

    done_bytes: int
    total_bytes: int | None
    bytes_per_second: float
    seconds: float

    @property
    def seconds_left(self) -> float | None:
        """At the rate so far."""
        if self.total_bytes is None or self.bytes_per_second == 0:
            return None
        return (self.total_bytes - self.done_bytes) / self.bytes_per_second


def to_line(record: Record | Event) -> str:
    """One line of JSON with all digits of every number."""
    head = {} if isinstance(record, Event) else {"type": record.type}
    return json.dumps(head | dataclasses.asdict(record), separators=(",", ":")) + "\n"


def record_from_line(line: str) -> Record | None:
    """The record of a line, or None where the line is torn or foreign."""
    try:
        values = json.loads(line)
        record = _RECORDS[values.pop("type")](**values)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return record if _numbers_only(record) else None


def event_from_line(line: str) -> Event | None:
    """The event of a line, or None where the line is torn or foreign."""
    try:
        event = Event(**json.loads(line))
    except (ValueError, TypeError):
        return None
    return event if isinstance(event.name, str) and isinstance(event.step, int) and isinstance(event.detail, dict) else None


def _numbers_only(record: Record) -> bool:
    values = vars(record)
    optional = {"validation_error", "validation_loss"}
    return all(isinstance(value, int | float) or (value is None and key in optional) for key, value in values.items())
