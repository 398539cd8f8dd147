"""The launcher for this machine: several processes at once, each with its number of threads."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from resnet_lab.record.store import RunFolder
from resnet_lab.sweep.launch import Job, start
from resnet_lab.sweep.local import LocalPool, threads_for


def updates_of(folders, num_jobs, threads, program):
    """What a sweep yields when this Python program is started for each run instead of `resnet-lab`."""
    pool = LocalPool("cpu", threads, num_jobs, [sys.executable, "-c", program])
    jobs = [Job(folder, folder.path) for folder in folders]
    return [update for update in start(pool, jobs, pool.allocate(len(jobs)), lambda: None) if update]


def test_two_jobs_run_at_once_each_with_its_number_of_threads(tmp_path):
    folders = [RunFolder(tmp_path / str(index)) for index in range(4)]
    for folder in folders:
        folder.path.mkdir()
    assert {outcome.exit_code for outcome in updates_of(folders, 2, 3, PROBE)} == {0}
    reports = [json.loads((tmp_path / f"{index}.json").read_text()) for index in range(4)]
    assert {report["threads"] for report in reports} == {"3"}
    assert max(report["at_once"] for report in reports) == 2


# Waits until a second job has started, so that the test holds on slow machines, and then counts the running jobs.
PROBE = """
import json, os, pathlib, sys, time
from tests.builders import tiny, write_config
place = pathlib.Path(sys.argv[sys.argv.index("--run") + 1])
folder, name = place.parent, place.name
running = folder / (name + ".running")
running.touch()
partner = folder / (str(int(name) ^ 1) + ".started")
(folder / (name + ".started")).touch()
end = time.time() + 60
while not partner.exists() and time.time() < end:
    time.sleep(0.02)
at_once = len(list(folder.glob("*.running")))
time.sleep(0.2)
running.unlink()
(folder / (name + ".json")).write_text(json.dumps({"at_once": at_once, "threads": os.environ["OMP_NUM_THREADS"]}))
"""


def test_a_job_gets_the_device_that_runs_the_fewest(tmp_path, monkeypatch):
    monkeypatch.setattr(LocalPool, "_devices", lambda self, device: ["cuda:0", "cuda:1"])
    folders = [RunFolder(tmp_path / name) for name in "abcd"]
    for folder in folders:
        folder.path.mkdir()
    assert {outcome.exit_code for outcome in updates_of(folders, 2, 1, LONG_FIRST)} == {0}
    assert {name: (tmp_path / name / "device").read_text() for name in "abcd"} == {
        "a": "cuda:0", **dict.fromkeys("bcd", "cuda:1"),
    }  # fmt: skip


# The run `a` lasts until `d` has started.
LONG_FIRST = """
import pathlib, sys, time
folder = pathlib.Path(sys.argv[sys.argv.index("--run") + 1])
(folder / "device").write_text(sys.argv[sys.argv.index("--device") + 1])
end = time.time() + 60
while folder.name == "a" and not (folder.parent / "d" / "device").exists() and time.time() < end:
    time.sleep(0.02)
"""


def test_a_run_whose_folder_is_gone_fails_alone(tmp_path):
    folders = [RunFolder(tmp_path / name) for name in ("gone", "here")]
    folders[1].path.mkdir()
    problem, *outcomes = updates_of(folders, 1, 1, "")
    assert "gone" in problem
    assert [(outcome.folder, outcome.exit_code) for outcome in outcomes] == [(folders[0], 74), (folders[1], 0)]


def test_a_stuck_process_is_killed_by_the_last_ctrl_c(tmp_path):
    folder = RunFolder(tmp_path / "plain-8-s0")
    folder.path.mkdir()
    pool = LocalPool("cpu", 1, 1, [sys.executable, "-c", STUCK])
    signals: list[int] = []
    updates = start(pool, [Job(folder, folder.path)], pool.allocate(1), lambda: signals[0] if signals else None)
    while not (folder.path / "started").exists():
        next(updates)
    signals.append(signal.SIGINT)
    for _ in range(5):
        assert next(updates) is None  # it ignores the first signal
    begin = time.monotonic()
    updates.close()
    assert time.monotonic() - begin < 10
    pid = int((folder.path / "started").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


STUCK = """
import os, pathlib, signal, sys, time
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
path = pathlib.Path(sys.argv[sys.argv.index("--run") + 1])
(path / "pid").write_text(str(os.getpid()))
(path / "pid").rename(path / "started")
time.sleep(60)
"""


def test_cores_are_divided_among_jobs():
    assert [threads_for(jobs, 8) for jobs in (1, 2, 3, 8, 16)] == [8, 4, 2, 1, 1]


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path / "plain-8-s0")
    folder.path.mkdir()
    return folder


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT])
def test_killed_process_is_started_again_twice_and_then_recorded_as_a_failed_run(number, folder):
    program = f"import os; open('starts', 'a').write('x'); os.kill(os.getpid(), {number})"
    *messages, outcome = updates_of([folder], 1, 1, program)
    reason = ", perhaps for lack of memory" if number == signal.SIGKILL else ""
    assert messages == [
        f"plain-8-s0 was killed (signal {int(number)}){reason}; starting it again, {again} of 2." for again in (1, 2)
    ]
    assert outcome.failed
    assert outcome.exit_code == 128 + number
    assert Path("starts").read_text() == "xxx"
    [event] = folder.events()
    assert (event.name, event.detail) == ("failed", {"exit_code": 128 + number, "signal": signal.Signals(number).name})


def test_process_that_is_killed_once_finishes(folder):
    program = "import os; os.path.exists('killed') or open('killed', 'w') and os.kill(os.getpid(), 9)"
    message, outcome = updates_of([folder], 1, 1, program)
    assert "starting it again, 1 of 2" in message
    assert outcome.exit_code == 0
    assert folder.events() == []


def test_process_that_a_full_disk_ended_is_started_again_twice(folder):
    *messages, outcome = updates_of([folder], 1, 1, "raise SystemExit(74)")
    assert messages == [f"plain-8-s0 ended with exit code 74; starting it again, {again} of 2." for again in (1, 2)]
    assert outcome.exit_code == 74


@pytest.mark.parametrize("code", [1, 2, 3, 4, 6])
def test_process_that_ends_with_an_error_is_not_started_again(code, folder):
    [outcome] = updates_of([folder], 1, 1, f"raise SystemExit({code})")
    assert outcome.exit_code == code
