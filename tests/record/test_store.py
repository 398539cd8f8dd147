"""A run's folder: its records, its config, its lock and its state."""

import pytest
from filelock import FileLock

from resnet_lab.errors import ConfigError, LockedError
from resnet_lab.record.lines import TrainRecord, ValidationRecord
from resnet_lab.record.store import Follower
from tests.builders import tiny


def record(step: int, error: float = 0.5) -> TrainRecord:
    return TrainRecord(step, error, 1.0, 0.1, 16, 0.5)


def test_records_are_read_back_exactly(folder):
    records = [record(1, 1 / 3), ValidationRecord(1, 0.1 + 0.2, 2 / 7, 1e-9), record(2)]
    for written in records:
        folder.append(written)
    assert folder.records() == records


def test_the_last_line_of_a_step_counts_and_a_torn_line_is_ignored(folder):
    folder.append(record(1, 0.5))
    folder.append(record(2, 0.6))
    with (folder.path / "metrics.jsonl").open("a") as file:
        file.write('{"type":"train","step":3,"err')
    folder.append(record(2, 0.4))
    assert [(line.step, line.error) for line in folder.read().train] == [(1, 0.5), (2, 0.4)]


def test_a_follower_reads_only_new_lines(folder):
    follower = Follower()
    assert follower.read(folder).train == []
    for step in (1, 2, 3):
        folder.append(record(step))
        assert [line.step for line in follower.read(folder).train] == list(range(1, step + 1))
    followed = follower.read(folder)
    assert followed == folder.read()
    metrics = folder.path / "metrics.jsonl"
    with metrics.open("r+b") as file:
        file.write(b"#" * metrics.stat().st_size)  # the same file, as long as before: no line is new
    assert follower.read(folder) == followed
    assert folder.read().train == []


def test_a_follower_ignores_torn_lines_and_takes_the_last_line_of_a_step(folder):
    follower = Follower()
    folder.append(record(1, 0.5))
    with (folder.path / "metrics.jsonl").open("a") as file:
        file.write('{"type":"train","step":2,"err')
    assert [line.step for line in follower.read(folder).train] == [1]
    folder.append(record(1, 0.25))
    assert [(line.step, line.error) for line in follower.read(folder).train] == [(1, 0.25)]


def test_a_follower_starts_over_once_the_file_is_replaced(folder):
    follower = Follower()
    for step in (1, 2, 3):
        folder.append(record(step))
    follower.read(folder)
    (folder.path / "metrics.jsonl").unlink()
    assert follower.read(folder).train == []
    folder.append(record(1, 0.125))
    assert follower.read(folder).train == [record(1, 0.125)]
    (folder.path / "metrics.jsonl").write_text("")
    assert follower.read(folder).train == []


def test_a_folder_of_another_config_is_refused_with_the_differing_keys(folder):
    folder.create(tiny())
    with pytest.raises(ConfigError, match=r"recipe\.lr is 0\.05, not 0\.2.*--study NAME"):
        folder.create(tiny(recipe__lr=0.2))


def test_the_state_of_a_run_follows_from_its_events_and_its_lock(folder):
    assert folder.read().state == "planned"
    folder.append_event("started", 0, parameters=3)
    assert folder.read().state == "interrupted"
    with folder.lock():
        assert folder.read().state == "running"
    for name in ("preempted", "failed", "diverged", "finished"):
        if name == "finished":
            (folder.path / "events.jsonl").unlink()
        folder.append_event(name, 5)
        folder.append_event("checkpointed", 5)
        assert folder.read().state == ("interrupted" if name == "preempted" else name)


def test_a_finished_run_stays_finished_whatever_events_follow(folder):
    for name in ("started", "finished", "failed"):
        folder.append_event(name, 30)
    assert folder.read().state == "finished"
    end = folder.ending()
    assert end is not None
    assert end.name == "finished"


def test_a_run_locked_by_another_process_is_refused(folder):
    with FileLock(folder.path / ".lock"), pytest.raises(LockedError, match="Another process"), folder.lock():
        pass
