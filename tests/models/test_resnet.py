"""The paper's networks: matched pairs, initial values, classes, and networks reduced to their shortcuts."""

import pytest
import torch

from resnet_lab.config.model import ModelConfig
from resnet_lab.models.blocks import Block
from resnet_lab.models.resnet import ResNet, build


def pair(depth: int = 20, seed: int = 0) -> tuple[ResNet, ResNet]:
    return build(ModelConfig(kind="plain", depth=depth), seed), build(ModelConfig(kind="residual", depth=depth), seed)


def test_branches_start_equal_with_every_shortcut_option():
    states = {option: build(ModelConfig(kind="residual", depth=14, shortcut=option), 0).state_dict() for option in "ABC"}
    for option in "BC":
        assert all(torch.equal(value, states[option][name]) for name, value in states["A"].items())
        extra = set(states[option]) - set(states["A"])
        assert extra
        assert all(".shortcut." in name for name in extra)


def test_the_number_of_classes_defaults_to_that_of_the_layout():
    model = ModelConfig(kind="plain", layout="imagenet", depth=18, width=4)
    assert build(model, 0).head.out_features == 1000
    assert build(model, 0, num_classes=7)(torch.rand(2, 3, 64, 64)).shape == (2, 7)
    assert build(ModelConfig(kind="plain", depth=8), 0).head.out_features == 10


@pytest.mark.parametrize(("option", "parameters"), [("A", 19_421_274), ("B", 19_424_026), ("C", 20_538_714)])
def test_parameters_at_depth_1202(option, parameters):
    with torch.device("meta"):
        net = ResNet(ModelConfig(kind="residual", depth=1202, shortcut=option))
    assert sum(parameter.numel() for parameter in net.parameters()) == parameters


def test_a_matched_pair_has_equal_parameter_names_and_initial_values():
    plain, residual = (net.state_dict() for net in pair())
    assert list(plain) == list(residual)
    assert all(torch.equal(plain[name], residual[name]) for name in plain)


def test_a_matched_pair_computes_different_outputs():
    plain, residual = pair()
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert not torch.equal(plain(images), residual(images))


def test_initial_values_depend_only_on_parameter_name_and_seed():
    shallow, deep = pair(8)[0].state_dict(), pair(20)[0].state_dict()
    name = "stages.0.0.conv1.conv.weight"
    assert torch.equal(shallow[name], deep[name])
    assert not torch.equal(shallow[name], shallow["stages.0.0.conv2.conv.weight"])
    assert not torch.equal(shallow[name], pair(8, seed=1)[0].state_dict()[name])


def test_initial_values_follow_he_initialisation():
    net = pair(56)[0]
    weight = net.get_parameter("stages.2.4.conv1.conv.weight")
    assert weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)
    assert weight.mean().item() == pytest.approx(0, abs=1e-3)
    assert net.head.bias.abs().max() == 0


def test_building_does_not_change_the_global_random_generator():
    before = torch.get_rng_state()
    pair(8)
    assert torch.equal(before, torch.get_rng_state())


def test_a_residual_network_with_zero_branches_computes_only_its_shortcuts():
    net = pair(20)[1]
    for stage in net.stages:
        assert isinstance(stage, torch.nn.Sequential)
        for block in stage:
            assert isinstance(block, Block)
            torch.nn.init.zeros_(block.conv2.norm.weight)
    x = torch.rand(2, 16, 32, 32)
    out = net.stages(x)
    assert torch.equal(out[:, :16], x[:, :, ::4, ::4])
    assert out.shape == (2, 64, 8, 8)
    assert out[:, 16:].abs().max() == 0


def test_the_side_of_the_padding_changes_outputs_but_no_parameter():
    nets = [build(ModelConfig(kind="residual", depth=8, pad_channels=pad), 0).eval() for pad in ("end", "both")]
    left, right = (net.state_dict() for net in nets)
    assert all(torch.equal(value, right[name]) for name, value in left.items())
    images = torch.rand(2, 3, 32, 32)
    assert not torch.allclose(nets[0](images), nets[1](images))
    assert [net.stages[1][0].shortcut.before for net in nets] == [0, 8]
