"""What is added to a block's branch: the one difference between a plain and a residual network."""

from torch import Tensor, nn
from torch.nn import functional

from resnet_lab.config import Kind


class Identity(nn.Module):
    """Option A of He et al. 2015, Sec. 4.1: the input, subsampled where the map shrinks, zero channels appended where it widens.

    It has no parameters, so a residual network has exactly those of its plain counterpart.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride, self.extra_channels = stride, out_channels - in_channels

    def forward(self, x: Tensor) -> Tensor:
        """`(N, C_in, H, W)` to `(N, C_out, H / stride, W / stride)`."""
        if self.stride == 1 and self.extra_channels == 0:
            return x
        strided = x[:, :, :: self.stride, :: self.stride]
        return functional.pad(strided, (0, 0, 0, 0, 0, self.extra_channels))


def make_shortcut(kind: Kind, in_channels: int, out_channels: int, stride: int) -> nn.Module | None:
    """The shortcut of a block: none in a plain network."""
    return Identity(in_channels, out_channels, stride) if kind == "residual" else None
