"""Runs on CUDA: they agree with the CPU, resume exactly, and use what only a GPU has. `pytest -m gpu` selects them."""

import json
import math
import subprocess
import sys

import pytest
import torch

from resnet_lab.data.load import load, training_batches
from resnet_lab.record import checkpoint
from resnet_lab.record.lines import EvalRecord, TrainRecord
from resnet_lab.record.store import RunFolder
from resnet_lab.run.compute import initial_state
from resnet_lab.run.device import Resources
from resnet_lab.run.experiment import run
from resnet_lab.train.loop import train
from tests.builders import KINDS, same_tensors, stop_at, tiny, write_config

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here"),
    pytest.mark.filterwarnings("ignore"),  # torch's compiler warns of itself
]
GPU = Resources(device="cuda", threads=1)
MILESTONES = {"name": "milestones"}


def weights(folder):
    """Parameters and buffers of a run's newest checkpoint."""
    return checkpoint.load_newest(folder)[0]["net"]


def run_in_two_parts(config, folder, stop_step):
    stop_at(stop_step, config, folder, GPU)
    list(run(config, folder, GPU))


def losses(config, device):
    """The training loss of every step."""
    data = load(config.data, None, config.seed).to(device)  # type: ignore[arg-type]  # no folder is read for the stand-in
    state = initial_state(config, device)
    batches = training_batches(data, config.recipe.batch_size, config.seed)
    updates = train(state, batches, config.recipe, log_every=1, validate=lambda: (0.5, 1.0))
    return [record.loss for records in updates for record in records if isinstance(record, TrainRecord)]


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_losses_agree_with_those_on_the_cpu(kind):
    config = tiny(model={"kind": kind, "depth": 14, "width": 8}, recipe__steps=3, recipe__lr=0.01, recipe__schedule=MILESTONES)
    on_cpu, on_gpu = (losses(config, torch.device(name)) for name in ("cpu", "cuda"))
    assert on_gpu == pytest.approx(on_cpu, rel=1e-3)
    assert on_gpu[0] == pytest.approx(on_cpu[0], rel=1e-5)


def test_a_matched_pair_has_the_same_initial_weights_and_batches():
    configs = [tiny(model__kind=kind) for kind in KINDS]
    plain, residual = (initial_state(config, torch.device("cuda")).net.state_dict() for config in configs)
    assert all(value.is_cuda for value in plain.values())
    assert same_tensors(plain, residual)
    datas = [load(config.data, None, 0).to(torch.device("cuda")) for config in configs]  # type: ignore[arg-type]
    batches = [training_batches(data, 16, 0) for data in datas]
    for step in (0, 7):
        (images, labels), (other_images, other_labels) = (batch_at(step) for batch_at in batches)
        assert images.is_cuda
        assert torch.equal(images, other_images)
        assert torch.equal(labels, other_labels)


def test_a_deterministic_run_resumes_exactly(tmp_path):
    config = tiny(compute={"compile": False, "deterministic": True})
    whole, parts = RunFolder(tmp_path / "whole" / config.name), RunFolder(tmp_path / "parts" / config.name)
    list(run(config, whole, GPU))
    run_in_two_parts(config, parts, stop_step=10)
    assert same_tensors(weights(whole), weights(parts))
    assert json.loads((whole.path / "environment.json").read_text())["deterministic"] is True


def test_cuda_graphs_train_as_eager_blocks_do_and_resume(tmp_path):
    changes = {"recipe__lr": 0.001, "recipe__schedule": MILESTONES, "log__every": 1}
    graphs = tiny(compute={"compile": True, "cuda_graphs": True}, **changes)
    eager = tiny(compute={"compile": False}, **changes)
    folders = [RunFolder(tmp_path / name / graphs.name) for name in ("graphs", "eager")]
    run_in_two_parts(graphs, folders[0], stop_step=2)
    list(run(eager, folders[1], GPU))
    with_graphs, expected = ([record.loss for record in folder.read().train] for folder in folders)
    assert with_graphs == pytest.approx(expected, rel=1e-2)
    assert json.loads((folders[0].path / "environment.json").read_text())["cuda_graphs"] is True


def test_a_bf16_run_trains_and_keeps_fp32_weights(tmp_path):
    config = tiny(compute={"compile": False, "precision": "bf16"}, recipe__lr=0.01, recipe__schedule=MILESTONES)
    folder = RunFolder(tmp_path / config.name)
    evaluations = [item for item in run(config, folder, GPU) if isinstance(item, EvalRecord)]
    assert math.isfinite(evaluations[-1].train_loss)
    assert all(value.dtype != torch.bfloat16 for value in weights(folder).values())


def test_a_sweep_trains_two_runs_at_once_on_one_gpu(tmp_path):
    config = write_config(tmp_path / "two.toml")
    command = [sys.executable, "-m", "resnet_lab", "sweep", str(config), "--device", "cuda:0", "--jobs", "2", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert [summary["state"] for summary in json.loads(done.stdout)["runs"]] == ["finished", "finished"]
    for kind in KINDS:
        environment = (tmp_path / "runs" / "two" / f"{kind}-8-s0" / "environment.json").read_text()
        assert json.loads(environment)["device"].startswith("cuda")


def test_a_diverging_run_keeps_the_weights_of_its_last_finite_loss():
    config = tiny(recipe__lr=1e30, recipe__schedule=MILESTONES)
    state = initial_state(config, torch.device("cuda"))
    data = load(config.data, None, 0).to(torch.device("cuda"))  # type: ignore[arg-type]
    with pytest.raises(Exception, match="NaN or infinite"):
        list(train(state, training_batches(data, 16, 0), config.recipe, log_every=5, validate=lambda: (0.5, 1.0)))
    assert all(parameter.isfinite().all() for parameter in state.net.parameters())
