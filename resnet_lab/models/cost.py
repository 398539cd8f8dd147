"""The cost of a network: parameters, multiply-adds (torch's counter, on the meta device), activations, receptive fields."""

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from resnet_lab.config.model import ModelConfig
from resnet_lab.config.schema import RunConfig
from resnet_lab.models.blocks import Block
from resnet_lab.models.resnet import ResNet
from resnet_lab.models.shortcuts import Projection

_FP32_BYTES = 4
ShortcutForm = Literal["none", "identity", "zero-padded identity", "projection"]


@dataclass(frozen=True)
class Layer:
    """A weighted layer: a convolution with its batch normalisation, or the final fully connected layer.

    `activation_bytes` is the size of its output in fp32. `receptive_field` is the side in pixels of the image region on which one
    output value depends through the branches; it is not clipped at the image's border.
    """

    name: str
    operation: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    activation_bytes: int
    receptive_field: int


@dataclass(frozen=True)
class BlockForm:
    """A block's shortcut, and its input and output shapes `(C, H, W)`."""

    name: str
    shortcut: ShortcutForm
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]

    @property
    def changes_shape(self) -> bool:
        """Whether the output shape differs from the input shape: the dotted shortcuts of the paper's Fig. 3."""
        return self.input_shape != self.output_shape


@dataclass(frozen=True)
class Cost:
    """A network's layers, and its totals for one image.

    `multiply_adds` counts the multiplications of the convolutions and the final layer, as the paper counts FLOPs.
    `activation_bytes` is the size of all layers' outputs in fp32, which a backward pass needs. Torch stores about twice as much:
    the outputs of convolutions as well as those of batch normalisations. `block_activation_bytes` counts only the outputs of the
    stem and the blocks.
    """

    layers: tuple[Layer, ...]
    blocks: tuple[BlockForm, ...]
    parameters: int
    multiply_adds: int
    activation_bytes: int
    block_activation_bytes: int


class _Field(NamedTuple):
    """The side of a receptive field, and the distance between those of neighbouring outputs, in pixels of the image."""

    size: int = 1
    step: int = 1

    def through(self, kernel: int, stride: int) -> "_Field":
        """The field after another layer with this kernel size and stride."""
        return _Field(self.size + (kernel - 1) * self.step, self.step * stride)


@functools.cache
def count(config: ModelConfig, num_classes: int | None = None, image_size: int | None = None) -> Cost:
    """The cost of a network, computed without allocating it; classes and image size default to those of the layout."""
    size = image_size or config.image_size
    with torch.device("meta"):
        net = ResNet(config, num_classes).eval()
        image = torch.empty(1, 3, size, size)
    shapes: dict[str, tuple[int, ...]] = {}
    weighted = {name: module for name, module in net.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)}
    stem = "stem" if net.pool is None else "pool"
    for name in (*weighted, *_blocks(net), stem):
        net.get_submodule(name).register_forward_hook(_remember_shape(shapes, name))
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        net(image)
    flops = {name.partition(".")[2]: sum(counts.values()) for name, counts in counter.get_flop_counts().items()}
    fields = dict(_receptive_fields(net, shapes))
    layers = tuple(
        Layer(
            name, _operation(module), shapes[name], _parameters(net, name), flops[name] // 2, _bytes(shapes[name]), fields[name]
        )
        for name, module in weighted.items()
    )
    blocks = tuple(_block_forms(net, shapes, shapes[stem]))
    return Cost(
        layers,
        blocks,
        parameters=sum(parameter.numel() for parameter in net.parameters()),
        multiply_adds=counter.get_total_flops() // 2,
        activation_bytes=sum(layer.activation_bytes for layer in layers),
        block_activation_bytes=_bytes(shapes[stem]) + sum(_bytes(block.output_shape) for block in blocks),
    )


def count_run(config: RunConfig) -> Cost:
    """The cost of a run's network for one of the run's images."""
    return count(config.model, config.data.num_classes, config.data.image_size)


def _remember_shape(shapes: dict[str, tuple[int, ...]], name: str) -> Callable[..., None]:
    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        shapes[name] = tuple(output.shape[1:])

    return hook


def _blocks(net: ResNet) -> dict[str, Block]:
    return {name: module for name, module in net.named_modules() if isinstance(module, Block)}


def _receptive_fields(net: ResNet, shapes: dict[str, tuple[int, ...]]) -> Iterator[tuple[str, int]]:
    """The receptive field of every weighted layer by name, along the branches of all blocks."""
    names = {module: name for name, module in net.named_modules()}
    field = _after(_Field(), net.stem.conv)
    yield "stem.conv", field.size
    if net.pool is not None:
        field = field.through(kernel=3, stride=2)
    for name, block in _blocks(net).items():
        if isinstance(block.shortcut, Projection):
            yield f"{name}.shortcut.conv", _after(field, block.shortcut.conv).size
        for layer in block.layers:
            conv = layer.get_submodule("conv")
            field = _after(field, conv)
            yield names[conv], field.size
    last_shape = shapes[list(_blocks(net))[-1]]
    yield "head", field.through(kernel=last_shape[-1], stride=1).size  # average pooling over all positions


def _after(field: _Field, conv: nn.Module) -> _Field:
    assert isinstance(conv, nn.Conv2d)
    return field.through(conv.kernel_size[0], conv.stride[0])


def _block_forms(net: ResNet, shapes: dict[str, tuple[int, ...]], shape: tuple[int, ...]) -> Iterator[BlockForm]:
    """The blocks in order; `shape` is the input shape of the first one."""
    for name, block in _blocks(net).items():
        yield BlockForm(name, _shortcut_form(block, shape, shapes[name]), shape, shapes[name])
        shape = shapes[name]


def _shortcut_form(block: Block, before: tuple[int, ...], after: tuple[int, ...]) -> ShortcutForm:
    if block.shortcut is None:
        return "none"
    if isinstance(block.shortcut, Projection):
        return "projection"
    return "identity" if before == after else "zero-padded identity"


def _operation(module: nn.Module) -> str:
    if isinstance(module, nn.Conv2d):
        size, stride = module.kernel_size[0], module.stride[0]
        return f"{size}x{size} conv, {module.out_channels}" + (f", /{stride}" if stride > 1 else "")
    assert isinstance(module, nn.Linear)
    return f"{module.out_features}-way fully connected"


def _parameters(net: nn.Module, name: str) -> int:
    """The number of parameters of a layer and its batch normalisation;
    The scale of a branch counts with its last layer, and the batch normalisation that precedes the head with the head.
    """
    path = name.removesuffix(".conv")
    owner, parent = net.get_submodule(path), net.get_submodule(path.rpartition(".")[0])
    parameters = [*owner.parameters()]
    if isinstance(parent, Block) and owner is parent.layers[-1]:
        parameters += parent.parameters(recurse=False)
    if name == "head":
        parameters += net.get_submodule("tail").parameters()
    return sum(parameter.numel() for parameter in parameters)


def _bytes(shape: tuple[int, ...]) -> int:
    return _FP32_BYTES * math.prod(shape)
