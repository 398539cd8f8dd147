"""The layers of blocks: a convolution with its batch normalisation."""

from torch import Tensor, nn


class ConvNorm(nn.Module):
    """A convolution without bias, followed by batch normalisation but no activation."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, kernel_size: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """`(N, C_in, H, W)` to `(N, C_out, H / stride, W / stride)`."""
        return self.norm(self.conv(x))  # type: ignore[no-any-return]
