"""A sweep beside others: runs that another process holds are waited for, and started here if they were not finished."""

import json
import signal
import sys

import pytest

from resnet_lab.record.lock import this_machine
from resnet_lab.record.store import RunFolder
from resnet_lab.sweep import local, pending
from resnet_lab.sweep.launch import Job, Outcome, start
from resnet_lab.sweep.local import LocalPool

TOUCH = """
import pathlib, sys
folder = pathlib.Path(sys.argv[sys.argv.index("--run") + 1])
(folder / "started").touch()
"""
LOSES_ONCE = """
import pathlib, sys
folder = pathlib.Path(sys.argv[sys.argv.index("--run") + 1])
lost = (folder / "lost").exists()
(folder / "lost").touch()
sys.exit(0 if lost else 75)
"""


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch):
    monkeypatch.setattr(pending, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(local, "_POLL_SECONDS", 0.05)


@pytest.fixture
def folders(tmp_path):
    folders = [RunFolder(tmp_path / name) for name in ("plain-8-s0", "residual-8-s0")]
    for folder in folders:
        folder.path.mkdir()
    return folders


def updates_of(folders, program=TOUCH, stop=lambda: None):
    """What a sweep with one place says of runs whose process is this program."""
    pool = LocalPool("cpu", 1, 1, [sys.executable, "-c", program])
    jobs = [Job(folder, folder.path) for folder in folders]
    return start(pool, jobs, pool.allocate(len(jobs)), stop)


def is_started(folder):
    return (folder.path / "started").exists()


def skip(updates, count=5):
    """Let time pass in which nothing happens."""
    for _ in range(count):
        assert next(updates) is None


def test_a_run_that_a_process_of_this_machine_holds_takes_a_place_until_it_has_ended(folders):
    held, other = folders
    updates = updates_of(folders)
    with held.lock():
        who = held.holder()
        assert who.machine == this_machine()
        assert next(updates) == f"plain-8-s0 is being trained by {who}; waiting for it."
        skip(updates)
        assert not is_started(other)
        held.append_event("finished", 30)
    outcomes = [update for update in updates if update]
    assert outcomes == [Outcome(held, 0), Outcome(other, 0)]
    assert not is_started(held)
    assert is_started(other)


def test_a_run_that_another_machine_holds_takes_no_place_and_is_started_here_if_it_is_released_unfinished(folders):
    held, other = folders
    owner = held.path / ".owner.json"
    owner.write_text(json.dumps({"host": "elsewhere", "boot": "", "pid": 7, "token": "t", "since": "2026-01-01T00:00:00+00:00"}))
    updates = updates_of(folders)
    assert next(updates) == "plain-8-s0 is being trained by process 7 on elsewhere; waiting for it."
    while (update := next(updates)) is None:
        pass
    assert update == Outcome(other, 0)
    skip(updates)
    assert not is_started(held)
    owner.unlink()
    assert [update for update in updates if update] == [Outcome(held, 0)]
    assert is_started(held)


def test_a_held_run_that_diverges_has_diverged(folders):
    held, _ = folders
    updates = updates_of([held])
    with held.lock():
        next(updates)
        held.append_event("diverged", 3)
    [outcome] = [update for update in updates if update]
    assert (outcome.exit_code, outcome.failed) == (4, True)
    assert [event.name for event in held.events()] == ["diverged"]


def test_a_child_that_lost_the_race_for_a_run_waits_for_it(folders):
    folder, _ = folders
    assert [update for update in updates_of([folder], LOSES_ONCE) if update] == [Outcome(folder, 0)]
    assert folder.events() == []


def test_a_stop_while_waiting_ends_the_sweep_and_leaves_the_run_alone(folders):
    held, other = folders
    asked = []
    updates = updates_of(folders, stop=lambda: signal.SIGTERM if asked else None)
    with held.lock():
        next(updates)
        skip(updates, 2)
        asked.append(True)
        assert [update for update in updates if update] == []
        assert held.is_locked()
    assert not is_started(other)
    assert held.events() == []
