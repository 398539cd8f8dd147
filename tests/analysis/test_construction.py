"""The identity construction: the deeper network computes the same function and can be trained."""

import copy

import pytest
import torch
from torch.nn import functional

from resnet_lab.analysis.construction import (
    added_blocks,
    agreement,
    batch_noise,
    construct,
    ready_to_train,
    stage_statistics,
)
from resnet_lab.errors import ConfigError
from resnet_lab.models.resnet import build
from tests.builders import KINDS, copied_state, random_batch, same_tensors, trained_network


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("depth", [14, 26])
def test_constructed_network_computes_exactly_the_shallow_function(kind, depth):
    net, config = trained_network(kind)
    deep = construct(net, config, depth)
    assert len(added_blocks(deep, net)) == (depth - 8) // 2
    comparison = agreement(net, deep, [random_batch(64, seed=5), random_batch(7, seed=6)])
    assert comparison.images == 71
    assert comparison.max_difference == 0
    assert comparison.changed == 0
    assert comparison.wrong_left == comparison.wrong_right
    scratch = build(deep_config := config.model.model_copy(update={"depth": depth}), 0)
    assert {name: value.shape for name, value in deep.state_dict().items()} == {
        name: value.shape for name, value in scratch.state_dict().items()
    }
    assert agreement(net, scratch, [random_batch(64)]).max_difference > 0.01, deep_config


@pytest.mark.parametrize(
    ("model", "depth"),
    [({"shortcut": "B"}, 14), ({"shortcut": "C"}, 14), ({"block": "bottleneck", "depth": 11, "shortcut": "C"}, 20)],
)
def test_construction_works_with_projections_and_bottlenecks(model, depth):
    net, config = trained_network("residual", **model)
    deep = construct(net, config, depth)
    assert agreement(net, deep, [random_batch(32, seed=5)]).max_difference == 0
    batches = [random_batch(32, seed=10 + index) for index in range(4)]
    noise = batch_noise(net, ready_to_train(deep, net, batches), batches)
    assert noise.rms_difference < 0.2 * noise.rms_logits


def test_plain_bottleneck_network_is_refused():
    net, config = trained_network("plain", depth=11, block="bottleneck")
    with pytest.raises(ConfigError, match="plain-bottleneck-11-s0: a plain bottleneck block cannot"):
        construct(net, config, 20)


@pytest.mark.parametrize(
    "model", [{"shortcut_scale": 0.5}, {"order": "preactivation"}, {"norm": "none"}, {"activation_slope": 0.5}]
)
def test_networks_without_a_construction_are_refused(model):
    net, config = trained_network("residual", **model)
    name, value = next(iter(model.items()))
    with pytest.raises(ConfigError, match=f"No construction exists for residual-8-s0 with model.{name} = {value}"):
        construct(net, config, 14)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("model", "depth"), [({"span": 1}, 11), ({"span": 3, "depth": 11}, 20), ({"init": "orthogonal"}, 14)])
def test_construction_works_with_other_spans_and_initial_weights(kind, model, depth):
    net, config = trained_network(kind, **model)
    assert agreement(net, construct(net, config, depth), [random_batch(32, seed=5)]).max_difference == 0


def test_depth_that_is_not_deeper_is_refused():
    net, config = trained_network("plain")
    with pytest.raises(ConfigError, match="--depth 8 is not deeper than plain-8-s0"):
        construct(net, config, 8)


def test_constructed_plain_network_can_be_trained_with_little_batch_noise():
    net, config = trained_network("plain", steps=20)
    deep = construct(net, config, 20)
    batches = [random_batch(32, seed=10 + index) for index in range(8)]
    ready = ready_to_train(deep, net, batches)
    in_evaluation = agreement(net, ready, batches)
    assert in_evaluation.max_difference < 1e-4
    noise = batch_noise(net, ready, batches)
    unprepared_noise = batch_noise(net, deep, batches)  # batch norms with weight 1 and bias 0
    assert noise.rms_difference < 0.1 * noise.rms_logits
    assert noise.rms_difference < 0.2 * unprepared_noise.rms_difference
    assert noise.shallow_loss == pytest.approx(noise.constructed_loss, rel=0.02)
    assert not any(
        torch.equal(deep.state_dict()[name], value) for name, value in ready.state_dict().items() if "2.2.conv2.norm.b" in name
    )


def test_constructed_residual_network_equals_the_shallow_one_in_training_mode():
    net, config = trained_network("residual", steps=20)
    deep = construct(net, config, 20)
    batches = [random_batch(32, seed=10)]
    ready = ready_to_train(deep, net, batches)
    assert same_tensors(copied_state(deep), copied_state(ready))
    assert batch_noise(net, ready, batches).max_difference == 0
    functional.cross_entropy(ready.train()(batches[0][0]), batches[0][1]).backward()
    for _, block in added_blocks(ready, net):  # the branch outputs zero but receives gradients
        assert block.conv2.norm.weight.grad.abs().max() > 0


def test_stage_statistics_are_the_moments_over_all_batches():
    net, _ = trained_network("plain")
    batches = [random_batch(16, seed=1), random_batch(16, seed=2)]
    statistics = stage_statistics(net, batches)
    outputs = []
    for images, _ in batches:
        copied_net = copy.deepcopy(net).train()
        outputs.append(copied_net.stages[0](copied_net.stem(images).relu()))
    all_outputs = torch.cat(outputs).double()
    assert torch.allclose(statistics[0][0].double(), all_outputs.mean((0, 2, 3)), atol=1e-6)
    assert torch.allclose(statistics[0][1].double(), all_outputs.var((0, 2, 3), correction=0), rtol=1e-5, atol=1e-7)
