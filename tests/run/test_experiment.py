"""Runs from config to last record: exact resume, evaluations, matched pairs, and what a run leaves on disk."""

import itertools
import time
from pathlib import Path

import pytest
import torch

from resnet_lab.data.load import load, training_batches
from resnet_lab.errors import CheckpointError, DivergedError
from resnet_lab.record import checkpoint
from resnet_lab.record.lines import EvalRecord, Event, TrainRecord
from resnet_lab.record.store import RunFolder
from resnet_lab.run.compute import initial_state
from resnet_lab.run.device import Resources
from resnet_lab.run.estimate import Forecast
from resnet_lab.run.experiment import run
from tests.builders import KINDS, kill_at, records_without_times, same_tensors, stop_at, tiny

# A recipe that uses every kind of state: momentum, plateau checks and drops, warm-up, and windows open at most steps.
STATEFUL = tiny(recipe__warmup={"from_depth": 8, "lr": 0.001, "until_error": 0.999, "window": 8})


class StopAtCall:
    """A `stop` that is true from its n-th call on: called before the start, after each step, and before each batch
    of an evaluation (three in all) or of a plateau check (one, every fourth step)."""

    def __init__(self, number: int) -> None:
        self.calls_left = number

    def __call__(self) -> bool:
        self.calls_left -= 1
        return self.calls_left <= 0


def results(folder: RunFolder):
    """The records and the final state of a run, without the times."""
    state, _ = checkpoint.load_newest(folder)
    assert state is not None
    state["log"]["seconds"] = state["warmup"]["seconds"] = 0.0
    return records_without_times(folder), state


def assert_equal(left, right):
    assert type(left) is type(right)
    if isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            assert_equal(left[key], right[key])
    elif isinstance(left, list | tuple):
        assert len(left) == len(right)
        for a, b in zip(left, right, strict=True):
            assert_equal(a, b)
    elif isinstance(left, torch.Tensor):
        assert torch.equal(left, right)
    else:
        assert left == right


def test_requested_checkpoints_are_kept_until_the_end(tmp_path):
    folder = RunFolder(tmp_path / "run")
    list(run(tiny(log__keep=["10 %", 20]), folder))
    assert checkpoint.steps(folder) == [3, 20, 30]


def test_resume_after_a_stop_at_any_step_gives_identical_results(tmp_path):
    config = STATEFUL.model_copy(update={"evaluation": STATEFUL.evaluation.model_copy(update={"every": 30})})
    whole = RunFolder(tmp_path / "whole")
    list(run(config, whole, measure_speed=False))
    expected = results(whole)
    lrs = [record.lr for record in whole.read().train]
    assert lrs[0] == 0.001
    assert max(lrs) == 0.05
    assert lrs[-1] < 0.01  # the warm-up, the recipe's lr and a plateau's division have all been passed
    for step in range(1, 31):
        parts = RunFolder(tmp_path / f"stopped-{step}")
        *_, last = run(config, parts, stop=StopAtCall(1 + step + step // 4), measure_speed=False)
        assert isinstance(last, Event)
        assert (last.name, last.step) == ("preempted", step)
        list(run(config, parts, measure_speed=False))
        assert_equal(results(parts), expected)
        assert parts.read().state == "finished"


def test_the_forecast_of_a_run_without_a_measured_speed_has_no_time(tmp_path):
    items = run(tiny(), RunFolder(tmp_path / "run"), measure_speed=False)
    [forecast] = [item for item in items if isinstance(item, Forecast)]
    assert (forecast.images_per_second, forecast.seconds) == (0.0, 0.0)
    assert forecast.multiply_adds > 0


@pytest.mark.parametrize("replicas", [1, 4])
def test_resume_after_two_stops_and_a_kill_gives_identical_results(tmp_path, replicas):
    config = STATEFUL.model_copy(update={"compute": STATEFUL.compute.model_copy(update={"replicas": replicas})})
    whole, parts = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "parts")
    list(run(config, whole))
    stop_at(4, config, parts)
    kill_at(13, config, parts)  # the run goes back to step 4 and repeats what it had recorded
    stop_at(21, config, parts)
    list(run(config, parts))
    assert_equal(results(parts), results(whole))


def test_a_killed_run_resumes_from_its_last_timed_checkpoint(tmp_path, monkeypatch):
    whole = RunFolder(tmp_path / "whole")
    list(run(STATEFUL, whole))
    for step in (5, 14, 28):
        folder = RunFolder(tmp_path / f"killed-{step}")
        with monkeypatch.context() as patch:
            readings = itertools.count(0.0, 45.0)  # a clock by which the two minutes are over at every third step
            patch.setattr(time, "monotonic", lambda readings=readings: next(readings))
            kill_at(step, STATEFUL, folder)
        [saved, *_] = sorted(checkpoint.steps(folder), reverse=True)
        assert saved in (step - 2, step - 1, step)
        resumed, *_ = run(STATEFUL, folder)
        assert isinstance(resumed, Event)
        assert (resumed.name, resumed.step) == ("resumed", saved)
        assert_equal(results(folder), results(whole))


@pytest.mark.parametrize(("call", "step"), [(1 + 7 + 1 + 2, 7), (1 + 30 + 7 + 4 * 3 + 2, 30)])
def test_a_run_stopped_during_an_evaluation_repeats_it(tmp_path, call, step):
    """An evaluation has three batches, and its second one is interrupted here."""
    whole, parts = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "parts")
    list(run(STATEFUL, whole))
    list(run(STATEFUL, parts, stop=StopAtCall(call)))
    interrupted = parts.read()
    assert (interrupted.state, interrupted.events[-1].step) == ("interrupted", step)
    assert step not in [record.step for record in interrupted.evaluations]
    list(run(STATEFUL, parts))
    assert_equal(results(parts), results(whole))


def test_evaluating_more_often_does_not_change_the_weights(tmp_path):
    seldom, often = RunFolder(tmp_path / "seldom"), RunFolder(tmp_path / "often")
    list(run(STATEFUL, seldom))
    more = tiny(recipe__warmup=STATEFUL.recipe.warmup.model_dump(), evaluation__every=1, log__every=2)
    list(run(more, often))
    assert_equal(results(seldom)[1]["net"], results(often)[1]["net"])
    assert len(often.read().evaluations) == 30


def test_evaluations_use_a_subset_during_training_and_all_images_at_the_end(tmp_path):
    folder = RunFolder(tmp_path / "run")
    evaluations = [item for item in run(tiny(), folder) if isinstance(item, EvalRecord)]
    assert [(record.step, record.train_images) for record in evaluations] == [(7, 30), (14, 30), (21, 30), (28, 30), (30, 80)]
    assert evaluations == folder.read().evaluations
    assert all(record.validation_error is not None for record in evaluations)


def test_a_matched_pair_has_the_same_initial_weights_and_batches():
    configs = [tiny(model={"kind": kind, "depth": 8, "width": 4}) for kind in KINDS]
    plain, residual = (initial_state(config, torch.device("cpu")).net.state_dict() for config in configs)
    assert same_tensors(plain, residual)
    plain_batches, residual_batches = (
        training_batches(load(config.data, Path(), config.seed), config.recipe.batch_size, config.seed) for config in configs
    )
    for step in (0, 5, 29):
        for ours, theirs in zip(plain_batches(step), residual_batches(step), strict=True):
            assert torch.equal(ours, theirs)


def test_running_a_finished_run_again_changes_nothing(tmp_path):
    folder = RunFolder(tmp_path / "run")
    list(run(tiny(), folder))
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    [event] = run(tiny(), folder)
    assert isinstance(event, Event)
    assert event.name == "finished"
    assert before == {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}


def test_a_run_of_zero_steps_is_evaluated_and_finished(tmp_path):
    folder = RunFolder(tmp_path / "run")
    list(run(tiny(recipe__steps=0), folder))
    read = folder.read()
    assert (read.state, len(read.train), read.evaluations[-1].train_images) == ("finished", 0, 80)


def test_a_diverged_run_is_marked_and_not_started_again(tmp_path):
    folder = RunFolder(tmp_path / "run")
    config = tiny(recipe__lr=1e30, recipe__schedule={"name": "milestones"})
    with pytest.raises(DivergedError):
        list(run(config, folder))
    assert folder.read().state == "diverged"
    with pytest.raises(DivergedError, match="would diverge again"):
        list(run(config, folder))


def test_resume_skips_a_damaged_checkpoint_and_repeats_its_steps(tmp_path):
    whole, folder = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "run")
    list(run(STATEFUL, whole))
    for step in (5, 10):
        stop_at(step, STATEFUL, folder)
    (folder.checkpoints / "step-00000010.pt").write_bytes(b"torn")
    resumed, *_ = run(STATEFUL, folder)
    assert isinstance(resumed, Event)
    assert (resumed.name, resumed.step) == ("resumed", 5)
    assert resumed.detail["skipped"] == ["step-00000010.pt is damaged (its sha256 differs)"]
    assert_equal(results(folder), results(whole))
    for path in folder.checkpoints.glob("*.pt"):
        path.write_bytes(b"torn")
    (folder.path / "events.jsonl").unlink()
    with pytest.raises(CheckpointError):
        list(run(STATEFUL, folder))


def test_resuming_with_another_number_of_threads_is_recorded(tmp_path):
    folder = RunFolder(tmp_path / "run")
    stop_at(4, tiny(), folder, Resources(threads=1))
    resumed, *_ = run(tiny(), folder, Resources(threads=2))
    assert isinstance(resumed, Event)
    assert resumed.detail["changed"] == {"threads": 2}


def test_auto_data_falls_back_to_the_stand_in_without_a_network(tmp_path, monkeypatch):
    monkeypatch.setenv("RESNET_LAB_CIFAR10_URL", "http://127.0.0.1:1/x")
    folder = RunFolder(tmp_path / "run")
    items = list(run(tiny(data__dataset="auto", recipe__steps=1), folder))
    assert any("Using the synthetic stand-in" in item for item in items if isinstance(item, str))
    assert folder.config().data.dataset == "synthetic"
    assert [event.name for event in run(tiny(data__dataset="auto", recipe__steps=1), folder)] == ["finished"]


def test_auto_data_follows_the_first_run_of_the_study(tmp_path, monkeypatch):
    monkeypatch.setenv("RESNET_LAB_CIFAR10_URL", "http://127.0.0.1:1/x")
    RunFolder(tmp_path / "plain-8-s0").create(tiny(model={"kind": "plain", "depth": 8, "width": 4}))
    items = list(run(tiny(data__dataset="auto", recipe__steps=1), RunFolder(tmp_path / "residual-8-s0")))
    assert not [item for item in items if isinstance(item, str)]  # no download is tried: the study is on the stand-in
    assert isinstance(items[-1], Event)
    assert items[-1].name == "finished"


def test_a_stop_during_the_download_creates_no_run(tmp_path):
    assert list(run(tiny(data__dataset="auto"), RunFolder(tmp_path / "run"), stop=lambda: True)) == []
    assert not (tmp_path / "run").exists()


def test_the_environment_file_has_only_the_listed_fields(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "do-not-write-me")
    folder = RunFolder(tmp_path / "run")
    list(run(tiny(recipe__steps=1), folder))
    environment = folder.read().environment
    assert set(environment) == {
        "versions", "system", "device", "device_name", "cuda", "cudnn", "tf32", "threads", "processes", "precision",
        "compiled", "cuda_graphs", "replicas", "bn", "deterministic", "git_commit", "data",
    }  # fmt: skip
    assert environment["versions"]["torch"] == torch.__version__
    everything = b"".join(path.read_bytes() for path in folder.path.rglob("*") if path.is_file())
    assert b"do-not-write-me" not in everything


@pytest.mark.cifar10
def test_a_few_steps_on_the_real_cifar10_lower_the_error(cifar10, tmp_path):
    config = tiny(
        model={"kind": "residual", "depth": 8},
        data={"dataset": "cifar10", "train_images": 5_000, "validation_images": 500, "test_images": 500},
        recipe__steps=40,
        recipe__batch_size=64,
        recipe__schedule={"name": "milestones"},
        log__every=10,
        evaluation__every=40,
        evaluation__final_train_images=500,
    )
    items = run(config, RunFolder(tmp_path / "run"), Resources(data_dir=cifar10))
    records = [item for item in items if isinstance(item, TrainRecord)]
    assert records[-1].error < 0.85 < records[0].error
    assert RunFolder(tmp_path / "run").read().environment["data"]["md5"]["test_batch"] == "40351d587109b95175f43aff81a1287e"
