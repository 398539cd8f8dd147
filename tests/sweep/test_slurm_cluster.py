"""`sweep --launcher slurm` on a real Slurm cluster of one node; skipped where Slurm is not installed."""

import os
import signal
import subprocess
import sys

import pytest

from resnet_lab.config.files import load_study
from resnet_lab.record.store import RunFolder
from resnet_lab.run.experiment import run
from tests.builders import CPU, write_config
from tests.reliability.lasting import lasting
from tests.sweep.harness_slurm import SCRIPT, SlurmHarness, cluster, why_not

REASON = why_not()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(REASON is not None, reason=str(REASON))]
RUNS = ["plain-8-s0", "residual-8-s0"]
CHANGES = {"evaluation__every": 100, "recipe__schedule": {"name": "milestones"}}
STEPS = 300


@pytest.fixture(scope="session")
def conf(tmp_path_factory):
    with cluster(tmp_path_factory.mktemp("slurm")) as path:
        yield path


@pytest.fixture
def slurm(tmp_path, conf):
    """A folder whose name has all that paths may have, except line breaks and backslashes."""
    root = tmp_path / "a b'\"%A #$x"
    root.mkdir()
    harness = SlurmHarness(root, conf)
    yield harness
    harness.stop()


@pytest.fixture(scope="session")
def expected(tmp_path_factory):
    """The records and the last checkpoint of both runs, trained without interruption in this process."""
    folder = tmp_path_factory.mktemp("expected")
    study = load_study(str(write_config(folder / "two.toml", recipe__steps=STEPS, **CHANGES)))
    found = []
    for kind in ("plain", "residual"):
        list(run(study.run(kind=kind, depth=8), RunFolder(folder / kind), CPU))
        found.append(lasting(RunFolder(folder / kind)))
    return found


def config_of(slurm: SlurmHarness, steps: int = STEPS):
    return write_config(slurm.root / "two.toml", recipe__steps=steps, **CHANGES)


def folders_of(slurm: SlurmHarness) -> list[RunFolder]:
    return [RunFolder(slurm.root / "runs" / "two" / name) for name in RUNS]


def wait_until_trained(slurm: SlurmHarness, steps: int = 1) -> None:
    slurm.wait_for(lambda: all(folder.exists() and folder.read().step >= steps for folder in folders_of(slurm)))


def events_of(folder: RunFolder) -> list[str]:
    return [event.name for event in folder.events() if event.name != "checkpointed"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_array_finishes_and_its_records_equal_those_of_local_runs(slurm, expected, jobs):
    said = slurm.submit(config_of(slurm), "--jobs", str(jobs), "--at-once", "1", "--time", "1:00:00", "--slurm", "comment=a # b")
    assert f"2 runs in {2 // jobs} task" in said
    assert slurm.finish() == 0
    assert [lasting(folder) for folder in folders_of(slurm)] == expected
    assert "There is nothing to submit" in slurm.submit(config_of(slurm))
    assert len(slurm.jobs()) == 1


def test_task_stopped_by_a_signal_is_queued_again_and_goes_on_exactly(slurm, expected):
    slurm.submit(config_of(slurm))
    wait_until_trained(slurm)
    [job] = slurm.jobs()
    slurm.command("scancel", "--signal=TERM", f"{job}_0")
    stopped, other = folders_of(slurm)
    slurm.wait_for(lambda: "preempted" in events_of(stopped))
    assert slurm.finish() == 0
    assert [lasting(folder) for folder in folders_of(slurm)] == expected
    assert events_of(stopped) == ["started", "preempted", "resumed", "finished"]
    assert events_of(other) == ["started", "finished"]
    assert slurm.jobs() == [job]


def test_run_whose_process_is_killed_is_queued_again(slurm, expected):
    slurm.submit(config_of(slurm))
    wait_until_trained(slurm)
    killed, _ = folders_of(slurm)
    os.kill(killed.holder().pid, signal.SIGKILL)
    assert slurm.finish() == 0
    assert [lasting(folder) for folder in folders_of(slurm)] == expected
    [job] = slurm.jobs()
    assert (killed.path.parent / "slurm" / f"{job}_0.retries").read_text() == "exit code 137\n"


def test_runs_on_a_node_that_dies_start_again(slurm, expected):
    slurm.submit(config_of(slurm))
    wait_until_trained(slurm)
    slurm.kill_node()
    assert slurm.finish() == 0
    assert [lasting(folder) for folder in folders_of(slurm)] == expected


def test_time_limit_stops_a_run_with_a_checkpoint_and_it_goes_on(slurm):
    slurm.submit(config_of(slurm, 100_000), "--time", "5", "--slurm", "signal=USR1@280")
    wait_until_trained(slurm)
    slurm.wait_for(lambda: all("resumed" in events_of(folder) or not slurm.queue() for folder in folders_of(slurm)))
    assert all(events_of(folder)[:3] == ["started", "preempted", "resumed"] for folder in folders_of(slurm))


def test_cancelled_sweep_keeps_its_checkpoints_and_the_same_command_resumes_it(slurm):
    slurm.submit(config_of(slurm, 100_000))
    wait_until_trained(slurm)
    [job] = slurm.jobs()
    said = slurm.submit(config_of(slurm, 100_000))
    assert f"2 runs are queued or running already: plain-8-s0 (running {job}_0), residual-8-s0 (running {job}_1)." in said
    assert f"running {job}_1" in slurm.command(sys.executable, "-m", "resnet_lab", "runs", str(slurm.root / "runs" / "two"))
    slurm.stop()
    folders = folders_of(slurm)
    assert [folder.read().state for folder in folders] == ["interrupted", "interrupted"]
    assert all(events_of(folder)[-1] == "preempted" for folder in folders)
    slurm.submit(config_of(slurm, 100_000))
    slurm.wait_for(lambda: all("resumed" in events_of(folder) for folder in folders))
    assert len(slurm.jobs()) == 2


def test_usage_error_is_not_tried_again(slurm):
    slurm.submit(config_of(slurm), "--device", "cuda:7")
    assert slurm.finish() == 5
    folder = slurm.root / "runs" / "two"
    assert list((folder / "slurm").glob("*.retries")) == []
    outputs = [path.read_text() for path in (folder / "slurm").glob("*.out")]
    assert len(outputs) == 2
    assert all(text.count("Device 'cuda:7' is not available") == 1 for text in outputs)


def test_stop_of_the_cluster_leaves_no_process(tmp_path):
    with cluster(tmp_path / "cluster"):
        pids = [int(path.read_text()) for path in (tmp_path / "cluster").glob("*.pid")]
        assert len(pids) == 3
    for pid in pids:
        ended = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
        assert ended[:1] in ("", "Z")  # a zombie has ended
    assert subprocess.run([SCRIPT, "restart", tmp_path], capture_output=True, check=False).returncode == 2
