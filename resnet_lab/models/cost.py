"""What a network costs: parameters and multiply-adds, counted by torch's own counter on the meta device."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from resnet_lab.config import ModelConfig
from resnet_lab.models.resnet import ResNet


@dataclass(frozen=True)
class Layer:
    """A weighted layer: a convolution with its batch normalisation, or the final fully connected layer."""

    name: str
    operation: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int


@dataclass(frozen=True)
class Cost:
    """A network's layers and totals for one 32x32 image.

    Multiply-adds are those of the convolutions and of the final layer, one for each multiplication, as the paper counts FLOPs.
    """

    layers: tuple[Layer, ...]
    parameters: int
    multiply_adds: int


@functools.cache
def count(config: ModelConfig) -> Cost:
    """Count a network without allocating it."""
    with torch.device("meta"):
        net = ResNet(config).eval()
        image = torch.empty(1, 3, 32, 32)
    shapes: dict[str, tuple[int, ...]] = {}
    weighted = {name: module for name, module in net.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)}
    for name, module in weighted.items():
        module.register_forward_hook(_remember_shape(shapes, name))
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        net(image)
    flops = {name.partition(".")[2]: sum(counts.values()) for name, counts in counter.get_flop_counts().items()}
    layers = tuple(
        Layer(name, _operation(module), shapes[name], _parameters(net, name), flops[name] // 2)
        for name, module in weighted.items()
    )
    parameters = sum(parameter.numel() for parameter in net.parameters())
    return Cost(layers, parameters, counter.get_total_flops() // 2)


def _remember_shape(shapes: dict[str, tuple[int, ...]], name: str) -> Callable[..., None]:
    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        shapes[name] = tuple(output.shape[1:])

    return hook


def _operation(module: nn.Module) -> str:
    if isinstance(module, nn.Conv2d):
        size, stride = module.kernel_size[0], module.stride[0]
        return f"{size}x{size} conv, {module.out_channels}" + (f", /{stride}" if stride > 1 else "")
    assert isinstance(module, nn.Linear)
    return f"{module.out_features}-way fully connected"


def _parameters(net: nn.Module, name: str) -> int:
    """The layer's own parameters and those of the batch normalisation beside it."""
    owner = net.get_submodule(name.rpartition(".")[0]) if name.endswith(".conv") else net.get_submodule(name)
    return sum(parameter.numel() for parameter in owner.parameters())
