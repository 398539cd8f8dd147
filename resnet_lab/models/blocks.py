"""The building blocks of He et al. 2015, Fig. 2 and Fig. 5: a branch of convolutions with an optional shortcut.

The other orders of batch normalisation, ReLU and addition are those of He et al. 2016, *Identity Mappings in Deep Residual
Networks*, arXiv 1603.05027, Fig. 4.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from resnet_lab.config.model import ModelConfig
from resnet_lab.config.terms import Order
from resnet_lab.models.layers import ConvBesideNorm, ConvNorm, ScalarConv, activation
from resnet_lab.models.recompute import recomputed
from resnet_lab.models.shortcuts import Projection, make_shortcut


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
        self.slope = config.activation_slope

    @property
    def layers(self) -> tuple[nn.Module, ...]:
        """The layers of the branch F in order; in the paper a ReLU follows each, for the last one after the addition."""
        return tuple(getattr(self, name) for name in self._names)

    def forward(self, x: Tensor) -> Tensor:
        """`(N, C_in, H, W)` to `(N, C_out, H / stride, W / stride)`."""
        if self.recompute and self.training and torch.is_grad_enabled():
            norms = [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]
            return recomputed(self._output, norms, x)
        return self._output(x)

    def _output(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        return self.finish(self.join(self.branch(x), x))

    def enter(self, x: Tensor) -> Tensor:
        """What both the branch and the shortcut get from the block's input."""
        return x

    def branch(self, x: Tensor) -> Tensor:
        """F(x)."""
        *inner, last = self.layers
        for layer in inner:
            x = activation(layer(x), self.slope)
        return last(x)  # type: ignore[no-any-return]

    def join(self, y: Tensor, x: Tensor) -> Tensor:
        """The scaled sum of a branch's output `y` and the shortcut of `x`; may replace `y`."""
        if self.shortcut is None:
            return y
        if self.branch_scale is not None:
            y = y * self.branch_scale
        return y.add_(self.shortcut(x), alpha=self.shortcut_scale)

    def finish(self, y: Tensor) -> Tensor:
        """The block's output from the sum; may replace it."""
        return activation(y, self.slope)


class NormAfterAddition(Block):
    """The last batch normalisation follows the addition (He et al. 2016, Fig. 4b): y = relu(BN(F(x) + x))."""

    def finish(self, y: Tensor) -> Tensor:
        """See Block."""
        return activation(self.layers[-1].get_submodule("norm")(y), self.slope)


class ReluBeforeAddition(Block):
    """The last ReLU precedes the addition (He et al. 2016, Fig. 4c): y = relu(F(x)) + x."""

    def branch(self, x: Tensor) -> Tensor:
        """See Block. The result is a copy, since the gradient of the ReLU needs its output."""
        return activation(super().branch(x), self.slope).clone()

    def finish(self, y: Tensor) -> Tensor:
        """See Block."""
        return y


class Preactivation(Block):
    """Batch normalisation and ReLU precede every convolution (He et al. 2016, Fig. 4e).

    Where the shortcut is not exactly the identity, it gets the first activation as well, as in the authors' code. The first layer
    of the network's first block has no activation of its own: that of the stem precedes it.
    """

    def __init__(self, config: ModelConfig, layers: Sequence[nn.Module], shortcut: nn.Module | None) -> None:
        super().__init__(config, layers, shortcut)
        convolutions = [module for layer in layers for module in layer.modules() if isinstance(module, nn.Conv2d)]
        keeps_width = convolutions[0].in_channels == convolutions[-1].out_channels
        keeps_shape = keeps_width and all(conv.stride == (1, 1) for conv in convolutions)
        self._shares_activation = isinstance(shortcut, Projection) or not keeps_shape

    def enter(self, x: Tensor) -> Tensor:
        """See Block."""
        return self._activated(self.layers[0], x) if self._shares_activation else x

    def branch(self, x: Tensor) -> Tensor:
        """See Block."""
        first, *others = self.layers
        x = first(x if self._shares_activation else self._activated(first, x))
        for layer in others:
            x = layer(self._activated(layer, x))
        return x

    def finish(self, y: Tensor) -> Tensor:
        """See Block."""
        return y

    def _activated(self, layer: nn.Module, x: Tensor) -> Tensor:
        assert isinstance(layer, ConvBesideNorm)
        return x if layer.norm is None else activation(layer.norm(x), self.slope)


_CLASSES: Mapping[Order, type[Block]] = {
    "original": Block,
    "preactivation": Preactivation,
    "bn-after-addition": NormAfterAddition,
    "relu-before-addition": ReluBeforeAddition,
}


def make_block(config: ModelConfig, in_channels: int, width: int, stride: int, *, is_first: bool = False) -> Block:
    """A block of the network, perhaps its first; all but the block's last layer have `width` output channels."""
    facts = config.block_facts
    out_channels = facts.expansion * width
    channels = [in_channels, *[width] * (facts.num_layers - 1), out_channels]
    strides = [1] * facts.num_layers
    strides[facts.strided_layer(config.stride_on)] = stride
    shapes = zip(channels[:-1], channels[1:], strides, facts.kernels, strict=True)
    layers = [_make_layer(config, place, shape, is_first=is_first) for place, shape in enumerate(shapes)]
    return _CLASSES[config.order](config, layers, make_shortcut(config, in_channels, out_channels, stride))


def _make_layer(config: ModelConfig, place: int, shape: tuple[int, int, int, int], *, is_first: bool) -> nn.Module:
    """The layer at this place of a block's branch; `shape` is in_channels, out_channels, stride and kernel_size."""
    is_last = place == config.block_facts.num_layers - 1
    if config.norm == "none":
        return ScalarConv(shape, is_last=is_last)
    if config.order == "preactivation":
        return ConvBesideNorm(*shape, norm_channels=None if is_first and place == 0 else shape[0])
    if config.order == "bn-after-addition" and is_last:
        return ConvBesideNorm(*shape, norm_channels=shape[1])
    return ConvNorm(*shape)


def _branch_scale(config: ModelConfig) -> nn.Parameter | float | None:
    """The factor of a block's branch; None if there is none."""
    if config.branch_scale == "learnable":
        return nn.Parameter(torch.zeros(()))
    return sum(config.stages) ** -0.5 if config.branch_scale == "1/sqrt(blocks)" else None


def blocks_of(net: nn.Module) -> Iterator[tuple[str, Block]]:
    """The blocks of a network with their names, such as `stages.0.1`, in forward order."""
    return ((name, module) for name, module in net.named_modules() if isinstance(module, Block))
