"""A run's records and events: the lines of `metrics.jsonl` and `events.jsonl`. Errors are fractions, durations are seconds."""

import dataclasses
import json
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from pydantic_core import from_json

# Constraints on values read from disk; records constructed in this process are not validated.
Step = Annotated[int, Field(strict=True, ge=0, lt=2**63)]
Images = Annotated[int, Field(strict=True, ge=1, lt=2**63)]
Error = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
Loss = Annotated[float, Field(strict=True)]  # may be NaN or infinite: an evaluation can overflow
Rate = Annotated[float, Field(strict=True, gt=0, lt=1e9, allow_inf_nan=False)]
Seconds = Annotated[float, Field(strict=True, ge=0, lt=1e12, allow_inf_nan=False)]
Text = Annotated[str, Field(strict=True)]


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
    """A check by the plateau schedule: error and loss on the validation images."""

    type: ClassVar[str] = "validation"
    step: Step
    error: Error
    loss: Loss
    seconds: Seconds


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, slots=True)
class EvalRecord:
    """An evaluation in eval mode, without augmentation. `train_error` is the *clean* error on `train_images` images."""

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
    """A change in a run's state: started, resumed, checkpointed, preempted, diverged, failed, finished."""

    time: Text
    name: Text
    step: Step
    detail: dict[str, Any] = dataclasses.field(default_factory=dict)


def to_line(record: Record | Event) -> str:
    """One line of JSON, with numbers in full precision."""
    head = {} if isinstance(record, Event) else {"type": record.type}
    return json.dumps(head | dataclasses.asdict(record), separators=(",", ":")) + "\n"


def record_from_line(line: str) -> Record | None:
    """The record on a line; None if the line is incomplete, of another format, or has values out of range."""
    try:
        values = from_json(line)
        record: Record = _readers()[values.pop("type")].validate_python(values)
    except (ValueError, TypeError, KeyError, AttributeError):  # a ValidationError is a ValueError
        return None
    return record


def event_from_line(line: str) -> Event | None:
    """The event on a line; None if the line is incomplete or of another format."""
    try:
        event: Event = _event_reader().validate_json(line)
    except ValidationError:
        return None
    return event


@cache
def _readers() -> dict[str, TypeAdapter[Any]]:
    """Cached validators by record type; a large study has 200,000 records to read."""
    return {record.type: TypeAdapter(record) for record in (TrainRecord, ValidationRecord, EvalRecord)}


@cache
def _event_reader() -> TypeAdapter[Event]:
    return TypeAdapter(Event)
