"""Networks with blocks removed: compared with a direct computation; the trained network stays unchanged."""

import pytest
import torch
from torch.nn import functional

from resnet_lab.analysis.paths import block_names, paths, random_removals, without
from resnet_lab.data.batches import clean_batches
from resnet_lab.models.fold import folded
from resnet_lab.models.layers import activation
from resnet_lab.models.shortcuts import Identity
from resnet_lab.train.evaluate import evaluate
from tests.builders import KINDS, copied_state, random_batch, same_tensors, trained_network, trained_subject


@pytest.mark.parametrize("kind", KINDS)
def test_removing_a_block_leaves_its_shortcut(kind):
    net, _ = trained_network(kind, depth=14)
    net.eval()
    images = random_batch()[0]
    with torch.no_grad():
        x = net.stages[0][0](net.stem(images).relu())  # without stages.0.1
        x = net.stages[1](x)
        x = torch.cat([x[:, :, ::2, ::2], torch.zeros_like(x)[:, :, ::2, ::2]], 1)  # without stages.2.0
        x = net.stages[2][1](x)
        expected = net.head(x.mean((2, 3)))
        before = copied_state(net)
        for full_net in (net, folded(net)):
            assert torch.allclose(without(full_net, ["stages.0.1", "stages.2.0"])(images), expected, atol=1e-5)
        assert torch.equal(without(net, [])(images), net(images))
    assert same_tensors(before, copied_state(net))


@pytest.mark.parametrize(
    "model",
    [
        {"shortcut": "C"},
        {"pad_channels": "both"},
        {"block": "bottleneck", "depth": 20},
        {"block": "bottleneck", "depth": 20, "shortcut": "B"},
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_blocks_with_every_kind_of_shortcut_can_be_removed(kind, model):
    net, _ = trained_network(kind, **({"depth": 14} | model | ({"shortcut": "A"} if kind == "plain" else {})))
    images, pad = random_batch()[0], model.get("pad_channels", "end")
    net.eval()
    with torch.no_grad():
        block = net.get_submodule("stages.1.0")
        shortcut = block.shortcut or Identity(*channels(block), 2, pad)
        x = net.stages[1][1](shortcut(net.stages[0](net.stem(images).relu())).relu())
        expected = net.head(net.stages[2](x).mean((2, 3)))
        for full_net in (net, folded(net)):
            assert torch.allclose(without(full_net, ["stages.1.0"], pad)(images), expected, atol=1e-5)


def zero_padded(x):
    """The shortcut of stages.1.0."""
    return torch.cat([x[:, :, ::2, ::2], torch.zeros_like(x[:, :, ::2, ::2])], 1)


WITHOUT_BRANCH = {
    "shortcut_scale = 0.5": ({"shortcut_scale": 0.5}, lambda block, x: 0.5 * zero_padded(x)),
    "leaky": ({"activation_slope": 0.3}, lambda block, x: functional.leaky_relu(zero_padded(x), 0.3)),
    "bn-after-addition": ({"order": "bn-after-addition"}, lambda block, x: block.conv2.norm(zero_padded(x)).relu()),
    "relu-before-addition": ({"order": "relu-before-addition"}, lambda block, x: zero_padded(x)),
    "preactivation": ({"order": "preactivation"}, lambda block, x: zero_padded(block.conv1.norm(x).relu())),
    "plain preactivation": (
        {"kind": "plain", "order": "preactivation"},
        lambda block, x: zero_padded(block.conv1.norm(x).relu()),
    ),
    "no norm": ({"norm": "none", "branch_scale": "learnable"}, lambda block, x: zero_padded(x)),
}


@pytest.mark.parametrize("name", WITHOUT_BRANCH)
def test_removing_a_block_of_another_network_removes_its_branch(name):
    model, without_branch = WITHOUT_BRANCH[name]
    net, _ = trained_network(**({"kind": "residual", "depth": 14} | model))
    images = random_batch()[0]
    net.eval()
    with torch.no_grad():
        first = net.stages[0](activation(net.stem(images), net.slope))
        x = net.stages[2](net.stages[1][1](without_branch(net.stages[1][0], first)))
        expected = net.head(net.tail(x).mean((2, 3)))
        kept = net(images)
        for full_net in (net, folded(net)):
            assert torch.allclose(without(full_net, ["stages.1.0"])(images), expected, atol=1e-5)
        assert torch.equal(net(images), kept)


def test_a_plain_block_with_preactivation_that_keeps_the_shape_is_replaced_by_the_identity():
    net, _ = trained_network("plain", depth=14, order="preactivation")
    net.eval()
    with torch.no_grad():
        x = torch.randn(2, 4, 8, 8)
        assert torch.equal(without(net, ["stages.0.1"]).stages[0][1](x), x)


def channels(block):
    return block.layers[0].conv.in_channels, block.layers[-1].conv.out_channels


def test_random_removals_repeat_and_never_draw_a_block_twice():
    removals = list(random_removals(27, 3))
    assert [number for number, _ in removals] == [1, 2, 3, 4, 6, 8, 12, 16, 24]
    assert [number for number, _ in random_removals(3, 1)] == [1, 2]
    for number, draws in removals:
        assert all(len(set(draw)) == number and max(draw) < 27 for draw in draws)
    assert removals == list(random_removals(27, 3))
    assert all(len({tuple(draw) for draw in draws}) > 1 for _, draws in removals)
    assert [number for number, _ in random_removals(9, 1)] == [1, 2, 3, 4, 6, 8]


@pytest.mark.parametrize("kind", KINDS)
def test_results_are_the_errors_of_networks_without_those_blocks(study, kind):
    run = trained_subject(study, f"{kind}-14-s0")
    result = paths(run, 20, 2)
    batches = list(clean_batches(run.data.test, run.data.mean))
    net = folded(run.net)
    assert result.baseline == evaluate(net, batches)[0]
    assert [block.name for block in result.blocks] == block_names(run.net)
    for block in result.blocks:
        assert block.error == evaluate(without(net, [block.name]), batches)[0]
    number, draws = next(random_removals(6, 2))
    assert result.removals[0].number == number
    names = block_names(run.net)
    assert result.removals[0].errors == tuple(evaluate(without(net, [names[i] for i in draw]), batches)[0] for draw in draws)
    assert result == paths(run, 20, 2)
