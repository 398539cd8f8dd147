"""A run from config to last record: exact resume from every step, evaluations that change nothing, matched pairs."""

import dataclasses
import json

import pytest
import torch

from resnet_lab.data import load as data_load
from resnet_lab.data.batches import Batches
from resnet_lab.errors import CheckpointError, DivergedError
from resnet_lab.record import checkpoint
from resnet_lab.record.lines import EvalRecord, Event, TrainRecord
from resnet_lab.record.store import RunFolder
from resnet_lab.run import experiment
from resnet_lab.run.compute import initial_state
from resnet_lab.run.device import Resources
from resnet_lab.run.estimate import Forecast
from resnet_lab.run.experiment import run
from tests.builders import tiny

# A recipe in which everything that has a state has one: momentum, plateau checks and drops, low-lr start, open windows.
STATEFUL = tiny(recipe__warmup={"from_depth": 8, "lr": 0.001, "until_error": 0.999, "window": 8})


@pytest.fixture
def seen(monkeypatch):
    """The number of the step that is being made."""
    steps = {"step": 0}

    class Counting(Batches):
        def __call__(self, step):
            steps["step"] = step + 1
            return super().__call__(step)

    monkeypatch.setattr(data_load, "Batches", Counting)
    return steps


def lasting(folder: RunFolder):
    """What a run leaves, without the times."""
    records = [dataclasses.replace(record, seconds=0.0) for record in folder.records()]
    state, _ = checkpoint.load_newest(folder)
    assert state is not None
    state["log"]["seconds"] = state["warmup"]["seconds"] = 0.0
    return records, state


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


def test_checkpoints_of_the_steps_asked_for_are_there_in_the_end(tmp_path):
    folder = RunFolder(tmp_path / "run")
    list(run(tiny(log__keep=["10 %", 20]), folder))
    assert checkpoint.steps(folder) == [3, 20, 30]


def test_resume_is_exact_from_every_step(tmp_path, seen):
    whole = RunFolder(tmp_path / "whole")
    list(run(STATEFUL, whole))
    expected = lasting(whole)
    lrs = [record.lr for record in whole.read().train]
    assert lrs[0] == 0.001
    assert max(lrs) == 0.05
    assert lrs[-1] < 0.01  # the low start, the recipe's lr and a plateau's division have all been passed
    for step in range(1, 30):
        parts = RunFolder(tmp_path / f"stopped-{step}")
        seen["step"] = 0
        first = list(run(STATEFUL, parts, stop=lambda step=step: seen["step"] >= step, measure_speed=False))
        assert isinstance(first[-1], Event)
        assert (first[-1].name, first[-1].step) == ("preempted", step)
        list(run(STATEFUL, parts, measure_speed=False))
        assert_equal(lasting(parts), expected)
        assert parts.read().state == "finished"


def test_a_run_whose_speed_is_not_measured_promises_no_time(tmp_path):
    [expected] = [said for said in run(tiny(), RunFolder(tmp_path / "run"), measure_speed=False) if isinstance(said, Forecast)]
    assert (expected.images_per_second, expected.seconds) == (0.0, 0.0)
    assert expected.multiply_adds > 0


def test_resume_is_exact_in_three_parts_and_after_a_kill(tmp_path, seen, monkeypatch):
    whole, parts = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "parts")
    list(run(STATEFUL, whole))
    seen["step"] = 0
    list(run(STATEFUL, parts, stop=lambda: seen["step"] >= 4))
    killed = run(STATEFUL, parts)
    while seen["step"] < 13:
        next(killed)
    killed.close()  # no checkpoint is written: the run goes back to step 4 and repeats what it had recorded
    assert parts.read().state == "interrupted"
    seen["step"] = 0
    list(run(STATEFUL, parts, stop=lambda: seen["step"] >= 22))
    list(run(STATEFUL, parts))
    assert_equal(lasting(parts), lasting(whole))


def test_a_kill_after_a_timed_checkpoint_repeats_the_steps_since(tmp_path, seen):
    whole = RunFolder(tmp_path / "whole")
    list(run(STATEFUL, whole))
    for step in (3, 8, 17, 29):
        folder = RunFolder(tmp_path / f"killed-{step}")
        seen["step"] = 0
        going = run(STATEFUL, folder, checkpoint_seconds=0.0)
        while seen["step"] < step:
            next(going)
        going.close()
        said = list(run(STATEFUL, folder))
        assert isinstance(said[0], Event)
        assert said[0].name == "resumed"
        assert step - 2 <= said[0].step <= step
        assert_equal(lasting(folder), lasting(whole))


def test_a_run_stopped_while_it_evaluates_makes_the_evaluation_up(tmp_path, seen, monkeypatch):
    whole, parts = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "parts")
    list(run(STATEFUL, whole))
    original, stopping = experiment.clean_batches, {"now": False}

    def clean_batches(*arguments, **views):
        stopping["now"] = seen["step"] == 30
        return original(*arguments, **views)

    monkeypatch.setattr(experiment, "clean_batches", clean_batches)
    seen["step"] = 0
    list(run(STATEFUL, parts, stop=lambda: stopping["now"]))
    assert parts.read().state == "interrupted"
    assert parts.read().evaluations[-1].step < 30
    monkeypatch.setattr(experiment, "clean_batches", original)
    list(run(STATEFUL, parts))
    assert_equal(lasting(parts), lasting(whole))


@pytest.mark.parametrize("step", [8, 20, 28])  # with no other record, with a training record, with an evaluation
def test_a_run_stopped_in_a_plateau_check_repeats_the_check_alone(step, tmp_path, seen, monkeypatch):
    whole, parts = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "parts")
    list(run(STATEFUL, whole))
    original, stopping = experiment.clean_batches, {"now": False}

    def clean_batches(*arguments, **views):
        stopping["now"] = seen["step"] == step
        return original(*arguments, **views)

    monkeypatch.setattr(experiment, "clean_batches", clean_batches)
    seen["step"] = 0
    said = list(run(STATEFUL, parts, stop=lambda: stopping["now"]))
    assert isinstance(said[-1], Event)
    assert (said[-1].name, said[-1].step) == ("preempted", step)
    assert max(record.step for record in parts.records()) < step
    state, _ = checkpoint.load_newest(parts)
    assert state is not None
    assert (state["step"], state["reported_step"]) == (step, step - 1)
    monkeypatch.setattr(experiment, "clean_batches", original)
    seen["step"] = 0
    list(run(STATEFUL, parts))
    assert_equal(lasting(parts), lasting(whole))
    lines = [[(line["type"], line["step"]) for line in map(json.loads, (each.path / "metrics.jsonl").read_text().splitlines())]
             for each in (parts, whole)]  # fmt: skip
    assert lines[0] == lines[1]


def test_evaluating_more_often_changes_no_weight(tmp_path):
    seldom, often = RunFolder(tmp_path / "seldom"), RunFolder(tmp_path / "often")
    list(run(STATEFUL, seldom))
    more = tiny(recipe__warmup=STATEFUL.recipe.warmup.model_dump(), evaluation__every=1, log__every=2)
    list(run(more, often))
    assert_equal(lasting(seldom)[1]["net"], lasting(often)[1]["net"])
    assert len(often.read().evaluations) == 30


def test_evaluations_use_a_fixed_subset_during_training_and_all_images_at_the_end(tmp_path):
    folder = RunFolder(tmp_path / "run")
    said = list(run(tiny(), folder))
    evaluations = [record for record in said if isinstance(record, EvalRecord)]
    assert [(record.step, record.train_images) for record in evaluations] == [(7, 30), (14, 30), (21, 30), (28, 30), (30, 80)]
    assert evaluations == folder.read().evaluations
    assert all(record.validation_error is not None for record in evaluations)


def test_a_pair_sees_the_same_images_from_the_same_start(tmp_path):
    sessions = []
    for kind in ("plain", "residual"):
        config = tiny(model={"kind": kind, "depth": 8, "width": 4})
        data = experiment.load(config.data, tmp_path, config.seed)
        sessions.append(
            experiment._Session(
                config, RunFolder(tmp_path / kind), data, initial_state(config, torch.device("cpu")), lambda: False, 120.0
            )
        )
    first, second = sessions
    assert_equal(dict(first._state.net.state_dict()), dict(second._state.net.state_dict()))
    for step in (0, 5, 29):
        for ours, theirs in zip(first._batches(step), second._batches(step), strict=True):
            assert torch.equal(ours, theirs)


def test_a_finished_run_says_so_and_does_nothing(tmp_path):
    folder = RunFolder(tmp_path / "run")
    list(run(tiny(), folder))
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    said = list(run(tiny(), folder))
    assert len(said) == 1
    assert isinstance(said[0], Event)
    assert said[0].name == "finished"
    assert before == {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}


def test_a_run_of_no_steps_is_evaluated_and_finished(tmp_path):
    folder = RunFolder(tmp_path / "run")
    list(run(tiny(recipe__steps=0), folder))
    read = folder.read()
    assert (read.state, len(read.train), read.evaluations[-1].train_images) == ("finished", 0, 80)


def test_a_diverging_run_is_marked_and_stays_so(tmp_path):
    folder = RunFolder(tmp_path / "run")
    config = tiny(recipe__lr=1e30, recipe__schedule={"name": "milestones"})
    with pytest.raises(DivergedError):
        list(run(config, folder))
    assert folder.read().state == "diverged"
    with pytest.raises(DivergedError, match="would diverge again"):
        list(run(config, folder))


def test_a_damaged_checkpoint_costs_the_steps_since_the_one_before(tmp_path, seen):
    whole, folder = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "run")
    list(run(STATEFUL, whole))
    for step in (5, 9):
        seen["step"] = 0
        list(run(STATEFUL, folder, stop=lambda step=step: seen["step"] >= step))
    (folder.checkpoints / "step-00000009.pt").write_bytes(b"torn")
    said = list(run(STATEFUL, folder))
    assert isinstance(said[0], Event)
    assert (said[0].name, said[0].step) == ("resumed", 5)
    assert said[0].detail["skipped"] == ["step-00000009.pt is damaged (its sha256 differs)"]
    assert_equal(lasting(folder), lasting(whole))
    for path in folder.checkpoints.glob("*.pt"):
        path.write_bytes(b"torn")
    (folder.path / "events.jsonl").unlink()
    with pytest.raises(CheckpointError):
        list(run(STATEFUL, folder))


def test_going_on_with_other_threads_is_said(tmp_path, seen):
    folder = RunFolder(tmp_path / "run")
    list(run(tiny(), folder, Resources(threads=1), stop=lambda: seen["step"] >= 4))
    said = list(run(tiny(), folder, Resources(threads=2)))
    assert isinstance(said[0], Event)
    assert said[0].detail["changed"] == {"threads": 2}


def test_auto_from_python_takes_what_is_there(tmp_path, monkeypatch):
    monkeypatch.setenv("RESNET_LAB_CIFAR10_URL", "http://127.0.0.1:1/x")
    folder = RunFolder(tmp_path / "run")
    said = list(run(tiny(data__dataset="auto", recipe__steps=1), folder))
    assert any("Using the synthetic stand-in" in each for each in said if isinstance(each, str))
    assert folder.config().data.dataset == "synthetic"
    assert [event.name for event in run(tiny(data__dataset="auto", recipe__steps=1), folder)] == ["finished"]


def test_the_runs_of_a_study_learn_the_same_data(tmp_path, monkeypatch):
    monkeypatch.setenv("RESNET_LAB_CIFAR10_URL", "http://127.0.0.1:1/x")
    RunFolder(tmp_path / "plain-8-s0").create(tiny(model={"kind": "plain", "depth": 8, "width": 4}))
    said = list(run(tiny(data__dataset="auto", recipe__steps=1), RunFolder(tmp_path / "residual-8-s0")))
    assert not [each for each in said if isinstance(each, str)]  # nothing is looked for: the study is on the stand-in
    assert isinstance(said[-1], Event)
    assert said[-1].name == "finished"


def test_a_stop_while_downloading_ends_there(tmp_path):
    said = list(run(tiny(data__dataset="auto"), RunFolder(tmp_path / "run"), stop=lambda: True))
    assert said == []
    assert not (tmp_path / "run").exists()


def test_the_environment_is_an_allow_list(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "do-not-write-me")
    folder = RunFolder(tmp_path / "run")
    list(run(tiny(recipe__steps=1), folder))
    environment = folder.read().environment
    assert set(environment) == {
        "versions", "system", "device", "device_name", "cuda", "cudnn", "tf32", "threads", "precision",
        "compiled", "cuda_graphs", "deterministic", "git_commit", "data",
    }  # fmt: skip
    assert environment["versions"]["torch"] == torch.__version__
    everything = b"".join(path.read_bytes() for path in folder.path.rglob("*") if path.is_file())
    assert b"do-not-write-me" not in everything


@pytest.mark.cifar10
def test_a_few_steps_on_the_real_images_learn_something(cifar10, tmp_path):
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
    said = list(run(config, RunFolder(tmp_path / "run"), Resources(data_dir=cifar10)))
    records = [record for record in said if isinstance(record, TrainRecord)]
    assert records[-1].error < 0.85 < records[0].error
    assert RunFolder(tmp_path / "run").read().environment["data"]["md5"]["test_batch"] == "40351d587109b95175f43aff81a1287e"
