"""The CIFAR networks of He et al. 2015, Sec. 4.2: a stem, three stages of n blocks, a head; 6n+2 weighted layers."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from resnet_lab.config import ModelConfig
from resnet_lab.models.blocks import BasicBlock, ConvNorm
from resnet_lab.models.shortcuts import make_shortcut
from resnet_lab.rng import generator

NUM_STAGES = 3


class ResNet(nn.Module):
    """A plain or residual network; the two differ in their blocks' shortcuts alone, and with option A not in their parameters."""

    def __init__(self, config: ModelConfig, num_classes: int = 10) -> None:
        super().__init__()
        blocks_per_stage = (config.depth - 2) // 6
        channels = config.width
        self.stem = ConvNorm(3, channels)
        stages = []
        for stage in range(NUM_STAGES):
            width = config.width * 2**stage
            blocks = []
            for block in range(blocks_per_stage):
                stride = 2 if stage > 0 and block == 0 else 1
                shortcut = make_shortcut(config.kind, config.shortcut, channels, width, stride)
                blocks.append(BasicBlock(channels, width, stride, shortcut))
                channels = width
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images `(N, 3, 32, 32)` to logits `(N, num_classes)`."""
        x = functional.relu(self.stem(x), inplace=True)
        x = self.stages(x)
        return self.head(x.mean(dim=(2, 3)))  # type: ignore[no-any-return]


def build(config: ModelConfig, seed: int, device: torch.device | None = None) -> ResNet:
    """The initialised network on `device`, in channels-last memory format."""
    with torch.device("meta"):
        net = ResNet(config)
    net.to_empty(device=torch.device("cpu"))
    initialise(net, seed)
    return net.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


@torch.no_grad()
def initialise(net: nn.Module, seed: int) -> None:
    """He initialisation of convolutions (arXiv 1502.01852, eq. 10): zero mean, variance 2 / fan-in; BN starts as the identity.

    The final layer is drawn uniformly from +-1 / sqrt(fan-in) with zero biases, as in fb.resnet.torch; the paper does not say.
    Every tensor comes from a generator keyed by its own name, so members of a matched pair start from equal values.
    """
    for name, module in net.named_modules():
        source = generator(seed, f"init/{name}.weight")
        if isinstance(module, nn.Conv2d):
            module.weight.copy_(torch.randn(module.weight.shape, generator=source) * (2 / module.weight[0].numel()) ** 0.5)
        elif isinstance(module, nn.Linear):
            uniform = torch.rand(module.weight.shape, generator=source) * 2 - 1
            module.weight.copy_(uniform / module.in_features**0.5)
            module.bias.zero_()
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
