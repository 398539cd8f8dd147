"""The networks of He et al. 2015 for CIFAR-10 (Sec. 4.2) and ImageNet (Table 1): a stem, stages of blocks, and a head."""

from typing import Self

import torch
from torch import Tensor, nn

from resnet_lab.config.model import ModelConfig
from resnet_lab.models.blocks import make_block
from resnet_lab.models.initial import initialise
from resnet_lab.models.layers import ConvNorm, NormActivation, ScalarBias, ScalarConv, activation
from resnet_lab.models.memory_format import memory_format_of


class ResNet(nn.Module):
    """A plain or residual network. They differ only in their blocks' shortcuts; with option A their parameters are identical."""

    memory_format = torch.contiguous_format  # of the parameters on construction; `move` sets it for a device

    def __init__(self, config: ModelConfig, num_classes: int | None = None) -> None:
        super().__init__()
        channels, self.slope = config.width, config.activation_slope
        self.stem, self.pool = _make_stem(config)
        stages = []
        for stage, num_blocks in enumerate(config.stages):
            width = config.width * 2**stage
            blocks = []
            for block in range(num_blocks):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(make_block(config, channels, width, stride, is_first=stage == block == 0))
                channels = config.block_facts.expansion * width
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.Sequential(*stages)
        self.tail = _make_tail(config, channels)
        self.head = nn.Linear(channels, num_classes or config.num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images `(N, 3, H, W)` to logits `(N, num_classes)`."""
        x = x.contiguous(memory_format=self.memory_format)
        x = activation(self.stem(x), self.slope)
        if self.pool is not None:
            x = self.pool(x)
        x = self.tail(self.stages(x))
        return self.head(x.mean(dim=(2, 3)))  # type: ignore[no-any-return]

    def move(self, device: torch.device) -> Self:
        """Move the network in place to a device, in the memory format that works there; returns the network."""
        self.memory_format = memory_format_of(self, device)
        return self.to(device=device, memory_format=self.memory_format)  # type: ignore[call-overload, no-any-return]


def _make_stem(config: ModelConfig) -> tuple[ConvNorm | ScalarConv, nn.MaxPool2d | None]:
    """The first layer, followed in the ImageNet layout by max pooling, together with a stride of 4."""
    stride, size = (1, 3) if config.layout == "cifar" else (2, 7)
    shape = (3, config.width, stride, size)
    stem = ConvNorm(*shape) if config.norm == "batch" else ScalarConv(shape, is_last=False)
    return stem, None if config.layout == "cifar" else nn.MaxPool2d(kernel_size=3, stride=2, padding=1)


def _make_tail(config: ModelConfig, channels: int) -> nn.Module:
    """What precedes the average pooling: nothing in the paper's networks."""
    if config.order == "preactivation":
        return NormActivation(channels, config.activation_slope)
    return ScalarBias() if config.norm == "none" else nn.Identity()


def build(config: ModelConfig, seed: int, device: torch.device | None = None, num_classes: int | None = None) -> ResNet:
    """The initialised network on `device`, by default the CPU; `num_classes` defaults to that of the layout."""
    with torch.device("meta"):
        net = ResNet(config, num_classes)
    net.to_empty(device=torch.device("cpu"))
    initialise(net, config, seed)
    return net.move(device or torch.device("cpu"))
