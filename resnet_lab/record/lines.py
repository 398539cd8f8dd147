"""What a run says: the lines of `metrics.jsonl` and `events.jsonl`. Errors are fractions, time is in seconds."""

import dataclasses
import json
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from pydantic_core import from_json

# What a line from the disk may say; a record that is made here is not checked.
Step = Annotated[int, Field(strict=True, ge=0, lt=2**63)]
Images = Annotated[int, Field(strict=True, ge=1, lt=2**63)]
Error = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
Loss = Annotated[float, Field(strict=True)]  # NaN and infinity too: an evaluation may overflow
Rate = Annotated[float, Field(strict=True, gt=0, lt=1e9, allow_inf_nan=False)]
Seconds = Annotated[float, Field(strict=True, ge=0, lt=1e12, allow_inf_nan=False)]
Word = Annotated[str, Field(strict=True)]


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, slots=True)
class TrainRecord:
    """The *running* training error and loss: train mode, augmented, averaged over the images since the last record."""

    type: ClassVar[str] = "train"
    step: Step
    error: Error
    loss: Loss
    lr: Rate
    images: Images
    seconds: Seconds


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, slots=True)
class ValidationRecord:
    """A check of the plateau schedule: error on the validation images."""

    type: ClassVar[str] = "validation"
    step: Step
    error: Error
    loss: Loss
    seconds: Seconds


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, slots=True)
class EvalRecord:
    """An evaluation: evaluation mode, no augmentation. `train_error` is the *clean* error on `train_images` images."""

    type: ClassVar[str] = "eval"
    step: Step
    train_error: Error
    train_loss: Loss
    train_images: Images
    validation_error: Error | None
    validation_loss: Loss | None
    test_error: Error
    test_loss: Loss
    seconds: Seconds


Record = TrainRecord | ValidationRecord | EvalRecord


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a run: started, resumed, checkpointed, preempted, diverged, failed, finished."""

    time: Word
    name: Word
    step: Step
    detail: dict[str, Any] = dataclasses.field(default_factory=dict)


def to_line(record: Record | Event) -> str:
    """One line of JSON with all digits of every number."""
    head = {} if isinstance(record, Event) else {"type": record.type}
    return json.dumps(head | dataclasses.asdict(record), separators=(",", ":")) + "\n"


def record_from_line(line: str) -> Record | None:
    """The record of a line, or None where the line is torn or foreign, or says what no run can."""
    try:
        values = from_json(line)
        record: Record = _readers()[values.pop("type")].validate_python(values)
    except (ValueError, TypeError, KeyError, AttributeError):  # a ValidationError is a ValueError
        return None
    return record


def event_from_line(line: str) -> Event | None:
    """The event of a line, or None where the line is torn or foreign."""
    try:
        event: Event = _event_reader().validate_json(line)
    except ValidationError:
        return None
    return event


@cache
def _readers() -> dict[str, TypeAdapter[Any]]:
    """What makes records of JSON values and checks them, by type; a large study has 200,000 of them to read."""
    return {record.type: TypeAdapter(record) for record in (TrainRecord, ValidationRecord, EvalRecord)}


@cache
def _event_reader() -> TypeAdapter[Event]:
    return TypeAdapter(Event)
