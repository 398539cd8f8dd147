"""The paper's networks: counts, the matched pair, the shortcut, the initial values."""

import pytest
import torch

from resnet_lab.config import ModelConfig
from resnet_lab.models.blocks import BasicBlock
from resnet_lab.models.cost import count
from resnet_lab.models.fold import folded
from resnet_lab.models.resnet import ResNet, build
from resnet_lab.models.shortcuts import Identity, Projection, make_shortcut

# He et al. 2015, Table 6, to the last parameter; multiply-adds of convolutions and the final layer in millions.
COUNTS = [
    (20, 269_722, 40.55),
    (32, 464_154, 68.86),
    (44, 658_586, 97.17),
    (56, 853_018, 125.49),
    (110, 1_727_962, 252.89),
    (1202, 19_421_274, 2_829),
]


def pair(depth: int = 20, seed: int = 0) -> tuple[ResNet, ResNet]:
    return build(ModelConfig(kind="plain", depth=depth), seed), build(ModelConfig(kind="residual", depth=depth), seed)


@pytest.mark.parametrize(("depth", "parameters", "millions"), COUNTS)
@pytest.mark.parametrize("kind", ["plain", "residual"])
def test_counts_are_the_papers(kind, depth, parameters, millions):
    cost = count(ModelConfig(kind=kind, depth=depth))
    assert cost.parameters == parameters == sum(layer.parameters for layer in cost.layers)
    assert cost.multiply_adds / 1e6 == pytest.approx(millions, abs=0.5 if depth == 1202 else 0.005)
    assert len(cost.layers) == depth


# Options B and C: a projection (1x1 convolution and BN) at each of the two transitions, and at every block.
PROJECTION_COUNTS = [
    (20, 272_474, 283_962),
    (32, 466_906, 489_594),
    (44, 661_338, 695_226),
    (56, 855_770, 900_858),
    (110, 1_730_714, 1_826_202),
]


@pytest.mark.parametrize(("depth", "with_b", "with_c"), PROJECTION_COUNTS)
def test_counts_with_projections(depth, with_b, with_c):
    for option, parameters in (("B", with_b), ("C", with_c)):
        assert count(ModelConfig(kind="residual", depth=depth, shortcut=option)).parameters == parameters


@pytest.mark.parametrize("option", ["A", "B", "C"])
def test_one_function_decides_the_shortcut(option):
    same, strided, wider = (make_shortcut("residual", option, 4, *rest) for rest in ((4, 1), (8, 2), (8, 1)))
    expected = {"A": (Identity, Identity), "B": (Identity, Projection), "C": (Projection, Projection)}[option]
    assert (type(same), type(strided), type(wider)) == (expected[0], expected[1], expected[1])
    x = torch.rand(2, 4, 8, 8)
    assert (same(x).shape, strided(x).shape, wider(x).shape) == ((2, 4, 8, 8), (2, 8, 4, 4), (2, 8, 8, 8))
    assert make_shortcut("plain", option, 4, 8, 2) is None


def test_networks_of_all_options_share_the_initial_values_of_their_branches():
    found = {option: build(ModelConfig(kind="residual", depth=14, shortcut=option), 0).state_dict() for option in "ABC"}
    for option in "BC":
        assert all(torch.equal(value, found[option][name]) for name, value in found["A"].items())
        more = set(found[option]) - set(found["A"])
        assert more
        assert all(".shortcut." in name for name in more)


def test_a_pair_has_equal_names_counts_and_initial_values():
    plain, residual = (net.state_dict() for net in pair())
    assert list(plain) == list(residual)
    assert all(torch.equal(plain[name], residual[name]) for name in plain)


def test_a_pair_differs_in_what_it_computes():
    plain, residual = pair()
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert not torch.equal(plain(images), residual(images))


def test_initial_values_depend_on_name_and_seed_and_not_on_the_rest_of_the_network():
    shallow, deep = pair(8)[0].state_dict(), pair(20)[0].state_dict()
    name = "stages.0.0.conv1.conv.weight"
    assert torch.equal(shallow[name], deep[name])
    assert not torch.equal(shallow[name], shallow["stages.0.0.conv2.conv.weight"])
    assert not torch.equal(shallow[name], pair(8, seed=1)[0].state_dict()[name])


def test_initial_values_are_hes():
    net = pair(56)[0]
    weight = net.get_parameter("stages.2.4.conv1.conv.weight")
    assert weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)
    assert weight.mean().item() == pytest.approx(0, abs=1e-3)
    assert net.head.bias.abs().max() == 0


def test_building_does_not_touch_the_global_generator():
    before = torch.get_rng_state()
    pair(8)
    assert torch.equal(before, torch.get_rng_state())


def test_a_residual_block_with_a_zero_branch_is_the_identity():
    block = BasicBlock(16, 16, 1, make_shortcut("residual", "A", 16, 16, 1))
    torch.nn.init.zeros_(block.conv2.norm.weight)
    x = torch.rand(2, 16, 8, 8)  # what a block gets is the output of a ReLU
    assert torch.equal(block(x), x)


def test_a_residual_network_of_zero_branches_is_its_shortcuts():
    net = pair(20)[1]
    for stage in net.stages:
        assert isinstance(stage, torch.nn.Sequential)
        for block in stage:
            assert isinstance(block, BasicBlock)
            torch.nn.init.zeros_(block.conv2.norm.weight)
    x = torch.rand(2, 16, 32, 32)
    out = net.stages(x)
    assert torch.equal(out[:, :16], x[:, :, ::4, ::4])
    assert out.shape == (2, 64, 8, 8)
    assert out[:, 16:].abs().max() == 0


def test_shortcut_a_subsamples_appends_zeros_and_has_no_parameters():
    shortcut = Identity(16, 32, 2)
    x = torch.rand(2, 16, 32, 32)
    out = shortcut(x)
    assert out.shape == (2, 32, 16, 16)
    assert torch.equal(out[:, :16], x[:, :, ::2, ::2])
    assert out[:, 16:].abs().max() == 0
    assert list(shortcut.parameters()) == []
    assert make_shortcut("plain", "A", 16, 32, 2) is None


def test_the_relu_follows_the_addition():
    block = BasicBlock(4, 4, 1, make_shortcut("residual", "A", 4, 4, 1))
    torch.nn.init.zeros_(block.conv2.norm.weight)
    x = -torch.rand(1, 4, 8, 8)
    assert block(x).abs().max() == 0


def test_stage_shapes_are_the_papers():
    shapes = [layer.output_shape for layer in count(ModelConfig(kind="residual", depth=20)).layers]
    assert shapes[:7] == [(16, 32, 32)] * 7
    assert shapes[7:13] == [(32, 16, 16)] * 6
    assert shapes[13:19] == [(64, 8, 8)] * 6
    assert shapes[19] == (10,)


@pytest.mark.parametrize("kind", ["plain", "residual"])
def test_folding_batch_normalisation_gives_the_same_function_and_leaves_the_network_alone(kind):
    net = build(ModelConfig(kind=kind, depth=14, width=4), 0)
    source = torch.Generator().manual_seed(0)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # as after training: no value is the initial one, some weights are negative
            for value in (module.weight, module.bias, module.running_mean):
                value.data = torch.randn(value.shape, generator=source)
            module.running_var = torch.rand(module.running_var.shape, generator=source) + 0.1
    before = {name: value.clone() for name, value in net.state_dict().items()}
    images = torch.randn(5, 3, 32, 32, generator=source)
    fast = folded(net)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in fast.modules())
    assert net.training
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    with torch.no_grad():
        expected = net.double().eval()(images.double())
        torch.testing.assert_close(fast(images).double(), expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())
