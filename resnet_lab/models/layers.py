"""The layers of networks: convolutions with their batch normalisation."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class ConvNorm(nn.Module):
    """A convolution without bias, followed by batch normalisation but no activation."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, kernel_size: int = 3) -> None:
        super().__init__()
        self.conv = _convolution(in_channels, out_channels, stride, kernel_size)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """`(N, C_in, H, W)` to `(N, C_out, H / stride, W / stride)`."""
        return self.norm(self.conv(x))  # type: ignore[no-any-return]


class ConvBesideNorm(nn.Module):
    """A convolution without bias, and a batch normalisation of `norm_channels` that the block applies at another place.

    Without `norm_channels` there is none.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, kernel_size: int, norm_channels: int | None) -> None:
        super().__init__()
        self.conv = _convolution(in_channels, out_channels, stride, kernel_size)
        self.norm = None if norm_channels is None else nn.BatchNorm2d(norm_channels)

    def forward(self, x: Tensor) -> Tensor:
        """The convolution: `(N, C_in, H, W)` to `(N, C_out, H / stride, W / stride)`."""
        return self.conv(x)  # type: ignore[no-any-return]


class ScalarConv(nn.Module):
    """A convolution with learnable scalars instead of batch normalisation (Zhang et al. 2019, *Fixup*, arXiv 1901.09321).

    y = scale conv(x + bias_before) + bias_after, with the scale in the last layer of a branch only.
    """

    def __init__(self, shape: tuple[int, int, int, int], *, is_last: bool) -> None:
        super().__init__()
        self.conv = _convolution(*shape)
        self.bias_before, self.bias_after = nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(()))
        self.scale = nn.Parameter(torch.ones(())) if is_last else None

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Set the scalars to their initial values: biases 0, scale 1."""
        nn.init.zeros_(self.bias_before)
        nn.init.zeros_(self.bias_after)
        if self.scale is not None:
            nn.init.ones_(self.scale)

    def forward(self, x: Tensor) -> Tensor:
        """`(N, C_in, H, W)` to `(N, C_out, H / stride, W / stride)`."""
        y: Tensor = self.conv(x + self.bias_before)
        return (y if self.scale is None else y * self.scale) + self.bias_after


class ScalarBias(nn.Module):
    """A learnable scalar, added before the head of a network without batch normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(()))

    def reset_parameters(self) -> None:
        """Set the scalar to 0."""
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """`(N, C, H, W)` to the same shape."""
        return x + self.bias


class NormActivation(nn.Module):
    """Batch normalisation and activation, which end a network with pre-activation."""

    def __init__(self, channels: int, slope: float) -> None:
        super().__init__()
        self.norm, self.slope = nn.BatchNorm2d(channels), slope

    def forward(self, x: Tensor) -> Tensor:
        """`(N, C, H, W)` to the same shape."""
        return activation(self.norm(x), self.slope)


def activation(x: Tensor, slope: float) -> Tensor:
    """ReLU, or leaky ReLU with a slope above 0 for negative values; in place."""
    return functional.relu(x, inplace=True) if slope == 0 else functional.leaky_relu(x, slope, inplace=True)


def _convolution(in_channels: int, out_channels: int, stride: int, kernel_size: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=False)
