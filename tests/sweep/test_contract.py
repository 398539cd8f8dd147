"""What every launcher promises: each run is trained once and to its end, whatever stops on the way, with the same numbers."""

from collections import Counter

import pytest

from resnet_lab.config.files import load_study
from resnet_lab.record.store import RunFolder
from resnet_lab.run.experiment import run
from resnet_lab.sweep.grid import expand
from tests.builders import CPU, records_without_times, write_config
from tests.sweep.harness import end_process, runs_in, wait_for
from tests.sweep.harness_k8s import KubernetesHarness
from tests.sweep.harness_local import LocalHarness
from tests.sweep.harness_ray import RayHarness
from tests.sweep.harness_slurm import SlurmHarness

# A checkpoint at step 100, so that a killed run has one to resume from.
LONG = {"recipe__steps": 800, "recipe__schedule": {"name": "milestones"}, "evaluation__every": 400, "log__keep": [100]}
pytestmark = pytest.mark.slow


@pytest.fixture(params=["local", "ray", "slurm", "k8s"])
def harness(request, tmp_path):
    match request.param:
        case "local":
            harness = LocalHarness(tmp_path)
        case "ray":
            harness = RayHarness(tmp_path, request.getfixturevalue("cluster"))
        case "slurm":
            harness = SlurmHarness(tmp_path, request.getfixturevalue("slurm_conf"))
        case "k8s":
            harness = KubernetesHarness(tmp_path)
    yield harness
    harness.close()


@pytest.fixture(scope="session")
def reference(tmp_path_factory):
    """What the runs of `long` are when nothing interrupts them, trained in this process."""
    root = tmp_path_factory.mktemp("reference")
    for config in expand(load_study(str(write_config(root / "long.toml", **LONG)))):
        list(run(config, RunFolder(root / "runs" / "long" / config.name), CPU, measure_speed=False))
    return trained(root)


@pytest.fixture
def long(tmp_path):
    return write_config(tmp_path / "long.toml", **LONG)


def trained(root):
    """The config and the records of each run by its name."""
    return {folder.path.name: (folder.config(), records_without_times(folder)) for folder in runs_in(root)}


def events(root):
    """How often each event occurred in each run, without checkpoints."""
    return {
        folder.path.name: Counter(event.name for event in folder.events() if event.name not in ("checkpointed", "preempted"))
        for folder in runs_in(root)
    }


def saved(root):
    """The runs that have a checkpoint."""
    return [folder for folder in runs_in(root) if any(folder.checkpoints.glob("*.pt"))]


def check_complete(harness, root, reference):
    """All is over, each run has been trained once, and nothing but seconds depends on the launcher and on interruptions."""
    assert harness.finish() == 0, harness.err
    assert trained(root) == reference
    assert all(counts["started"] == counts["finished"] == 1 for counts in events(root).values())
    assert not any(folder.is_locked() for folder in runs_in(root))
    assert harness.out == ""


def test_every_run_is_trained_once_with_the_same_records_and_skipped_the_next_time(harness, tmp_path, long, reference):
    harness.start(long)
    check_complete(harness, tmp_path, reference)
    assert all(counts == Counter(started=1, finished=1) for counts in events(tmp_path).values())
    before = events(tmp_path)
    harness.start(long)
    check_complete(harness, tmp_path, reference)
    assert "0 of 2 runs left" in harness.err
    assert events(tmp_path) == before


def test_two_sweeps_at_once_train_each_run_once(harness, tmp_path, long, reference):
    harness.start(long)
    harness.start(long)
    check_complete(harness, tmp_path, reference)
    assert all(counts == Counter(started=1, finished=1) for counts in events(tmp_path).values())


def test_a_run_whose_process_is_killed_is_started_again_and_resumes(harness, tmp_path, long, reference):
    harness.start(long)
    wait_for(lambda: saved(tmp_path), harness)
    killed = next(folder for folder in saved(tmp_path) if end_process(folder))
    check_complete(harness, tmp_path, reference)
    assert events(tmp_path)[killed.path.name] == Counter(started=1, resumed=1, finished=1)
    if harness.follows:
        name = killed.path.name
        assert f"{name} was killed (signal 9), perhaps for lack of memory; starting it again, 1 of 2." in harness.err


def test_a_cancelled_sweep_saves_its_runs_and_the_next_one_resumes_them(harness, tmp_path, long, reference):
    harness.start(long)
    wait_for(lambda: len(saved(tmp_path)) == 2, harness)
    harness.stop()
    assert harness.finish() == (130 if harness.follows else 5), harness.err
    assert not any(folder.is_locked() for folder in runs_in(tmp_path))
    stopped = [folder for folder in runs_in(tmp_path) if not folder.ending()]
    assert stopped
    for folder in stopped:
        assert folder.events()[-1].name == "preempted"
        assert (folder.checkpoints / f"step-{folder.events()[-1].step:08d}.pt").is_file()
    harness.start(long)
    check_complete(harness, tmp_path, reference)
    assert all(events(tmp_path)[folder.path.name] == Counter(started=1, resumed=1, finished=1) for folder in stopped)


def test_a_sweep_whose_driver_is_killed_is_continued_by_the_same_command(harness, tmp_path, long, reference):
    harness.start(long)
    wait_for(lambda: len(saved(tmp_path)) == 2, harness)
    harness.kill_driver()
    harness.start(long)
    check_complete(harness, tmp_path, reference)


def test_a_sweep_survives_the_loss_of_a_machine(harness, tmp_path, long, reference):
    harness.start(long)
    wait_for(lambda: len(saved(tmp_path)) == 2, harness)
    harness.kill_node()
    check_complete(harness, tmp_path, reference)
    assert sum(events(tmp_path).values(), Counter())["resumed"] >= 1


def test_a_usage_error_is_not_tried_again(harness, tmp_path):
    harness.start(write_config(tmp_path / "wrong.toml", compute={"compile": False, "cuda_graphs": True}))
    code = harness.finish()
    assert code in (2, 5), harness.err
    is_found_at_once = code == 2  # by the launcher that measures the speed here, before it starts a run
    said = (harness.err if is_found_at_once else harness.printed).count("Error: compute.cuda_graphs requires a CUDA device")
    assert said == (1 if is_found_at_once else 2)
    assert "starting it again" not in harness.err
    codes = [event.detail["exit_code"] for folder in runs_in(tmp_path) for event in folder.events()]
    assert codes == ([2, 2] if harness.follows and not is_found_at_once else [])
