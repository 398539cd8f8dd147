"""Sweeps beside each other and after a kill: each run is trained once, by whichever process holds it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from resnet_lab.record.store import RunFolder
from resnet_lab.sweep.launch import Job, Outcome, start
from resnet_lab.sweep.local import LocalPool
from tests.builders import write_config
from tests.reliability.scale import times

# A checkpoint at step 100, so that a killed run has one to resume from.
RUN = {"recipe__steps": 300, "recipe__schedule": {"name": "milestones"}, "evaluation__every": 150, "log__keep": [100]}


class Sweep:
    """`resnet-lab sweep` in a process of its own."""

    def __init__(self, config, num_seeds, log):
        self._log, self._end = log, time.monotonic() + 300
        seeds = f"sweep.seeds={json.dumps(list(range(num_seeds)))}"
        argv = [sys.executable, "-m", "resnet_lab", "sweep", str(config), "--set", seeds, "--jobs", "2"]
        with log.open("wb") as file:
            self.process = subprocess.Popen(argv, stdout=file, stderr=file)

    @property
    def said(self):
        return " ".join(self._log.read_text().split())

    def pause(self):
        """Wait a moment; fails if the sweep has ended or takes for ever."""
        assert self.process.poll() is None, self.said
        assert time.monotonic() < self._end, self.said
        time.sleep(0.05)

    def exit_code(self):
        return self.process.wait(300)

    def kill(self):
        self.process.kill()
        self.process.wait()


class Study:
    """The runs of the sweeps of a test."""

    def __init__(self, folder):
        self._folder = folder

    @property
    def runs(self):
        return [RunFolder(path.parent) for path in sorted(self._folder.glob("*/config.json"))]

    def holders(self):
        """The process ids of those that train, by the run's name."""
        owners = {run.path.name: run.holder() for run in self.runs}
        return {name: owner.pid for name, owner in owners.items() if owner is not None and owner.pid}

    def events(self):
        """How often each event occurred in each run, checkpoints left out."""
        return [
            Counter(event.name for event in run.events() if event.name not in ("checkpointed", "preempted")) for run in self.runs
        ]


@pytest.fixture
def study(tmp_path):
    study = Study(tmp_path / "runs" / "many")
    yield study
    for pid in study.holders().values():  # none, unless the test has failed
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def sweep(tmp_path):
    """Start a sweep over plain and residual runs of depth 8 and so many seeds."""
    config = write_config(tmp_path / "many.toml", **RUN)
    sweeps = []

    def begin(num_seeds):
        sweeps.append(Sweep(config, num_seeds, tmp_path / f"sweep-{len(sweeps)}.log"))
        return sweeps[-1]

    yield begin
    for each in sweeps:
        if each.process.poll() is None:
            each.process.terminate()
            each.process.wait(120)


@pytest.mark.slow
def test_two_sweeps_of_one_study_at_once_train_each_run_once(sweep, study, figure):
    num_seeds = times(1, 4)
    both = [sweep(num_seeds), sweep(num_seeds)]
    assert [each.exit_code() for each in both] == [0, 0], [each.said for each in both]
    assert study.events() == [Counter(started=1, finished=1)] * (2 * num_seeds)
    figure("8", f"two sweeps of one study of {2 * num_seeds} runs at once", "each run trained once, both sweeps end with 0")


@pytest.mark.slow
def test_after_kills_of_a_sweep_every_run_is_finished_and_none_starts_again(sweep, study, figure):
    kills, num_seeds = times(1, 10), times(2, 6)
    left, seen = {}, set()
    for _ in range(kills):
        parent = sweep(num_seeds)
        wait_until_it_waits(parent, study, left)
        while not (new := set(study.holders().values()) - seen):  # it has started a run
            parent.pause()
        left = study.holders()
        send(left, signal.SIGSTOP)
        parent.kill()
        seen |= new | set(left.values())
    last = sweep(num_seeds)
    wait_until_it_waits(last, study, left)
    assert last.exit_code() == 0, last.said
    assert study.events() == [Counter(started=1, finished=1)] * (2 * num_seeds)
    figure(
        "9",
        f"{kills} SIGKILLs of a sweep's parent over {2 * num_seeds} runs",
        f"{2 * num_seeds} of {2 * num_seeds} finished, none started again, the last sweep ends with 0",
    )


def wait_until_it_waits(parent, study, left):
    """Let the runs that another sweep has left behind go on once this one says that it waits for one of them."""
    while left and not any(f"{name} is being trained by process {pid} on" in parent.said for name, pid in left.items()):
        parent.pause()
    assert all(run.read().state == "running" for run in study.runs if run.path.name in left)
    send(left, signal.SIGCONT)


def send(holders, number):
    for pid in holders.values():
        os.kill(pid, number)


@pytest.mark.slow
def test_a_killed_child_is_started_again_and_resumes(sweep, study, figure):
    parent = sweep(1)
    while not (saved := [run for run in study.runs if "checkpointed" in (event.name for event in run.events())]):
        parent.pause()
    run = saved[0]
    os.kill(study.holders()[run.path.name], signal.SIGKILL)
    assert parent.exit_code() == 0, parent.said
    assert f"{run.path.name} was killed (signal 9), perhaps for lack of memory; starting it again, 1 of 2." in parent.said
    [resumed] = [event for event in run.events() if event.name == "resumed"]
    assert resumed.step >= 100
    assert sum(study.events(), Counter()) == Counter(started=2, resumed=1, finished=2)
    figure("9", "SIGKILL of one of a sweep's runs", f"started again, resumed at step {resumed.step}, the sweep ends with 0")


@pytest.mark.parametrize(("ending", "count"), [("os.kill(os.getpid(), 9)", 3), ("sys.exit(2)", 1)])
def test_a_child_that_is_always_killed_is_started_again_twice_and_a_usage_error_never(ending, count, tmp_path, figure):
    folder = RunFolder(tmp_path / "plain-8-s0")
    folder.path.mkdir()
    program = f"import os, sys; open('starts', 'a').write('x'); {ending}"
    pool = LocalPool("cpu", 1, 1, [sys.executable, "-c", program])
    updates = list(start(pool, [Job(folder, tmp_path)], pool.allocate(1), lambda: None))
    [outcome] = [update for update in updates if isinstance(update, Outcome)]
    assert outcome.failed
    assert len((tmp_path / "starts").read_text()) == count
    assert [event.name for event in folder.events()] == ["failed"]
    figure("9", f"a child that always ends with {outcome.exit_code}", f"processes started: {count}; then a failed run")
