"""Runs on disk: folders of small append-only files, readable while a run writes and after it was killed."""

import contextlib
import datetime
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from resnet_lab.config.files import load_run
from resnet_lab.config.schema import RunConfig, differences
from resnet_lab.errors import ConfigError, DiskError
from resnet_lab.record.checksums import sha256_of
from resnet_lab.record.digests import Digests
from resnet_lab.record.files import Position, append_line, disk_errors, read_json, read_lines, read_new_lines, sync, write_json
from resnet_lab.record.lines import (
    EvalRecord,
    Event,
    Record,
    TrainRecord,
    ValidationRecord,
    event_from_line,
    record_from_line,
    to_line,
)
from resnet_lab.record.lock import Hold, Owner, hold, holder
from resnet_lab.text import printable

_Key = tuple[str, int]  # record type and step
RunState = Literal["planned", "running", "interrupted", "diverged", "failed", "finished"]
_STEPS_REASON = (
    "A run is not continued beyond its recipe: the number of steps is part of its identity, and the evaluation after the last "
    "step is another one than those in between. "
)
_CONTINUED = "constructed-"  # begins the names of folders in `analysis/`
FILES = ("config.json", "environment.json", "metrics.jsonl", "events.jsonl")


@dataclass(frozen=True)
class RunFolder:
    """One run's folder."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        """The folder of its checkpoints."""
        return self.path / "checkpoints"

    @property
    def analysis(self) -> Path:
        """The folder of analysis results."""
        return self.path / "analysis"

    def continued(self, depth: int, step: int, steps: int) -> "RunFolder":
        """The run of `steps` steps that starts as a deeper network built from this run's checkpoint at `step`."""
        return RunFolder(self.analysis / f"{_CONTINUED}{depth}-from-{step:08d}-{steps}-steps")

    def all_continued(self) -> "list[RunFolder]":
        """The runs that start as deeper networks built from this run, in order of name."""
        return [folder for path in sorted(self.analysis.glob(f"{_CONTINUED}*")) if (folder := RunFolder(path)).exists()]

    @property
    def log_file(self) -> Path:
        """The output of a run started by a sweep."""
        return self.path / "output.log"

    def exists(self) -> bool:
        """Whether the folder holds a run."""
        return (self.path / "config.json").is_file()

    def config(self) -> RunConfig:
        """The run's config. Raises ConfigError, DiskError."""
        if not self.exists():
            raise ConfigError(f"There is no run in {self.path}: it has no config.json.")
        path = self.path / "config.json"
        try:
            return load_run(path.read_text(encoding="utf-8"), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise DiskError(f"{path} cannot be read: {error}.") from error

    def create(self, config: RunConfig) -> None:
        """Create the folder and its config.json if missing. Raises ConfigError if it holds another run, DiskError."""
        self.check(config)
        if not self.exists():
            self.make()
            write_json(self.path / "config.json", config.model_dump(mode="json"))

    def make(self) -> None:
        """Create the folder if missing. Raises DiskError."""
        with disk_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)

    def make_analysis(self) -> None:
        """Create the folder of analysis results if missing. Raises DiskError."""
        with disk_errors(self.analysis):
            self.analysis.mkdir(parents=True, exist_ok=True)

    def check(self, config: RunConfig) -> None:
        """Raise ConfigError, naming the differing keys, if the folder holds a run with another config."""
        if not self.exists():
            return
        changed = differences(self.config(), config)
        if changed:
            listed = "; ".join(f"{key} is {json.dumps(old)}, not {json.dumps(new)}" for key, old, new in changed)
            reason = _STEPS_REASON if any(key == "recipe.steps" for key, _, _ in changed) else ""
            raise ConfigError(
                f"{self.path} holds a run with another config ({listed}). {reason}Use --study NAME to keep both, or delete that "
                "one with `resnet-lab runs rm`."
            )

    def lock(self, stop: Callable[[], bool] = lambda: False) -> "contextlib.AbstractContextManager[Hold | None]":
        """Lock the run for this process; see `lock.hold`. Raises LockedError if another process holds the lock, DiskError."""
        return hold(self.path, stop)

    def holder(self) -> Owner | None:
        """The process that works on the run now; None if there is none."""
        return holder(self.path)

    def is_locked(self) -> bool:
        """Whether a process is working on the run now."""
        return self.holder() is not None

    def append(self, record: Record) -> None:
        """Append a record to metrics.jsonl. Raises DiskError."""
        append_line(self.path / "metrics.jsonl", to_line(record))

    def append_event(self, name: str, step: int, **detail: Any) -> Event:
        """Append an event with the current time to events.jsonl, and return it. Raises DiskError."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        event = Event(now, name, step, detail)
        append_line(self.path / "events.jsonl", to_line(event))
        return event

    def events(self) -> list[Event]:
        """All readable events, oldest first."""
        lines = read_lines(self.path / "events.jsonl")
        return [event for line in lines if (event := event_from_line(line)) is not None]

    def records(self) -> list[Record]:
        """All readable records in order of step: the last one of each type and step; incomplete lines are skipped."""
        return _by_step(_latest(read_lines(self.path / "metrics.jsonl")))

    def read(self) -> "Run":
        """Read the whole run. Raises ConfigError or DiskError if its config cannot be read."""
        return self.read_with(self.records())

    def read_with(self, records: Sequence[Record]) -> "Run":
        """Like `read`, with records that have been read already."""
        events = self.events()
        return Run(
            folder=self,
            config=self.config(),
            state=self._state(events),
            train=[record for record in records if isinstance(record, TrainRecord)],
            validation=[record for record in records if isinstance(record, ValidationRecord)],
            evaluations=[record for record in records if isinstance(record, EvalRecord)],
            events=events,
            environment=read_json(self.path / "environment.json"),
        )

    def read_image_digests(self) -> Digests | None:
        """Digests of the folder images that the run was trained on; None for other data sets or before the run has started."""
        return _image_digests(read_json(self.path / "environment.json"), self.events())

    def digests(self) -> dict[str, str]:
        """The sha256 of each existing file of FILES, by name. Raises DiskError."""
        return {name: sha256_of(path) for name in FILES if (path := self.path / name).is_file()}

    def ending(self) -> Event | None:
        """The final event, finished or diverged; None if the run has not ended."""
        return _ending(self.events())

    def sync(self) -> None:
        """Flush the records to disk, before a checkpoint that relies on them. Raises DiskError."""
        sync(self.path / "metrics.jsonl")

    def _state(self, events: list[Event]) -> RunState:
        end = _ending(events)
        if end is not None:
            return "finished" if end.name == "finished" else "diverged"
        if self.is_locked():
            return "running"
        last = next((event.name for event in reversed(events) if event.name != "checkpointed"), None)
        return "planned" if last is None else "failed" if last == "failed" else "interrupted"


@dataclass(frozen=True)
class Run:
    """A run as read from its folder; lists are in the order of steps."""

    folder: RunFolder
    config: RunConfig
    state: RunState
    train: list[TrainRecord]
    validation: list[ValidationRecord]
    evaluations: list[EvalRecord]
    events: list[Event]
    environment: dict[str, Any]

    @property
    def name(self) -> str:
        """Its folder's name, such as `plain-56-s0`; of a run under another one's `analysis/`, preceded by theirs."""
        parts = self.folder.path.parts
        return printable("/".join(parts[-3:] if parts[-2:-1] == ("analysis",) else parts[-1:]))

    @property
    def step(self) -> int:
        """The last recorded step."""
        return max((records[-1].step for records in (self.train, self.evaluations) if records), default=0)

    @property
    def final(self) -> EvalRecord | None:
        """The evaluation after the last step; None if the run has not reached it or its record is missing."""
        last = self.evaluations[-1] if self.evaluations else None
        return last if last is not None and last.step == self.config.recipe.steps else None

    @property
    def images_per_second(self) -> float | None:
        """Training throughput over the last ten records; None if nothing was timed."""
        recent = self.train[-10:]
        seconds = sum(record.seconds for record in recent)
        return sum(record.images for record in recent) / seconds if seconds > 0 else None

    @property
    def seconds(self) -> float:
        """The recorded time of training, checks and evaluations."""
        records: list[Record] = [*self.train, *self.validation, *self.evaluations]
        return sum(record.seconds for record in records)

    @property
    def evaluation_seconds(self) -> float:
        """The recorded time of checks and evaluations."""
        return self.seconds - sum(record.seconds for record in self.train)

    @property
    def image_digests(self) -> Digests | None:
        """See `RunFolder.read_image_digests`."""
        return _image_digests(self.environment, self.events)

    @property
    def seconds_left(self) -> float | None:
        """Remaining training time at the measured throughput; None if there is none, or if the run has ended."""
        speed = self.images_per_second
        if speed is None or self.state in ("finished", "diverged"):
            return None
        return (self.config.recipe.steps - self.step) * self.config.recipe.batch_size / speed

    @property
    def parameters(self) -> int | None:
        """The network's parameter count, from the `started` event."""
        counts = [event.detail.get("parameters") for event in self.events if event.name == "started"]
        return counts[0] if counts and isinstance(counts[0], int) else None

    @property
    def is_stand_in(self) -> bool:
        """Whether the run trains on the synthetic stand-in."""
        return self.config.data.facts.is_stand_in


class Follower:
    """Rereads runs during training; each time it reads only the new lines of metrics.jsonl."""

    def __init__(self) -> None:
        self._positions: dict[RunFolder, Position] = {}
        self._records: dict[RunFolder, dict[_Key, Record]] = {}

    def read(self, folder: RunFolder) -> Run:
        """Read the whole run, see `RunFolder.read`; incomplete lines are left for the next time."""
        earlier = self._positions.get(folder, Position())
        lines, position = read_new_lines(folder.path / "metrics.jsonl", earlier)
        known = self._records.get(folder, {}) if position.follows(earlier) else {}
        self._records[folder] = known | _latest(lines)
        self._positions[folder] = position
        return folder.read_with(_by_step(self._records[folder]))


def _latest(lines: Sequence[str]) -> dict[_Key, Record]:
    """The last readable record of each type and step."""
    records = (record for line in lines if (record := record_from_line(line)) is not None)
    return {(record.type, record.step): record for record in records}


def _by_step(records: dict[_Key, Record]) -> list[Record]:
    return sorted(records.values(), key=lambda record: record.step)


def _image_digests(environment: dict[str, Any], events: Sequence[Event]) -> Digests | None:
    """The digests recorded when the run was last resumed with changed images, or else when it was started."""
    changes = [event.detail["changed"] for event in events if isinstance(event.detail.get("changed"), dict)]
    data = environment.get("data")
    initial = data.get("sha256") if isinstance(data, dict) else None
    latest = next((change["images"] for change in reversed(changes) if "images" in change), initial)
    if (
        not isinstance(latest, dict)
        or latest.keys() != set(Digests._fields)
        or not all(isinstance(digest, str) for digest in latest.values())
    ):
        return None
    return Digests(**latest)


def _ending(events: list[Event]) -> Event | None:
    ends = {event.name: event for event in events if event.name in ("finished", "diverged")}
    return ends.get("finished") or ends.get("diverged")
