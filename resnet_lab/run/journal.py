"""What a run records. Rank 0 records it in the run's folder, which it holds; other ranks have a journal that records nothing."""

from collections.abc import Callable
from typing import Any

from resnet_lab.config.schema import RunConfig
from resnet_lab.record import checkpoint
from resnet_lab.record.digests import Digests
from resnet_lab.record.files import read_json, write_json
from resnet_lab.record.lines import EvalRecord, Event, Record
from resnet_lab.record.lock import Hold
from resnet_lab.record.store import RunFolder
from resnet_lab.train.state import TrainState

_REPRODUCIBILITY_KEYS = ("versions", "device", "device_name", "threads", "compiled", "git_commit")  # compared on resume


class Journal:
    """A journal that records nothing; its events have no time."""

    def begin(
        self,
        config: RunConfig,
        state: TrainState,
        environment: dict[str, object],
        images: Digests | None,
        start: Callable[[], dict[str, Any]],
    ) -> Event:
        """Restore the newest checkpoint, if any, into `state`; the `resumed` event, or `started` with the details of `start`.

        `images` are the digests of a folder of images.
        """
        return self.event("started", state.step)

    def has_evaluated(self, step: int) -> bool:
        """Whether an evaluation at this step has been recorded."""
        return False

    def append(self, *records: Record) -> None:
        """Record these. Raises LockedError if another process has taken the run over, DiskError."""

    def event(self, name: str, step: int, **detail: Any) -> Event:
        """Record an event, and return it. Raises DiskError."""
        return Event("", name, step, detail)

    def save(self, state: TrainState, keep: tuple[int, ...]) -> Event:
        """Write a checkpoint, keeping those of the steps `keep`; the `checkpointed` event. Raises LockedError, DiskError."""
        return self.event("checkpointed", state.step)

    def finish(self, step: int) -> Event:
        """The `finished` event, with the digests of the run's files."""
        return self.event("finished", step)


class FolderJournal(Journal):
    """The journal in a run's folder."""

    def __init__(self, folder: RunFolder, hold: Hold) -> None:
        self._folder, self._hold = folder, hold

    def begin(
        self,
        config: RunConfig,
        state: TrainState,
        environment: dict[str, object],
        images: Digests | None,
        start: Callable[[], dict[str, Any]],
    ) -> Event:
        """See Journal. Raises CheckpointError if there are checkpoints but none can be loaded, DiskError."""
        saved, faults = checkpoint.load_newest(self._folder, state.load_state_dict)
        if saved is None:
            write_json(self._folder.path / "environment.json", environment)
            digests = {"environment.json": self._folder.digests()["environment.json"]}
            detail = start()
            return self.event("started", 0, **detail | {"sha256": digests | detail["sha256"]})
        initial = read_json(self._folder.path / "environment.json")
        keys = _REPRODUCIBILITY_KEYS if config.compute.bn == "replica" else (*_REPRODUCIBILITY_KEYS, "processes")
        changed = {key: value for key in keys if (value := environment[key]) != initial.get(key, value)}
        if images is not None and images != self._folder.read_image_digests():
            changed["images"] = images._asdict()
        former = self._hold.taken_over
        taken_over = {"taken_over": {"host": former.host, "pid": former.pid}} if former else {}
        return self.event("resumed", state.step, skipped=faults, changed=changed, **taken_over)

    def has_evaluated(self, step: int) -> bool:
        """Whether an evaluation at this step has been recorded."""
        return any(isinstance(record, EvalRecord) and record.step == step for record in self._folder.records())

    def append(self, *records: Record) -> None:
        """Record these. Raises LockedError if another process has taken the run over, DiskError."""
        if records:
            self._hold.check()
        for record in records:
            self._folder.append(record)

    def event(self, name: str, step: int, **detail: Any) -> Event:
        """Record an event, and return it. Raises DiskError."""
        return self._folder.append_event(name, step, **detail)

    def save(self, state: TrainState, keep: tuple[int, ...]) -> Event:
        """Write a checkpoint, keeping those of the steps `keep`; the `checkpointed` event. Raises LockedError, DiskError."""
        self._hold.check()
        self._folder.sync()
        path = checkpoint.save(self._folder, state.step, state.state_dict(), keep)
        return self.event("checkpointed", state.step, file=path.name)

    def finish(self, step: int) -> Event:
        """The `finished` event, with the digests of the run's files."""
        self._folder.sync()
        return self.event("finished", step, sha256=self._folder.digests())
