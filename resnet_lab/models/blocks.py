"""The building block of He et al. 2015, Fig. 2: two 3x3 convolutions, and a shortcut or none."""

from torch import Tensor, nn
from torch.nn import functional


class ConvNorm(nn.Module):
    """A convolution without bias, then batch normalisation; the activation is the caller's."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, kernel_size: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """`(N, C_in, H, W)` to `(N, C_out, H / stride, W / stride)`."""
        return self.norm(self.conv(x))  # type: ignore[no-any-return]


class BasicBlock(nn.Module):
    """y = relu(F(x) + shortcut(x)); without a shortcut y = relu(F(x)), the same two layers of a plain network."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, shortcut: nn.Module | None) -> None:
        super().__init__()
        self.conv1 = ConvNorm(in_channels, out_channels, stride)
        self.conv2 = ConvNorm(out_channels, out_channels)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """`(N, C_in, H, W)` to `(N, C_out, H / stride, W / stride)`."""
        y = self.conv2(functional.relu(self.conv1(x), inplace=True))
        if self.shortcut is not None:
            y += self.shortcut(x)
        return functional.relu(y, inplace=True)
