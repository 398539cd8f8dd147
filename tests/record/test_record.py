"""Folders on disk: torn lines, duplicate steps, damaged checkpoints, locks, states."""

import json

import pytest
import torch
from filelock import FileLock

from resnet_lab.errors import CheckpointError, ConfigError, DiskError, LockedError
from resnet_lab.record import checkpoint, files, store
from resnet_lab.record.files import write_atomically
from resnet_lab.record.lines import TrainRecord, ValidationRecord, event_from_line, record_from_line
from resnet_lab.record.store import Follower, RunFolder
from resnet_lab.record.study import find_study, read_study, study_folders, study_path
from tests.builders import tiny


def record(step: int, error: float = 0.5) -> TrainRecord:
    return TrainRecord(step, error, 1.0, 0.1, 16, 0.5)


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    made = RunFolder(tmp_path / "runs" / "study" / "residual-8-s0")
    made.create(tiny())
    return made


def test_records_come_back_with_all_their_digits(folder):
    records = [record(1, 1 / 3), ValidationRecord(1, 0.1 + 0.2, 2 / 7, 1e-9), record(2)]
    for each in records:
        folder.append(each)
    assert folder.records() == records


def test_a_first_checkpoint_that_a_kill_leaves_unlisted_no_more_is_loaded(folder, monkeypatch):
    def killed(path, content):
        write_atomically(path, content)
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "write_atomically", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(folder, 3, {"step": 3})
    assert checkpoint.load_newest(folder) == ({"step": 3}, [])


def test_the_last_line_of_a_step_counts_and_a_torn_line_does_not(folder):
    folder.append(record(1, 0.5))
    folder.append(record(2, 0.6))
    with (folder.path / "metrics.jsonl").open("a") as file:
        file.write('{"type":"train","step":3,"err')
    folder.append(record(2, 0.4))
    assert [(each.step, each.error) for each in folder.read().train] == [(1, 0.5), (2, 0.4)]


def test_following_a_run_parses_only_the_lines_that_are_new(folder, monkeypatch):
    parsed = []
    monkeypatch.setattr(store, "record_from_line", lambda line: parsed.append(line) or record_from_line(line))
    follower = Follower()
    assert follower.read(folder).train == []
    for step in (1, 2, 3):
        folder.append(record(step))
        assert [each.step for each in follower.read(folder).train] == list(range(1, step + 1))
    assert follower.read(folder) == folder.read()
    assert len(parsed) == 3 + 3  # once each by the follower, once each by the folder


def test_a_followed_line_counts_once_it_is_complete_and_the_last_of_a_step_counts(folder):
    follower = Follower()
    folder.append(record(1, 0.5))
    with (folder.path / "metrics.jsonl").open("a") as file:
        file.write('{"type":"train","step":2,"err')
    assert [each.step for each in follower.read(folder).train] == [1]
    folder.append(record(1, 0.25))
    assert [(each.step, each.error) for each in follower.read(folder).train] == [(1, 0.25)]


def test_a_followed_run_that_is_removed_and_begun_anew_starts_from_nothing(folder):
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


@pytest.mark.parametrize("line", ["", "[]", "3", '{"type":"x"}', '{"type":"train","step":1}', "\x00\xff", '{"type":["train"]}'])
def test_foreign_lines_are_no_records(line):
    assert record_from_line(line) is None
    assert event_from_line(line) is None


@pytest.mark.parametrize(
    ("key", "value"),
    [("step", "<b>"), ("step", -1), ("step", 1.0), ("step", True), ("step", 2**63), ("error", "0.5"), ("error", None),
     ("error", 1.01), ("error", float("nan")), ("lr", float("inf")), ("images", 0), ("seconds", -1.0), ("seconds", 1e300),
     ("more", 1)],
)  # fmt: skip
def test_what_no_run_can_say_is_no_record(key, value):
    line = {"type": "train", "step": 1, "error": 0, "loss": float("nan"), "lr": 0.1, "images": 1, "seconds": 1}
    assert record_from_line(json.dumps(line)) is not None
    assert record_from_line(json.dumps(line | {key: value})) is None


def test_a_folder_of_another_config_is_refused_with_the_keys_and_the_way_out(folder):
    folder.create(tiny())
    with pytest.raises(ConfigError, match=r"recipe\.lr is 0\.05, not 0\.2.*--study NAME"):
        folder.create(tiny(recipe__lr=0.2))


def test_states(folder):
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


def test_nothing_that_follows_unmakes_a_finished_run(folder):
    for name in ("started", "finished", "failed"):
        folder.append_event(name, 30)
    assert folder.read().state == "finished"
    end = folder.ending()
    assert end is not None
    assert end.name == "finished"


def test_a_second_process_is_refused(folder, monkeypatch):
    monkeypatch.setattr(store, "_LOCK_SECONDS", 0.1)
    with FileLock(folder.path / ".lock"), pytest.raises(LockedError, match="Another process"), folder.lock():
        pass


def test_an_atomic_write_leaves_the_old_file_where_it_fails(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"old")
    monkeypatch.setattr(files.os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(DiskError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_the_newest_two_checkpoints_are_kept(folder):
    for step in (1, 2, 10, 300):
        checkpoint.save(folder, step, {"step": step, "weights": torch.arange(5.0)})
    assert sorted(path.name for path in folder.checkpoints.glob("*.pt")) == ["step-00000010.pt", "step-00000300.pt"]
    state, faults = checkpoint.load_newest(folder)
    assert state is not None
    assert state["step"] == 300
    assert torch.equal(state["weights"], torch.arange(5.0))
    assert faults == []


def test_checkpoints_of_the_steps_asked_for_stay(folder):
    for step in (1, 2, 10, 300, 400):
        checkpoint.save(folder, step, {"step": step}, keep=(2, 350))
    assert checkpoint.steps(folder) == [2, 300, 400]
    assert checkpoint.load(folder, 2) == {"step": 2}
    with pytest.raises(CheckpointError, match=r"no checkpoint at step 10; available steps: 2, 300, 400\."):
        checkpoint.load(folder, 10)
    damage(folder.checkpoints / "step-00000300.pt")
    with pytest.raises(CheckpointError, match=r"step-00000300\.pt is damaged"):
        checkpoint.load(folder, 300)


def damage(path, position=200):
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def test_one_flipped_bit_is_found_and_the_older_checkpoint_taken(folder):
    for step in (10, 20):
        checkpoint.save(folder, step, {"step": step, "weights": torch.zeros(100)})
    damage(folder.checkpoints / "step-00000020.pt")
    state, faults = checkpoint.load_newest(folder)
    assert state is not None
    assert state["step"] == 10
    assert faults == ["step-00000020.pt is damaged (its sha256 differs)"]


def test_no_whole_checkpoint_is_an_error_and_none_at_all_is_not(folder):
    assert checkpoint.load_newest(folder) == (None, [])
    checkpoint.save(folder, 10, {"step": 10})
    (folder.checkpoints / "step-00000010.pt").write_bytes(b"")
    with pytest.raises(CheckpointError, match="--study NAME"):
        checkpoint.load_newest(folder)
    (folder.checkpoints / "manifest.json").unlink()
    with pytest.raises(CheckpointError, match=r"manifest\.json is missing"):
        checkpoint.load_newest(folder)


def test_a_kill_while_a_checkpoint_is_written_costs_nothing(folder, monkeypatch):
    def killed(path, content):
        raise KeyboardInterrupt

    for step, expected in ((10, None), (20, 10)):
        with monkeypatch.context() as patch:
            patch.setattr(checkpoint, "write_atomically", killed)
            (folder.checkpoints / f".step-{step:08d}.pt.123").parent.mkdir(exist_ok=True)
            (folder.checkpoints / f".step-{step:08d}.pt.123").touch()
            with pytest.raises(KeyboardInterrupt):
                checkpoint.save(folder, step, {"step": step})
        state, _ = checkpoint.load_newest(folder)
        assert (state and state["step"]) == expected
        checkpoint.save(folder, step, {"step": step})
        assert not list(folder.checkpoints.glob(".step*"))


def test_a_full_disk_costs_no_checkpoint_however_often(folder, monkeypatch):
    checkpoint.save(folder, 100, {"step": 100})

    def full(path, content):
        raise DiskError("full")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_atomically", full)
        for step in (200, 180):
            with pytest.raises(DiskError):
                checkpoint.save(folder, step, {"step": step})
    state, _ = checkpoint.load_newest(folder)
    assert state is not None
    assert state["step"] == 100


def test_lost_files_of_later_steps_do_not_displace_new_ones(folder):
    for step in (100, 200):
        checkpoint.save(folder, step, {"step": step})
        (folder.checkpoints / f"step-{step:08d}.pt").unlink()
    checkpoint.save(folder, 50, {"step": 50})
    state, _ = checkpoint.load_newest(folder)
    assert state is not None
    assert state["step"] == 50


def test_a_report_does_not_tell_where_it_was_made(folder, tmp_path):
    (folder.path / "config.json").write_text("{")
    faults = read_study(folder.path.parent).faults
    assert len(faults) == 1
    assert str(tmp_path) not in faults[0]


def test_studies_are_found_newest_last_and_an_unreadable_run_is_named(folder, tmp_path):
    root = tmp_path / "runs"
    other = RunFolder(root / "another" / "plain-8-s0")
    other.create(tiny(model={"kind": "plain", "depth": 8}))
    other.append(record(1))
    assert [path.name for path in study_folders(root)] == ["study", "another"]
    assert find_study(root, None).name == "another"
    (folder.path / "config.json").write_text(json.dumps({"model": {"kind": "oval"}}))
    study = read_study(root / "study")
    assert study.runs == ()
    assert len(study.faults) == 1
    assert "residual-8-s0 cannot be read" in study.faults[0]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/root"])
def test_a_study_is_a_plain_folder_name(name, tmp_path):
    with pytest.raises(ConfigError, match="--study expects a plain folder name"):
        study_path(tmp_path, name)
