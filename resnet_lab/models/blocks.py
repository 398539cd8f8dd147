"""The building blocks of He et al. 2015, Fig. 2 and Fig. 5: a branch of two or three convolutions, and a shortcut or none."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from resnet_lab.config.blocks import BLOCKS, BlockType, StrideOn
from resnet_lab.models.recompute import recomputed


class ConvNorm(nn.Module):
    """A convolution without bias, then batch normalisation; the activation is the caller's."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, kernel_size: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """`(N, C_in, H, W)` to `(N, C_out, H / stride, W / stride)`."""
        return self.norm(self.conv(x))  # type: ignore[no-any-return]


class Block(nn.Module):
    """y = relu(F(x) + shortcut(x)); without a shortcut y = relu(F(x)), the same layers of a plain network.

    With `recompute` a block in training keeps its input alone for the backward pass, and computes the rest again.
    """

    shortcut: nn.Module | None
    recompute = False

    @property
    def layers(self) -> tuple[nn.Module, ...]:
        """The layers of the branch F in order, each followed by a ReLU but the last, whose ReLU comes after the addition."""
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
        """Both convolutions."""
        return self.conv1, self.conv2


class Bottleneck(Block):
    """1x1, 3x3 and 1x1 convolutions, the last to four times the channels (Fig. 5, right).

    The paper and the models it released have the stride on the first 1x1 layer, torchvision has it on the 3x3.
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


# Called with the channels that come in, the stage's width, the stride, the shortcut, and the settings that the type has.
BLOCK_CLASSES: Mapping[BlockType, Callable[..., Block]] = {"basic": BasicBlock, "bottleneck": Bottleneck}
