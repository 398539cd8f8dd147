"""The launcher for this machine: several processes at once, each with its number of threads."""

import json
import signal
import sys

from resnet_lab.record.store import RunFolder
from resnet_lab.sweep.launch import Job, start
from resnet_lab.sweep.local import LocalPool, threads_for


def outcomes_of(folders, num_jobs, threads, program):
    """How the runs end when this Python program is started for each of them instead of `resnet-lab`."""
    pool = LocalPool("cpu", threads, num_jobs, [sys.executable, "-c", program])
    jobs = [Job(folder, folder.path) for folder in folders]
    return [outcome for outcome in start(pool, jobs, pool.allocate(len(jobs)), lambda: None) if outcome]


def test_two_jobs_run_at_once_each_with_its_number_of_threads(tmp_path):
    folders = [RunFolder(tmp_path / str(index)) for index in range(4)]
    for folder in folders:
        folder.path.mkdir()
    assert {outcome.exit_code for outcome in outcomes_of(folders, 2, 3, PROBE)} == {0}
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


def test_cores_are_divided_among_jobs():
    assert [threads_for(jobs, 8) for jobs in (1, 2, 3, 8, 16)] == [8, 4, 2, 1, 1]


def test_killed_process_is_recorded_as_a_failed_run(tmp_path):
    folder = RunFolder(tmp_path)
    [outcome] = outcomes_of([folder], 1, 1, f"import os; os.kill(os.getpid(), {signal.SIGKILL})")
    assert outcome.failed
    assert outcome.exit_code == 128 + signal.SIGKILL
    assert folder.events()[-1].name == "failed"
