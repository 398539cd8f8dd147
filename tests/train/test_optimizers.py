"""AdamW and Muon: their updates, divergence, and exact resume."""

import math

import pytest
import torch

from resnet_lab.config.files import load_study
from resnet_lab.config.paper import departures
from resnet_lab.errors import DivergedError
from resnet_lab.models.resnet import build
from resnet_lab.record.store import RunFolder
from resnet_lab.run.compute import initial_state
from resnet_lab.run.experiment import run
from resnet_lab.train.loop import train, update
from resnet_lab.train.state import new_state
from tests.builders import CPU, copied_state, random_batch, records_without_times, same_tensors, stop_at, tiny

OPTIMIZERS = ("sgd", "adamw", "muon")


def config(optimizer, **changes):
    recipe = {"optimizer": optimizer, "lr": 0.003, "momentum": 0.9, "weight_decay": 0.05}
    return tiny(**{f"recipe__{key}": value for key, value in recipe.items()}, **changes)


def orthogonalised(matrix):
    """Five steps of Newton and Schulz with Jordan's coefficients, in bf16."""
    x = matrix.bfloat16() / matrix.bfloat16().norm()
    x = x.T if len(x) > len(x.T) else x
    for _ in range(5):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
    return (x.T if matrix.shape[0] > matrix.shape[1] else x).to(matrix.dtype)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_the_update_is_that_of_the_literature(optimizer):
    settings = config(optimizer)
    state = new_state(build(settings.model, 0), settings.recipe, 8)
    net = build(settings.model, 0)
    parameters = list(net.parameters())
    first, second = ([torch.zeros_like(parameter) for parameter in parameters] for _ in range(2))
    for step in range(1, 4):
        images, labels = random_batch(seed=step)
        before = copied_state(net)
        update(state, (images, labels), 0.003, "fp32")
        gradients = torch.autograd.grad(torch.nn.functional.cross_entropy(net(images), labels), parameters)
        with torch.no_grad():
            for parameter, gradient, m, v in zip(parameters, gradients, first, second, strict=True):
                m.mul_(0.9).add_(0.1 * gradient)
                parameter.mul_(1 - 0.003 * 0.05)
                if optimizer == "muon" and parameter.dim() == 4:
                    matrix = (0.1 * gradient + 0.9 * m).permute(0, 2, 3, 1).flatten(1)  # Nesterov
                    orthogonal = orthogonalised(matrix).unflatten(1, parameter.shape[2:] + parameter.shape[1:2])
                    change = 0.2 * max(matrix.shape) ** 0.5 * orthogonal.permute(0, 3, 1, 2)
                else:
                    v.mul_(0.999).add_(0.001 * gradient**2)
                    change = (m / (1 - 0.9**step)) / ((v / (1 - 0.999**step)).sqrt() + 1e-8)
                parameter.sub_(0.003 * change)
        for (name, ours), expected in zip(state.net.named_parameters(), parameters, strict=True):
            change = (expected - before[name]).norm()
            tolerance = 0.02 if optimizer == "muon" else 0.001  # Muon computes in bf16
            assert (ours - expected).norm() < tolerance * change, name
        net.load_state_dict(state.net.state_dict())  # so that rounding does not add up


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_loss_that_is_not_finite_never_reaches_the_weights(optimizer):
    settings = config(optimizer)
    state = new_state(build(settings.model, 0), settings.recipe, 8)
    bad = torch.full((16, 3, 32, 32), math.nan), torch.zeros(16, dtype=torch.int64)
    weights = []

    def batch_at(step):
        weights.append([parameter.detach().clone() for parameter in state.net.parameters()])
        return bad if step == 2 else random_batch(seed=step)

    with pytest.raises(DivergedError):
        list(train(state, batch_at, settings.recipe, log_every=100, validate=lambda: (0.5, 1.0)))
    update(state, random_batch(), 0.003, "fp32")  # on devices whose flag is not read at once, further steps follow
    assert all(torch.equal(a, b) for a, b in zip(weights[2], state.net.parameters(), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(weights[1], weights[2], strict=True))


@pytest.mark.parametrize("model", [{"norm": "none"}, {"branch_scale": "learnable", "order": "preactivation"}])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_run_resumes_exactly(optimizer, model, tmp_path):
    settings = config(optimizer, model={"kind": "residual", "depth": 8, "width": 4} | model)
    whole, parts = (RunFolder(tmp_path / name / settings.name) for name in ("whole", "parts"))
    list(run(settings, whole, CPU, measure_speed=False))
    stop_at(10, settings, parts, CPU)
    list(run(settings, parts, CPU, measure_speed=False))
    assert records_without_times(parts) == records_without_times(whole)
    ends = [torch.load(folder.checkpoints / "step-00000030.pt") for folder in (whole, parts)]
    assert same_tensors(*(end["net"] for end in ends))
    moments = [end["optimizer"]["state"] for end in ends]
    assert moments[0].keys() == moments[1].keys() == set(range(len(list(build(settings.model, 0).parameters()))))
    for index, values in moments[0].items():
        assert same_tensors(values, moments[1][index])


def test_the_momentum_of_muon_is_restored_in_the_memory_format_of_its_kernels():
    """A narrow network with bottlenecks is contiguous on a CPU and channels-last elsewhere."""
    settings = config("muon", model={"kind": "residual", "depth": 11, "width": 4, "block": "bottleneck", "stride_on": "1x1"})
    states = [initial_state(settings, torch.device("cpu")) for _ in range(2)]
    states[0].net.memory_format = torch.channels_last
    states[0].net.to(memory_format=torch.channels_last)
    states[0] = new_state(states[0].net, settings.recipe, 11)
    update(states[0], random_batch(), 0.003, "fp32")
    states[1].load_state_dict(states[0].state_dict())
    for index, values in states[0].optimizer.state_dict()["state"].items():
        assert same_tensors(values, states[1].optimizer.state_dict()["state"][index])
    before = copied_state(states[1].net)
    update(states[1], random_batch(), 0.003, "fp32")
    changed = [name for name, value in states[1].net.named_parameters() if not torch.equal(value, before[name])]
    assert len(changed) == len(list(states[1].net.parameters()))


@pytest.mark.parametrize("other", OPTIMIZERS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_state_of_another_optimiser_is_refused(optimizer, other):
    states = [initial_state(config(name), torch.device("cpu")) for name in (optimizer, other)]
    update(states[0], random_batch(), 0.003, "fp32")
    if optimizer == other:
        states[1].load_state_dict(states[0].state_dict())
    else:
        with pytest.raises(ValueError, match="optimizer"):
            states[1].load_state_dict(states[0].state_dict())


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_replicas_of_a_batch_train_networks_without_batch_normalisation_as_the_whole_batch(optimizer):
    """The mean gradient of the parts is that of the batch, as their numbers do not depend on each other."""
    model = {"kind": "residual", "depth": 8, "width": 4, "norm": "none", "branch_scale": "learnable"}
    states = [
        initial_state(config(optimizer, model=model, compute={"compile": False, "replicas": number}), torch.device("cpu"))
        for number in (1, 2)
    ]
    for state in states:
        update(state, random_batch(), 0.003, "fp32")
    for whole, parts in zip(*(state.net.parameters() for state in states), strict=True):
        assert (whole - parts).norm() <= 0.02 * 0.003 * whole.numel() ** 0.5


def test_the_optimiser_is_part_of_the_identity_and_a_departure():
    usual, *others = (load_study("paper", [f"recipe.optimizer={name}"]).run(kind="plain", depth=20) for name in OPTIMIZERS)
    assert departures(usual) == []
    assert len({settings.digest() for settings in (usual, *others)}) == 3
    assert ["AdamW" in departures(settings)[0] for settings in others] == [True, True]
