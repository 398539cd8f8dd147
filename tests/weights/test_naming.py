"""Our ImageNet networks are torchvision's: with its weights they give its outputs and its gradients."""

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional

from resnet_lab.config.schema import ModelConfig
from resnet_lab.models.resnet import ResNet
from resnet_lab.weights.naming import from_torchvision, state_from_torchvision, state_to_torchvision, to_torchvision

NETWORKS = [(18, "basic"), (34, "basic"), (50, "bottleneck"), (101, "bottleneck"), (152, "bottleneck")]


def ours(depth: int, block: str) -> ResNet:
    stride = {"stride_on": "3x3"} if block == "bottleneck" else {}
    config = {"kind": "residual", "layout": "imagenet", "depth": depth, "block": block, "shortcut": "B"}
    with torch.device("meta"):
        return ResNet(ModelConfig.model_validate(config | stride))


def theirs(depth: int) -> nn.Module:
    return getattr(torchvision.models, f"resnet{depth}")(weights=None)  # type: ignore[no-any-return]


def pair(depth: int, block: str) -> tuple[ResNet, nn.Module]:
    """Both networks with one set of values, none of which is the initial one of a batch normalisation."""
    net, reference = ours(depth, block).to_empty(device="cpu"), theirs(depth)
    source = torch.Generator().manual_seed(depth)
    for module in reference.modules():
        if isinstance(module, nn.BatchNorm2d):
            for value in (module.weight, module.bias, module.running_mean, module.running_var):
                value.data.copy_(0.5 + torch.rand(value.shape, generator=source))
    net.load_state_dict(state_from_torchvision(reference.state_dict()))
    return net, reference


def close(left: torch.Tensor, right: torch.Tensor, relative: float) -> None:
    assert (left - right).norm() <= relative * right.norm()


@pytest.mark.parametrize(("depth", "block"), NETWORKS)
def test_names_and_shapes_are_one_to_one(depth, block):
    mine = {name: value.shape for name, value in ours(depth, block).state_dict().items()}
    with torch.device("meta"):
        reference = {name: value.shape for name, value in theirs(depth).state_dict().items()}
    assert {to_torchvision(name): shape for name, shape in mine.items()} == reference
    assert {from_torchvision(name): shape for name, shape in reference.items()} == mine
    assert [to_torchvision(name) for name in mine] == list(state_to_torchvision(ours(depth, block).state_dict()))


@pytest.mark.parametrize(("depth", "block"), NETWORKS)
def test_outputs_in_evaluation_mode_are_torchvisions(depth, block):
    net, reference = (each.eval() for each in pair(depth, block))
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        close(net(images), reference(images), 1e-5)


@pytest.mark.parametrize(
    ("depth", "block"), [*NETWORKS[:3], *(pytest.param(*network, marks=pytest.mark.slow) for network in NETWORKS[3:])]
)
def test_outputs_gradients_and_moving_averages_in_training_mode_are_torchvisions(depth, block):
    """In double precision, where two orders of adding up are close; in single precision they part over so many layers."""
    net, reference = (each.double().train() for each in pair(depth, block))
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    outputs = [each(images) for each in (net, reference)]
    close(*outputs, 1e-10)
    for output in outputs:
        functional.cross_entropy(output, torch.tensor([1, 2])).backward()
    expected = dict(reference.named_parameters())
    for name, parameter in net.named_parameters():
        close(parameter.grad, expected[to_torchvision(name)].grad, 1e-7)
    averages = state_from_torchvision(reference.state_dict())
    for name, value in net.state_dict().items():
        close(value.double(), averages[name].double(), 1e-10)


def test_a_foreign_name_is_refused():
    for translate in (to_torchvision, from_torchvision):
        with pytest.raises(KeyError, match="blob"):
            translate("blob.weight")
