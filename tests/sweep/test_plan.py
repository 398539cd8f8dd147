"""The plan of a sweep: how long it takes, and its progress."""

import pytest

from resnet_lab.record.lines import TrainRecord
from resnet_lab.record.store import RunFolder
from resnet_lab.run.estimate import Forecast
from resnet_lab.sweep.disk import DiskSpace
from resnet_lab.sweep.launch import Allocation
from resnet_lab.sweep.local import LocalPool
from resnet_lab.sweep.plan import Plan, PlannedRun, makespan
from tests.builders import tiny


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
    plan = Plan(tmp_path, runs, (), LocalPool(), Allocation(1, 1, "cpu"), stand_in=False, trial_seconds=0.0, disk=DiskSpace(0, 0))

    def progress(elapsed):
        return plan.progress([run.folder.read() for run in runs], elapsed)

    assert progress(0.0) == (0.0, 90.0)
    runs[0].folder.append(TrainRecord(15, 0.5, 1.0, 0.1, 80, 1.0))  # half of its 30 steps
    assert progress(30.0) == (pytest.approx(1 / 3), 60.0)
    assert progress(60.0) == (pytest.approx(1 / 3), 120.0)  # at half the planned speed
    for run in runs:
        run.folder.append_event("finished", 30)
    assert progress(100.0) == (1.0, 0.0)
