"""The plan of a sweep: how long it takes, and its progress."""

import pytest

from resnet_lab.config.files import load_study
from resnet_lab.record.lines import TrainRecord
from resnet_lab.record.store import RunFolder
from resnet_lab.run.estimate import Forecast
from resnet_lab.sweep import plan as plans
from resnet_lab.sweep.disk import DiskSpace
from resnet_lab.sweep.launch import Allocation
from resnet_lab.sweep.plan import Plan, PlannedRun, makespan
from tests.builders import tiny, write_config


def test_makespan_is_the_time_until_the_last_run_ends():
    assert makespan([4.0, 3.0, 2.0, 2.0], 2) == 6.0
    assert makespan([4.0, 3.0], 4) == 4.0
    assert makespan([], 2) == 0.0


def planned_run(tmp_path, name, seconds, step=0):
    config = tiny(model__kind=name.partition("-")[0])
    folder = RunFolder(tmp_path / name)
    folder.create(config)
    return PlannedRun(folder, "planned", Forecast(config, 1, 1, 1.0, step, seconds), seconds)


def test_progress_is_the_share_of_work_done_and_the_time_left(tmp_path):
    runs = (planned_run(tmp_path, "plain-8-s0", 60.0), planned_run(tmp_path, "residual-8-s0", 30.0))
    plan = Plan(tmp_path, runs, (), Allocation(1, 1, "cpu"), stand_in=False, trial_seconds=0.0, disk=DiskSpace(0, 0))

    def progress(elapsed):
        return plan.progress([run.folder.read() for run in runs], elapsed)

    assert progress(0.0) == (0.0, 90.0)
    runs[0].folder.append(TrainRecord(15, 0.5, 1.0, 0.1, 80, 1.0))  # half of its 30 steps
    assert progress(30.0) == (pytest.approx(1 / 3), 60.0)
    assert progress(60.0) == (pytest.approx(1 / 3), 120.0)  # at half the planned speed
    for run in runs:
        run.folder.append_event("finished", 30)
    assert progress(100.0) == (1.0, 0.0)


class Elsewhere:
    """Has four machines, none of them this one."""

    def allocate(self, num_runs):
        return Allocation(4, 1, None)


def test_a_sweep_on_other_machines_is_not_measured_here_and_is_ordered_by_work(tmp_path, monkeypatch):
    monkeypatch.setattr(plans, "measure", pytest.fail)
    config = write_config(tmp_path / "far.toml", compute={"compile": "auto"})
    source = load_study(str(config), ["sweep.depths=[8, 14]"])
    plan = plans.plan(source, tmp_path / "study", None, Elsewhere(), print)
    assert [run.folder.path.name for run in plan.runs] == ["plain-14-s0", "residual-14-s0", "plain-8-s0", "residual-8-s0"]
    assert {run.forecast.config.compute.compile for run in plan.runs} == {False}
    plan.create()
    runs = [run.folder.read() for run in plan.runs]
    assert plan.progress(runs, 0.0) == (0.0, None)
