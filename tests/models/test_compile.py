"""Compiled blocks: equal training up to rounding, exact resume, one graph per shape, and eager blocks without a compiler."""

import json
import os
import subprocess
import sys

import pytest
import torch

from resnet_lab.config.schema import with_compile
from resnet_lab.models.fold import folded
from resnet_lab.record import checkpoint
from resnet_lab.record.store import RunFolder
from resnet_lab.run.compute import initial_state
from resnet_lab.run.experiment import run
from tests.builders import same_tensors, stop_at, tiny, train_in_memory, write_config

CPU = torch.device("cpu")
pytestmark = pytest.mark.filterwarnings("ignore")  # torch's compiler warns of itself


@pytest.fixture(autouse=True, scope="module")
def _cache(tmp_path_factory):
    """An empty cache of compiled code for this module, so that its tests compile and later ones do not find it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.mktemp("compiled")))
        torch.compiler.reset()
        yield


def two_block_config(kind="residual", depth=14, **changes):
    """Two blocks per stage, and 84 images in batches of 16, so that the last batch of an epoch is smaller."""
    return tiny(model={"kind": kind, "depth": depth, "width": 4}, data__validation_images=16, **changes)


def num_graphs() -> int:
    """How many graphs torch has compiled in this process."""
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


@pytest.mark.parametrize("kind", ["plain", pytest.param("residual", marks=pytest.mark.slow)])
def test_compiled_training_matches_eager_with_five_graphs_at_any_depth(kind):
    changes = {"log__every": 1, "recipe__steps": 20, "recipe__lr": 0.001, "recipe__schedule": {"name": "milestones"}}
    eager = train_in_memory(two_block_config(kind, **changes, compute__compile=False))[1]
    before = num_graphs()
    compiled = train_in_memory(two_block_config(kind, **changes, compute__compile=True))[1]
    assert num_graphs() - before == 5
    losses, expected = ([record.loss for record in records] for records in (compiled, eager))
    assert len(losses) == 20
    assert losses == pytest.approx(expected, rel=1e-3)
    assert losses[:3] == pytest.approx(expected[:3], rel=1e-5)
    assert losses != expected  # compiled arithmetic differs in the last bits, so something was compiled
    deeper = two_block_config(kind, depth=20, **(changes | {"recipe__steps": 1}), compute__compile=True)
    train_in_memory(deeper)
    assert num_graphs() - before == 5


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [{"order": "preactivation"}, {"order": "relu-before-addition", "branch_scale": "learnable"}, {"norm": "none"}],
    ids=str,
)
def test_compiled_blocks_of_other_networks_share_graphs_and_match_eager(settings):
    changes = {"log__every": 1, "recipe__steps": 5, "recipe__lr": 0.001, "recipe__schedule": {"name": "milestones"}}
    config = two_block_config(**changes, compute__compile=True)
    config = config.model_copy(update={"model": config.model.model_copy(update=settings | {"depth": 20})})
    before = num_graphs()
    losses, expected = (
        [record.loss for record in train_in_memory(with_compile(config, compile))[1]] for compile in (True, False)
    )
    assert num_graphs() - before <= 6  # with pre-activation, the first block has a shape of its own
    assert losses == pytest.approx(expected, rel=1e-4)


def test_a_compiled_run_resumes_exactly(tmp_path):
    config = two_block_config(compute__compile=True)
    whole, parts = RunFolder(tmp_path / "whole" / config.name), RunFolder(tmp_path / "parts" / config.name)
    list(run(config, whole))
    stop_at(10, config, parts)
    list(run(config, parts))
    assert same_tensors(*(checkpoint.load_newest(folder)[0]["net"] for folder in (whole, parts)))
    environment = json.loads((whole.path / "environment.json").read_text())
    assert environment["compiled"] is True
    assert environment["precision"] == "fp32"


def test_compiling_changes_no_parameter_and_a_folded_copy_is_uncompiled():
    eager, compiled = (initial_state(two_block_config(compute__compile=setting), CPU) for setting in (False, True))
    assert list(compiled.net.state_dict()) == list(eager.net.state_dict())
    assert same_tensors(compiled.net.state_dict(), eager.net.state_dict())
    assert compiled.compiled_batch == 16
    before = num_graphs()
    folded(compiled.net)(torch.randn(3, 3, 32, 32))
    assert num_graphs() == before


def test_without_a_compiler_a_run_is_eager_and_says_so_only_once(tmp_path):
    config = write_config(tmp_path / "tiny.toml", recipe__steps=2)
    environment = os.environ | {"CXX": "no-such-compiler", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    network = ["--depth", "8", "--residual"]
    command = [sys.executable, "-m", "resnet_lab", "train", "--config", str(config), *network, "--compile", "--threads", "1"]
    done = subprocess.run(command, check=False, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Blocks are not compiled: ") == 1
    folder = tmp_path / "runs" / "tiny" / "residual-8-s0"
    assert json.loads((folder / "environment.json").read_text())["compiled"] is False
    assert json.loads((folder / "config.json").read_text())["compute"]["compile"] is True
