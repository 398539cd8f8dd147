"""Runs on disk: folders of small files that only grow, readable while a run writes and after it was killed."""

import contextlib
import datetime
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from resnet_lab.config.files import load_run
from resnet_lab.config.schema import RunConfig, differences
from resnet_lab.errors import ConfigError, DiskError, LockedError
from resnet_lab.record.digests import Digests
from resnet_lab.record.files import Position, append_line, disk_errors, read_json, read_lines, read_on, sync, write_json
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
from resnet_lab.text import printable

_Key = tuple[str, int]  # a record's type and step
RunState = Literal["planned", "running", "interrupted", "diverged", "failed", "finished"]
_LOCK_SECONDS = 2.0  # longer than a look at the lock by `RunFolder.is_locked`


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
        """The folder of what analyses have found."""
        return self.path / "analysis"

    @property
    def log_file(self) -> Path:
        """What a run started by a sweep printed."""
        return self.path / "output.log"

    def exists(self) -> bool:
        """Whether there is a run in it."""
        return (self.path / "config.json").is_file()

    def config(self) -> RunConfig:
        """What the run is told. Raises ConfigError, DiskError."""
        if not self.exists():
            raise ConfigError(f"There is no run in {self.path}: it has no config.json.")
        path = self.path / "config.json"
        try:
            return load_run(path.read_text(encoding="utf-8"), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise DiskError(f"{path} cannot be read: {error}.") from error

    def create(self, config: RunConfig) -> None:
        """Make the folder with its config, unless it is there already. Raises ConfigError if it is another run's, DiskError."""
        self.check(config)
        if not self.exists():
            self.make()
            write_json(self.path / "config.json", config.model_dump(mode="json"))

    def make(self) -> None:
        """Make the folder itself."""
        with disk_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)

    def make_analysis(self) -> None:
        """Make the folder of results."""
        with disk_errors(self.analysis):
            self.analysis.mkdir(parents=True, exist_ok=True)

    def check(self, config: RunConfig) -> None:
        """Raise ConfigError, naming the differing keys, where the folder holds a run of another configuration."""
        if not self.exists():
            return
        changed = differences(self.config(), config)
        if changed:
            listed = "; ".join(f"{key} is {_short(theirs)}, not {_short(ours)}" for key, theirs, ours in changed)
            raise ConfigError(
                f"{self.path} holds a run of another configuration ({listed}). Keep both with --study NAME, or remove "
                "that folder."
            )

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for this process. Raises LockedError where another process has it."""
        lock = FileLock(self.path / ".lock", timeout=_LOCK_SECONDS)
        with disk_errors(self.path):
            try:
                lock.acquire()
            except Timeout:
                raise LockedError(f"Another process is working on {self.path}; `resnet-lab runs` shows how far it is.") from None
        try:
            yield
        finally:
            lock.release()

    def is_locked(self) -> bool:
        """Whether a process is working on the run now."""
        if not (self.path / ".lock").exists():
            return False
        try:
            with FileLock(self.path / ".lock", timeout=0):
                return False
        except Timeout:
            return True
        except OSError:  # a folder that cannot be written is nobody's work
            return False

    def append(self, record: Record) -> None:
        """Add a record to metrics.jsonl."""
        append_line(self.path / "metrics.jsonl", to_line(record))

    def append_event(self, name: str, step: int, **detail: Any) -> Event:
        """Add an event, with the time of now, to events.jsonl."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        event = Event(now, name, step, detail)
        append_line(self.path / "events.jsonl", to_line(event))
        return event

    def events(self) -> list[Event]:
        """All readable events, oldest first."""
        lines = read_lines(self.path / "events.jsonl")
        return [event for line in lines if (event := event_from_line(line)) is not None]

    def records(self) -> list[Record]:
        """The readable records by step: the last line of each type and step counts, a torn line does not."""
        return _by_step(_latest(read_lines(self.path / "metrics.jsonl")))

    def read(self) -> "Run":
        """All that the folder says. Raises ConfigError if its config cannot be read."""
        return self.read_with(self.records())

    def read_with(self, records: Sequence[Record]) -> "Run":
        """As `read`, with records that have been read already."""
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
        """What tells its folder of images from others; None where it has none, or has not begun."""
        return _image_digests(read_json(self.path / "environment.json"), self.events())

    def ending(self) -> Event | None:
        """The event that ended the run for good, finished or diverged, if there is one."""
        return _ending(self.events())

    def sync(self) -> None:
        """Put the records on the disk, before a checkpoint that relies on them."""
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
        """Its folder's name, such as `plain-56-s0`."""
        return printable(self.folder.path.name)

    @property
    def step(self) -> int:
        """The last step that it has recorded."""
        return max((records[-1].step for records in (self.train, self.evaluations) if records), default=0)

    @property
    def images_per_second(self) -> float | None:
        """Its training speed over the last ten records."""
        recent = self.train[-10:]
        seconds = sum(record.seconds for record in recent)
        return sum(record.images for record in recent) / seconds if seconds > 0 else None

    @property
    def image_digests(self) -> Digests | None:
        """What tells its folder of images from others; None where it has none, or has not begun."""
        return _image_digests(self.environment, self.events)

    @property
    def seconds_left(self) -> float | None:
        """Training time that it still needs at its own speed; None where none has been measured, or the run has ended."""
        speed = self.images_per_second
        if speed is None or self.state in ("finished", "diverged"):
            return None
        return (self.config.recipe.steps - self.step) * self.config.recipe.batch_size / speed

    @property
    def parameters(self) -> int | None:
        """Its parameter count, as its first event states it."""
        counts = [event.detail.get("parameters") for event in self.events if event.name == "started"]
        return counts[0] if counts and isinstance(counts[0], int) else None

    @property
    def is_stand_in(self) -> bool:
        """Whether it learns the synthetic stand-in."""
        return self.config.data.facts.is_stand_in


class Follower:
    """Reads runs again and again while they are trained, each time only the lines of metrics.jsonl that are new."""

    def __init__(self) -> None:
        self._positions: dict[RunFolder, Position] = {}
        self._records: dict[RunFolder, dict[_Key, Record]] = {}

    def read(self, folder: RunFolder) -> Run:
        """All that the folder says, see RunFolder.read; a line counts once it is complete."""
        earlier = self._positions.get(folder, Position())
        lines, position = read_on(folder.path / "metrics.jsonl", earlier)
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
    """Those that the run began with, or went on with when it was last resumed."""
    changed = [event.detail["changed"] for event in events if isinstance(event.detail.get("changed"), dict)]
    data = environment.get("data")
    began = data.get("sha256") if isinstance(data, dict) else None
    found = next((each["images"] for each in reversed(changed) if "images" in each), began)
    if (
        not isinstance(found, dict)
        or found.keys() != set(Digests._fields)
        or not all(isinstance(each, str) for each in found.values())
    ):
        return None
    return Digests(**found)


def _ending(events: list[Event]) -> Event | None:
    ends = {event.name: event for event in events if event.name in ("finished", "diverged")}
    return ends.get("finished") or ends.get("diverged")


def _short(value: object) -> str:
    return json.dumps(value)
