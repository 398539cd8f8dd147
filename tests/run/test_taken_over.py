"""A run that changes hands: from a killed process to the next, and away from a process that gave no sign of life."""

import json
import os

import pytest

from resnet_lab.errors import LockedError
from resnet_lab.record.store import RunFolder
from resnet_lab.run.experiment import run
from tests.builders import tiny

CONFIG = tiny()


def test_a_run_of_a_killed_process_says_from_whom_it_was_taken_over(tmp_path):
    folder = RunFolder(tmp_path / "run")
    going = run(CONFIG, folder, checkpoint_seconds=0.0)
    while not (folder.checkpoints / "manifest.json").exists():
        next(going)
    owner = (folder.path / ".owner.json").read_bytes()
    going.close()
    (folder.path / ".owner.json").write_bytes(owner)  # as a killed process leaves it
    said = list(run(CONFIG, folder))
    host, pid = json.loads(owner)["host"], os.getpid()
    assert f"Taken over from process {pid} on {host}, which showed no sign of life." in said
    [resumed] = [event for event in folder.events() if event.name == "resumed"]
    assert resumed.detail["taken_over"] == {"host": host, "pid": pid}
    assert not (folder.path / ".owner.json").exists()


def test_a_run_that_another_process_took_over_ends_at_its_next_record(tmp_path):
    folder = RunFolder(tmp_path / "run")
    going = run(CONFIG, folder)
    while not folder.records():
        next(going)
    before = len(folder.records())
    owner = json.loads((folder.path / ".owner.json").read_text()) | {"token": "another", "host": "elsewhere", "boot": ""}
    (folder.path / ".owner.json").write_text(json.dumps(owner))
    with pytest.raises(LockedError, match=r"on elsewhere.* has taken over"):
        list(going)
    assert len(folder.records()) == before
    assert (folder.path / ".owner.json").exists()


def test_a_stop_while_waiting_for_another_machine_leaves_the_run_alone(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.create(CONFIG)
    (folder.path / ".owner.json").write_text(
        json.dumps({"host": "elsewhere", "boot": "", "pid": 7, "token": "t", "since": "2026-01-01T00:00:00+00:00"})
    )
    said = []
    for item in run(CONFIG, folder, stop=lambda: bool(said)):
        said.append(item)
    assert "was not released by process 7 on elsewhere; waiting up to 45 s" in said[0]
    assert len(said) == 1
    assert folder.events() == []
