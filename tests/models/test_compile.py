"""Compiled blocks: the same training up to rounding, exact resume, one compilation a shape, and eager where nothing compiles."""

import json
import os
import subprocess
import sys

import pytest
import torch

from resnet_lab.config.schema import ComputeConfig, with_compile
from resnet_lab.errors import ConfigError
from resnet_lab.models.fold import folded
from resnet_lab.record import checkpoint
from resnet_lab.record.lines import TrainRecord
from resnet_lab.record.store import RunFolder
from resnet_lab.run import auto
from resnet_lab.run.auto import as_in_study, decide_compile
from resnet_lab.run.compute import initial_state, set_up
from resnet_lab.run.estimate import Speed
from resnet_lab.run.experiment import run
from tests.builders import settings, tiny, train_in_memory

CPU = torch.device("cpu")
pytestmark = pytest.mark.filterwarnings("ignore")  # torch's compiler warns of itself


@pytest.fixture(autouse=True, scope="module")
def _cache(tmp_path_factory):
    """Compiled code goes into a folder of this module's, so that it is compiled here and nowhere else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.mktemp("compiled")))
        torch._dynamo.reset()
        yield


def wide(kind="residual", depth=14, **changes):
    """Two blocks a stage, and 84 images in batches of 16: the last of an epoch is short."""
    return tiny(model={"kind": kind, "depth": depth, "width": 4}, data__validation_images=16, **changes)


def num_graphs() -> int:
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


@pytest.mark.parametrize("kind", ["plain", pytest.param("residual", marks=pytest.mark.slow)])
def test_a_compiled_run_agrees_with_an_eager_one_and_compiles_five_blocks_whatever_the_depth(kind):
    changes = {"log__every": 1, "recipe__steps": 20, "recipe__lr": 0.001, "recipe__schedule": {"name": "milestones"}}
    eager = train_in_memory(wide(kind, **changes, compute__compile=False))[1]
    before = num_graphs()
    compiled = train_in_memory(wide(kind, **changes, compute__compile=True))[1]
    assert num_graphs() - before == 5
    losses, expected = ([record.loss for record in records] for records in (compiled, eager))
    assert len(losses) == 20
    assert losses == pytest.approx(expected, rel=1e-3)
    assert losses[:3] == pytest.approx(expected[:3], rel=1e-5)
    assert losses != expected  # it is another arithmetic, so something was compiled
    deeper = wide(kind, depth=20, **(changes | {"recipe__steps": 1}), compute__compile=True)
    train_in_memory(deeper)
    assert num_graphs() - before == 5


def test_a_compiled_run_resumes_exactly(tmp_path):
    config = wide(compute__compile=True)
    straight, parted = RunFolder(tmp_path / "a" / config.name), RunFolder(tmp_path / "b" / config.name)
    list(run(config, straight))
    seen = {"records": 0}
    for said in run(config, parted, stop=lambda: seen["records"] >= 2):
        seen["records"] += isinstance(said, TrainRecord)
    assert parted.read().state == "interrupted"
    list(run(config, parted))
    left, right = (checkpoint.load_newest(folder)[0]["net"] for folder in (straight, parted))
    assert all(torch.equal(left[name], right[name]) for name in left)
    environment = json.loads((straight.path / "environment.json").read_text())
    assert environment["compiled"] is True
    assert environment["precision"] == "fp32"


def test_compiling_changes_no_name_and_no_value_and_a_folded_copy_is_uncompiled():
    eager, compiled = (initial_state(wide(compute__compile=setting), CPU) for setting in (False, True))
    ours, theirs = compiled.net.state_dict(), eager.net.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert compiled.compiled_batch == 16
    before = num_graphs()
    folded(compiled.net)(torch.randn(3, 3, 32, 32))
    assert num_graphs() == before


def test_without_a_compiler_a_run_is_eager_and_says_so_once(tmp_path):
    config = tmp_path / "tiny.toml"
    values = settings(recipe__steps=2)
    config.write_text(
        "\n".join(
            f"[{section}]\n" + "\n".join(f"{key} = {_toml(value)}" for key, value in keys.items())
            for section, keys in values.items()
        )
    )
    environment = os.environ | {"CXX": "no-such-compiler", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "resnet_lab", "train", "--config", str(config), "--compile", "--threads", "1"]
    done = subprocess.run(command, check=False, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Blocks are not compiled: ") == 1
    folder = tmp_path / "runs" / "tiny" / "residual-8-s0"
    assert json.loads((folder / "environment.json").read_text())["compiled"] is False
    assert json.loads((folder / "config.json").read_text())["compute"]["compile"] is True


def _toml(value):
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + " }"
    return json.dumps(value)


def speed_of(step_seconds: float) -> Speed:
    return Speed({"data": 0.0, "forward": step_seconds, "backward": 0.0, "optimizer": 0.0}, 0.001)


@pytest.mark.parametrize(
    ("compiled_seconds", "steps", "pays"),
    [(0.5, 30, False), (0.5, 30_000, True), (0.99, 30_000, False), (2.0, 30_000, False)],
    ids=["too short to try", "pays", "gains too little", "slower"],
)
def test_auto_compiles_where_a_trial_shows_that_it_pays(monkeypatch, compiled_seconds, steps, pays):
    tried = []

    def measure(config, device):
        tried.append(config.compute.compile)
        return speed_of(compiled_seconds if config.compute.compile is True else 1.0)

    monkeypatch.setattr(auto, "measure", measure)
    monkeypatch.setattr(auto, "compile_problem", lambda device: None)
    decided = decide_compile(tiny(compute__compile="auto"), CPU, steps)
    assert decided.config.compute.compile is pays
    assert decided.speed.step_seconds == (compiled_seconds if pays else 1.0)
    assert tried == [False, True] if steps > 1_000 else tried == [False]
    assert (decided.notices == ()) == (steps < 1_000)


def test_the_trial_is_for_studies_that_take_long_enough_to_win_it_back():
    assert not auto.trial_pays(20 * 60)  # 5 % of 20 minutes are less than a minute
    assert auto.trial_pays(22 * 60)


@pytest.mark.parametrize(("bf16_seconds", "words"), [(12.0, "bf16 takes 12.0 times as long as fp32"), (0.5, None)])
def test_a_precision_that_does_not_pay_is_told_with_its_ratio(monkeypatch, bf16_seconds, words):
    def measure(config, device):
        return speed_of(bf16_seconds if config.compute.precision == "bf16" else 1.0)

    monkeypatch.setattr(auto, "measure", measure)
    decided = decide_compile(tiny(compute={"compile": False, "precision": "bf16"}), CPU)
    assert [notice.partition(" on this CPU")[0] for notice in decided.notices] == ([words] if words else [])
    assert decide_compile(tiny(), CPU).notices == ()


def test_a_speed_that_nobody_asks_for_is_measured_only_where_blocks_are_compiled_or_a_trial_decides(monkeypatch):
    measured = []
    monkeypatch.setattr(auto, "measure", lambda config, device: measured.append(config.compute.compile) or speed_of(1.0))
    monkeypatch.setattr(auto, "compile_problem", lambda device: None)
    for setting in (False, True, "auto"):
        decide_compile(tiny(compute__compile=setting), CPU, measure_speed=False)
    assert measured == [True, False]


def test_auto_is_eager_where_nothing_compiles(monkeypatch):
    monkeypatch.setattr(auto, "measure", lambda config, device: speed_of(1.0))
    monkeypatch.setattr(auto, "compile_problem", lambda device: "no compiler")
    decided = decide_compile(tiny(compute__compile="auto"), CPU, 30_000)
    assert decided.config.compute.compile is False
    assert decided.notices == ("Blocks are not compiled: no compiler.",)


def test_a_study_is_compiled_as_its_first_run_is(tmp_path):
    first = tiny(compute__compile=True)
    RunFolder(tmp_path / first.name).create(first)
    second = tiny(seed=1, compute__compile="auto")
    assert as_in_study(second, tmp_path) == with_compile(second, True)


def test_runs_from_before_the_setting_were_not_compiled(tmp_path):
    old = tiny(compute__compile=False)
    folder = RunFolder(tmp_path / old.name)
    folder.create(old)
    values = json.loads((folder.path / "config.json").read_text())
    del values["compute"]
    (folder.path / "config.json").write_text(json.dumps(values))
    assert folder.config() == old
    list(run(tiny(compute__compile="auto"), folder, stop=lambda: True))  # the same command resumes with it


def test_cuda_graphs_need_compiled_blocks_and_a_gpu():
    with pytest.raises(ValueError, match=r"compute\.compile = true"):
        tiny(compute__cuda_graphs=True)
    graphs = tiny(compute__cuda_graphs=True, compute__compile=True)
    with pytest.raises(ConfigError, match="CUDA device"):
        set_up(graphs.compute, CPU, None)


def test_deterministic_arithmetic_is_asked_of_torch():
    try:
        set_up(ComputeConfig(deterministic=True), CPU, None)
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.backends.cudnn.benchmark
    finally:
        set_up(ComputeConfig(), CPU, None)
    assert not torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.allow_tf32
