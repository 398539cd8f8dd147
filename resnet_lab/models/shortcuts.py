"""Shortcut connections: the only difference between a plain and a residual network."""

from torch import Tensor, nn
from torch.nn import functional

from resnet_lab.config.model import ModelConfig
from resnet_lab.config.terms import Padding
from resnet_lab.models.layers import ConvNorm


class Identity(nn.Module):
    """Option A of He et al. 2015, Sec. 4.1: the input, subsampled by the stride and padded with zero channels.

    The paper does not state where channels are added. They go at the `end`, or on `both` sides: half before the input's channels
    and half after (one more for an odd number), as in akamaster/pytorch_resnet_cifar10 and most CIFAR-10 repositories since.
    It has no parameters, so a residual network has the same parameters as its plain counterpart.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, pad: Padding = "end") -> None:
        super().__init__()
        extra = out_channels - in_channels
        self.stride, self.before = stride, extra // 2 if pad == "both" else 0
        self.after = extra - self.before

    def forward(self, x: Tensor) -> Tensor:
        """`(N, C_in, H, W)` to `(N, C_out, H / stride, W / stride)`."""
        if self.stride == 1 and self.after == 0:
            return x
        strided = x[:, :, :: self.stride, :: self.stride]
        return functional.pad(strided, (0, 0, 0, 0, self.before, self.after))


class Projection(ConvNorm):
    """A 1x1 convolution with batch normalisation: the W_s of He et al. 2015, eq. 2."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__(in_channels, out_channels, stride, kernel_size=1)


def make_shortcut(config: ModelConfig, in_channels: int, out_channels: int, stride: int) -> nn.Module | None:
    """The shortcut of a block, None in a network without: option A, B or C of He et al. 2015, Sec. 4.1 and Table 3.

    A: parameter-free everywhere; B: projection where the shape changes, identity elsewhere; C: projection everywhere.
    """
    if not config.has_shortcuts:
        return None
    changes = stride != 1 or in_channels != out_channels
    if config.shortcut == "C" or (config.shortcut == "B" and changes):
        return Projection(in_channels, out_channels, stride)
    return Identity(in_channels, out_channels, stride, config.pad_channels)
