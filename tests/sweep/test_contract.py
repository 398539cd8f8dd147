"""What every launcher promises: each run is trained once and to its end, whatever stops on the way, with the same numbers."""

from collections import Counter
from functools import partial

import pytest

from resnet_lab.config.files import load_study
from resnet_lab.record.store import RunFolder
from resnet_lab.run.experiment import run
from resnet_lab.sweep.grid import expand
from tests.builders import CPU, records_without_times, write_config
from tests.sweep.harness import end_process, go_on, is_told, paused, runs_in, saved, wait_for
from tests.sweep.harness_k8s import KubernetesHarness
from tests.sweep.harness_local import LocalHarness
from tests.sweep.harness_ray import RayHarness
from tests.sweep.harness_slurm import SlurmHarness

LAUNCHERS = ("local", "ray", "slurm", "k8s")
# A checkpoint at step 20, so that a killed run has one to resume from.
LONG = {"recipe__steps": 200, "recipe__schedule": {"name": "milestones"}, "evaluation__every": 100, "log__keep": [20]}
PLAIN = ("--set", 'sweep.kinds=["plain"]')  # one of the two runs
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=[pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in LAUNCHERS])
def make_harness(request):
    """Makes the harness of a launcher for a folder."""
    match request.param:
        case "local":
            return LocalHarness
        case "ray":
            return partial(RayHarness, cluster=request.getfixturevalue("cluster"))
        case "slurm":
            return partial(SlurmHarness, conf=request.getfixturevalue("slurm_conf"))
        case _:
            return KubernetesHarness


@pytest.fixture
def harness(make_harness, tmp_path):
    harness = make_harness(tmp_path)
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


def check_complete(harness, root, reference):
    """The sweep ends well, each run has been trained once, and nothing but seconds depends on launcher and interruptions."""
    assert harness.finish() == 0, harness.err
    check_trained(harness, root, reference)


def check_trained(harness, root, reference):
    assert trained(root) == reference
    assert all(counts["started"] == counts["finished"] == 1 for counts in events(root).values())
    assert not any(folder.is_locked() for folder in runs_in(root))
    assert harness.out == ""


@pytest.fixture(scope="module")
def swept(make_harness, tmp_path_factory):
    """A harness, its folder and a study: two sweeps of it have begun at once and are over."""
    root = tmp_path_factory.mktemp("swept")
    harness, config = make_harness(root), write_config(root / "long.toml", **LONG)
    harness.start(config)
    harness.start(config)
    assert harness.finish() == 0, harness.err
    yield harness, root, config
    harness.close()


def test_every_run_is_started_and_has_the_same_records(swept, reference):
    harness, root, _ = swept
    check_trained(harness, root, reference)


def test_two_sweeps_at_once_train_each_run_exactly_once(swept):
    _, root, _ = swept
    assert list(events(root).values()) == [Counter(started=1, finished=1)] * 2


def test_finished_runs_are_skipped_the_next_time(swept, reference):
    harness, root, config = swept
    before = {folder.path: folder.events() for folder in runs_in(root)}
    harness.start(config)
    check_complete(harness, root, reference)
    assert "0 of 2 runs left" in harness.err
    assert {folder.path: folder.events() for folder in runs_in(root)} == before


def test_a_run_whose_process_is_killed_is_started_again_and_resumes(harness, tmp_path, long, reference):
    harness.start(long, *PLAIN)
    wait_for(lambda: any(end_process(folder) for folder in saved(tmp_path)), harness)
    check_complete(harness, tmp_path, {name: reference[name] for name in ("plain-8-s0",)})
    assert events(tmp_path) == {"plain-8-s0": Counter(started=1, resumed=1, finished=1)}
    if harness.follows:
        assert "plain-8-s0 was killed (signal 9), perhaps for lack of memory; starting it again, 1 of 2." in harness.err


def test_a_cancelled_sweep_saves_its_runs_and_the_next_one_resumes_them(harness, tmp_path, long, reference):
    harness.start(long)
    pids = paused(tmp_path, 2, harness)
    harness.stop()
    wait_for(lambda: all(map(is_told, pids)), harness)
    go_on(pids)
    assert harness.finish() == (130 if harness.follows else 5), harness.err
    assert not any(folder.is_locked() for folder in runs_in(tmp_path))
    for folder in runs_in(tmp_path):
        assert folder.events()[-1].name == "preempted"
        assert (folder.checkpoints / f"step-{folder.events()[-1].step:08d}.pt").is_file()
    harness.start(long)
    check_complete(harness, tmp_path, reference)
    assert list(events(tmp_path).values()) == [Counter(started=1, resumed=1, finished=1)] * 2


def test_a_sweep_whose_driver_is_killed_is_continued_by_the_same_command(harness, tmp_path, long, reference):
    harness.start(long)
    pids = paused(tmp_path, 2, harness)
    harness.kill_driver()
    go_on(pids)
    harness.start(long)
    check_complete(harness, tmp_path, reference)


def test_a_sweep_survives_the_loss_of_a_machine(harness, tmp_path, long, reference):
    harness.start(long)
    pids = paused(tmp_path, 2, harness)
    harness.kill_node()
    go_on(pids)
    check_complete(harness, tmp_path, reference)
    assert sum(events(tmp_path).values(), Counter())["resumed"] >= 1


def test_a_usage_error_is_not_tried_again(harness, tmp_path):
    harness.start(write_config(tmp_path / "wrong.toml", compute={"compile": True, "cuda_graphs": True}), *PLAIN)
    code = harness.finish()
    assert code in (2, 5), harness.err
    is_found_at_once = code == 2  # by the launcher that measures the speed here, before it starts a run
    said = harness.err if is_found_at_once else harness.printed
    assert said.count("Error: compute.cuda_graphs requires a CUDA device") == 1
    assert "starting it again" not in harness.err
    codes = [event.detail["exit_code"] for folder in runs_in(tmp_path) for event in folder.events()]
    assert codes == ([2] if harness.follows and not is_found_at_once else [])
