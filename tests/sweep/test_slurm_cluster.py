"""What only `sweep --launcher slurm` does, on a real Slurm cluster of one node; skipped where Slurm is not installed."""

import subprocess
import sys

import pytest

from resnet_lab.record.store import RunFolder
from tests.builders import write_config
from tests.sweep.harness import go_on, is_told, paused
from tests.sweep.harness_slurm import SCRIPT, SlurmHarness, cluster

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("slurm")]
RUNS = ["plain-8-s0", "residual-8-s0"]


@pytest.fixture
def slurm(tmp_path, slurm_conf):
    """A folder whose name has all that paths may have, except line breaks and backslashes."""
    root = tmp_path / "a b'\"%A #$x"
    root.mkdir()
    harness = SlurmHarness(root, slurm_conf)
    yield harness
    harness.close()


def config_of(slurm, steps):
    changes = {"evaluation__every": 100, "recipe__schedule": {"name": "milestones"}, "log__keep": [20]}
    return write_config(slurm.root / "two.toml", recipe__steps=steps, **changes)


def folders_of(slurm):
    return [RunFolder(slurm.root / "runs" / "two" / name) for name in RUNS]


def events_of(folder):
    return [event.name for event in folder.events() if event.name != "checkpointed"]


def test_several_runs_in_a_task_finish_with_free_options_of_sbatch(slurm):
    config = config_of(slurm, 100)
    slurm.start(config, "--jobs", "2", "--at-once", "1", "--time", "1:00:00", "--slurm", "comment=a # b")
    assert "2 runs in 1 task" in slurm.err
    assert slurm.finish() == 0
    assert [events_of(folder) for folder in folders_of(slurm)] == [["started", "finished"]] * 2
    slurm.start(config)
    assert "There is nothing to submit" in slurm.err
    assert len(slurm.jobs()) == 1


def test_task_stopped_by_a_signal_is_queued_again_and_goes_on(slurm):
    config = config_of(slurm, 200)
    slurm.start(config)
    pids = paused(slurm.root, 2, slurm)
    [job] = slurm.jobs()
    record = slurm.root / "runs" / "two" / "slurm" / "jobs.jsonl"
    record.write_text(record.read_text().splitlines()[0])  # as if the command had been killed while sbatch was running
    slurm.start(config)
    assert f"2 runs are queued or running already: plain-8-s0 (running {job}_0), residual-8-s0 (running {job}_1)." in slurm.err
    assert f"running {job}_1" in slurm.command(sys.executable, "-m", "resnet_lab", "runs", str(slurm.root / "runs" / "two"))
    stopped, other = folders_of(slurm)
    pid = stopped.holder().pid
    slurm.command("scancel", "--signal=TERM", f"{job}_0")
    slurm.wait_for(lambda: is_told(pid))
    go_on(pids)
    slurm.wait_for(lambda: "preempted" in events_of(stopped))
    assert slurm.finish() == 0
    assert events_of(stopped) == ["started", "preempted", "resumed", "finished"]
    assert events_of(other) == ["started", "finished"]
    assert slurm.jobs() == [job]


def test_time_limit_stops_a_run_with_a_checkpoint_and_it_goes_on(slurm):
    plain = ("--set", 'sweep.kinds=["plain"]')
    slurm.start(config_of(slurm, 100_000), *plain, "--time", "5", "--slurm", "signal=USR1@280")
    [pid] = paused(slurm.root, 1, slurm)
    slurm.wait_for(lambda: is_told(pid))
    go_on([pid])
    run = folders_of(slurm)[0]
    slurm.wait_for(lambda: "resumed" in events_of(run) or not slurm.queue())
    assert events_of(run)[:3] == ["started", "preempted", "resumed"]


@pytest.mark.usefixtures("slurm_conf")
def test_stop_of_the_cluster_leaves_no_process(tmp_path):
    with cluster(tmp_path / "cluster"):
        pids = [int(path.read_text()) for path in (tmp_path / "cluster").glob("*.pid")]
        assert len(pids) == 3
    for pid in pids:
        ended = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
        assert ended[:1] in ("", "Z")  # a zombie has ended
    assert subprocess.run([SCRIPT, "restart", tmp_path], capture_output=True, check=False).returncode == 2
