"""What is added to a block's branch: the one difference between a plain and a residual network."""

from torch import Tensor, nn
from torch.nn import functional

from resnet_lab.config.terms import Kind, Padding, Shortcut
from resnet_lab.models.blocks import ConvNorm


class Identity(nn.Module):
    """Option A of He et al. 2015, Sec. 4.1: the input, subsampled where the map shrinks, zero channels added where it widens.

    The paper does not say where: at the `end`, or on `both` sides, half before the input's and half after (the larger half of an
    odd number), as most repositories for CIFAR-10 have it since akamaster/pytorch_resnet_cifar10. There are no parameters, so a
    residual network has exactly those of its plain counterpart.
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
    """A 1x1 convolution with batch normalisation (He et al. 2015, eq. 2): the input, mapped to the branch's channels by W_s."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__(in_channels, out_channels, stride, kernel_size=1)


def make_shortcut(
    kind: Kind, option: Shortcut, in_channels: int, out_channels: int, stride: int, pad: Padding = "end"
) -> nn.Module | None:
    """The shortcut of a block, none in a plain network: options A, B and C of He et al. 2015, Sec. 4.1 and Table 3.

    A: parameter-free everywhere; B: a projection where the shape changes, else the identity; C: a projection everywhere.
    """
    if kind == "plain":
        return None
    changes = stride != 1 or in_channels != out_channels
    if option == "C" or (option == "B" and changes):
        return Projection(in_channels, out_channels, stride)
    return Identity(in_channels, out_channels, stride, pad)
