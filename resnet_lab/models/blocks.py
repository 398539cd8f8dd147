"""The building blocks of He et al. 2015, Fig. 2 and Fig. 5: a branch of two or three convolutions with an optional shortcut."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from resnet_lab.config.blocks import BLOCKS, BlockType, StrideOn
from resnet_lab.models.recompute import recomputed


class ConvNorm(nn.Module):
    """A convolution without bias, followed by batch normalisation but no activation."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, kernel_size: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """`(N, C_in, H, W)` to `(N, C_out, H / stride, W / stride)`."""
        return self.norm(self.conv(x))  # type: ignore[no-any-return]


class Block(nn.Module):
    """y = relu(F(x) + shortcut(x)), or y = relu(F(x)) in a plain network, which has the same layers but no shortcut.

    With `recompute`, training stores only the block's input for the backward pass and recomputes the rest.
    """

    shortcut: nn.Module | None
    recompute = False

    @property
    def layers(self) -> tuple[nn.Module, ...]:
        """The layers of the branch F in order; a ReLU follows each, for the last one after the addition."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """`(N, C_in, H, W)` to `(N, C_out, H / stride, W / stride)`."""
        if self.recompute and self.training and torch.is_grad_enabled():
            norms = [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]
            return recomputed(self._output, norms, x)
        return self._output(x)

    def _output(self, x: Tensor) -> Tensor:
        *inner, last = self.layers
        y = x
        for layer in inner:
            y = functional.relu(layer(y), inplace=True)
        y = last(y)
        if self.shortcut is not None:
            y += self.shortcut(x)
        return functional.relu(y, inplace=True)


class BasicBlock(Block):
    """Two 3x3 convolutions, the first with the stride (Fig. 2)."""

    def __init__(self, in_channels: int, width: int, stride: int, shortcut: nn.Module | None) -> None:
        super().__init__()
        self.conv1 = ConvNorm(in_channels, width, stride)
        self.conv2 = ConvNorm(width, width)
        self.shortcut = shortcut

    @property
    def layers(self) -> tuple[nn.Module, ...]:
        """The two convolutions."""
        return self.conv1, self.conv2


class Bottleneck(Block):
    """1x1, 3x3 and 1x1 convolutions, the last with four times as many channels (Fig. 5, right).

    The paper and its released models have the stride on the first 1x1 layer; torchvision has it on the 3x3 layer.
    """

    def __init__(
        self, in_channels: int, width: int, stride: int, shortcut: nn.Module | None, stride_on: StrideOn = "1x1"
    ) -> None:
        super().__init__()
        first, second = (stride, 1) if stride_on == "1x1" else (1, stride)
        self.conv1 = ConvNorm(in_channels, width, first, kernel_size=1)
        self.conv2 = ConvNorm(width, width, second)
        self.conv3 = ConvNorm(width, BLOCKS["bottleneck"].expansion * width, kernel_size=1)
        self.shortcut = shortcut

    @property
    def layers(self) -> tuple[nn.Module, ...]:
        """The three convolutions."""
        return self.conv1, self.conv2, self.conv3


# Called with input channels, stage width, stride, shortcut, and the settings of the block type as keywords.
BLOCK_CLASSES: Mapping[BlockType, Callable[..., Block]] = {"basic": BasicBlock, "bottleneck": Bottleneck}
