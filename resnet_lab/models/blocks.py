"""The building blocks of He et al. 2015, Fig. 2 and Fig. 5: a branch of convolutions with an optional shortcut."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from resnet_lab.config.model import ModelConfig
from resnet_lab.models.layers import ConvNorm
from resnet_lab.models.recompute import recomputed
from resnet_lab.models.shortcuts import make_shortcut


class Block(nn.Module):
    """y = relu(a F(x) + s shortcut(x)), or y = relu(F(x)) without a shortcut, as in a plain network.

    In the paper the scales a and s are 1. `branch_scale` is a: a number, a learnable scalar, or None for 1.
    With `recompute`, training stores only the block's input for the backward pass and recomputes the rest.
    """

    recompute = False

    branch_scale: Tensor | float | None

    def __init__(self, config: ModelConfig, layers: Sequence[nn.Module], shortcut: nn.Module | None) -> None:
        super().__init__()
        self._names = tuple(f"conv{number}" for number in range(1, len(layers) + 1))
        for name, layer in zip(self._names, layers, strict=True):
            self.add_module(name, layer)
        self.shortcut, self.shortcut_scale = shortcut, config.shortcut_scale
        self.branch_scale = _branch_scale(config)

    @property
    def layers(self) -> tuple[nn.Module, ...]:
        """The layers of the branch F in order; a ReLU follows each, for the last one after the addition."""
        return tuple(getattr(self, name) for name in self._names)

    def forward(self, x: Tensor) -> Tensor:
        """`(N, C_in, H, W)` to `(N, C_out, H / stride, W / stride)`."""
        if self.recompute and self.training and torch.is_grad_enabled():
            norms = [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]
            return recomputed(self._output, norms, x)
        return self._output(x)

    def _output(self, x: Tensor) -> Tensor:
        return self.finish(self.join(self.branch(x), x))

    def branch(self, x: Tensor) -> Tensor:
        """F(x)."""
        *inner, last = self.layers
        for layer in inner:
            x = functional.relu(layer(x), inplace=True)
        return last(x)  # type: ignore[no-any-return]

    def join(self, y: Tensor, x: Tensor) -> Tensor:
        """The scaled sum of a branch's output `y` and the shortcut of `x`; may replace `y`."""
        if self.shortcut is None:
            return y
        if self.branch_scale is not None:
            y = y * self.branch_scale
        return y.add_(self.shortcut(x), alpha=self.shortcut_scale)

    def finish(self, y: Tensor) -> Tensor:
        """The block's output from the sum, which it replaces."""
        return functional.relu(y, inplace=True)


def make_block(config: ModelConfig, in_channels: int, width: int, stride: int) -> Block:
    """A block of the network; all but its last layer have `width` output channels."""
    facts = config.block_facts
    out_channels = facts.expansion * width
    channels = [in_channels, *[width] * (facts.num_layers - 1), out_channels]
    strides = [1] * facts.num_layers
    strides[facts.strided_layer(config.stride_on)] = stride
    layers = [
        ConvNorm(before, after, layer_stride, kernel)
        for (before, after), layer_stride, kernel in zip(pairwise(channels), strides, facts.kernels, strict=True)
    ]
    return Block(config, layers, make_shortcut(config, in_channels, out_channels, stride))


def _branch_scale(config: ModelConfig) -> nn.Parameter | float | None:
    """The factor of a block's branch; None if there is none."""
    if config.branch_scale == "learnable":
        return nn.Parameter(torch.zeros(()))
    return sum(config.stages) ** -0.5 if config.branch_scale == "1/sqrt(blocks)" else None


def blocks_of(net: nn.Module) -> Iterator[tuple[str, Block]]:
    """The blocks of a network with their names, such as `stages.0.1`, in forward order."""
    return ((name, module) for name, module in net.named_modules() if isinstance(module, Block))
