"""Our ImageNet networks with torchvision's weights give torchvision's outputs and gradients."""

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional

from resnet_lab.config.model import ModelConfig
from resnet_lab.models.resnet import ResNet
from resnet_lab.weights.naming import from_torchvision, state_from_torchvision, state_to_torchvision, to_torchvision

NETWORKS = [(18, "basic"), (34, "basic"), (50, "bottleneck"), (101, "bottleneck"), (152, "bottleneck")]


def our_network(depth: int, block: str) -> ResNet:
    stride = {"stride_on": "3x3"} if block == "bottleneck" else {}
    config = {"kind": "residual", "layout": "imagenet", "depth": depth, "block": block, "shortcut": "B"}
    with torch.device("meta"):
        return ResNet(ModelConfig.model_validate(config | stride))


def torchvision_network(depth: int) -> nn.Module:
    return getattr(torchvision.models, f"resnet{depth}")(weights=None)  # type: ignore[no-any-return]


def networks_with_equal_weights(depth: int, block: str) -> tuple[ResNet, nn.Module]:
    """Our network and torchvision's with equal weights; no batch normalisation has its initial values."""
    net, reference = our_network(depth, block).to_empty(device="cpu"), torchvision_network(depth)
    source = torch.Generator().manual_seed(depth)
    for module in reference.modules():
        if isinstance(module, nn.BatchNorm2d):
            for value in (module.weight, module.bias, module.running_mean, module.running_var):
                value.data.copy_(0.5 + torch.rand(value.shape, generator=source))
    net.load_state_dict(state_from_torchvision(reference.state_dict()))
    return net, reference


def assert_close(left: torch.Tensor, right: torch.Tensor, relative: float) -> None:
    assert (left - right).norm() <= relative * right.norm()


@pytest.mark.parametrize(("depth", "block"), NETWORKS)
def test_names_and_shapes_match_torchvisions_one_to_one(depth, block):
    our_shapes = {name: value.shape for name, value in our_network(depth, block).state_dict().items()}
    with torch.device("meta"):
        their_shapes = {name: value.shape for name, value in torchvision_network(depth).state_dict().items()}
    assert {to_torchvision(name): shape for name, shape in our_shapes.items()} == their_shapes
    assert {from_torchvision(name): shape for name, shape in their_shapes.items()} == our_shapes
    assert [to_torchvision(name) for name in our_shapes] == list(state_to_torchvision(our_network(depth, block).state_dict()))


@pytest.mark.parametrize(("depth", "block"), NETWORKS)
def test_outputs_in_evaluation_mode_equal_torchvisions(depth, block):
    net, reference = (each.eval() for each in networks_with_equal_weights(depth, block))
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert_close(net(images), reference(images), 1e-5)


@pytest.mark.parametrize(
    ("depth", "block"), [*NETWORKS[:3], *(pytest.param(*network, marks=pytest.mark.slow) for network in NETWORKS[3:])]
)
def test_outputs_and_gradients_in_training_mode_equal_torchvisions(depth, block):
    """In double precision: in single precision, other orders of summation make a difference over so many layers."""
    net, reference = (each.double().train() for each in networks_with_equal_weights(depth, block))
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    outputs = [each(images) for each in (net, reference)]
    assert_close(*outputs, 1e-10)
    for output in outputs:
        functional.cross_entropy(output, torch.tensor([1, 2])).backward()
    expected = dict(reference.named_parameters())
    for name, parameter in net.named_parameters():
        assert_close(parameter.grad, expected[to_torchvision(name)].grad, 1e-7)
    averages = state_from_torchvision(reference.state_dict())
    for name, value in net.state_dict().items():
        assert_close(value.double(), averages[name].double(), 1e-10)


def test_unknown_parameter_name_is_refused():
    for translate in (to_torchvision, from_torchvision):
        with pytest.raises(KeyError, match="blob"):
            translate("blob.weight")
