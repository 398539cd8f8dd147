"""Batch normalisation with statistics over the batches of several processes; torch's SyncBatchNorm needs CUDA.

Ioffe and Szegedy 2015, *Batch Normalization*, arXiv 1502.03167, Sec. 3.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Gather = Callable[[Tensor], Tensor]  # the rows of all processes, from this process's row


def synchronise(net: nn.Module, gather: Gather) -> None:
    """Let every batch normalisation of `net` use the statistics of all processes, which compute equal numbers of images."""
    for module in net.modules():
        norm = getattr(module, "norm", None)
        if isinstance(norm, nn.BatchNorm2d):
            module.norm = SyncNorm(norm, gather)


class SyncNorm(nn.BatchNorm2d):
    """A BatchNorm2d, with its parameters and buffers, whose statistics in training are over the images of all processes."""

    def __init__(self, norm: nn.BatchNorm2d, gather: Gather) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum)
        self.weight, self.bias = norm.weight, norm.bias
        self.running_mean, self.running_var = norm.running_mean, norm.running_var
        self.num_batches_tracked = norm.num_batches_tracked
        self._gather = gather
        self._normalise = torch.compiler.disable(_Normalise.apply)  # type: ignore[no-untyped-call]  # exchanges are not compiled

    def forward(self, x: Tensor) -> Tensor:
        """`(N, C, H, W)` to the same shape."""
        if not self.training:
            return super().forward(x)
        y, mean, variance, count = self._normalise(x, self.weight, self.bias, self.eps, self._gather)
        with torch.no_grad():
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.momentum is not None
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked += 1
        return y  # type: ignore[no-any-return]


class _Normalise(torch.autograd.Function):
    """The normalisation and its gradient, with one exchange in each direction. Also gives mean, variance and number of values."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float, gather: Gather
    ) -> tuple[Tensor, Tensor, Tensor, int]:
        """See the class; `x` is `(N, C, H, W)`."""
        variance, mean = torch.var_mean(x.to(weight.dtype), (0, 2, 3), correction=0)
        rows = gather(torch.stack([mean, variance]))
        mean = rows[:, 0].mean(0)
        variance = (rows[:, 1] + (rows[:, 0] - mean).square()).mean(0)
        scale = torch.rsqrt(variance + eps)
        normalised = (x.to(weight.dtype) - _channels(mean)) * _channels(scale)
        ctx.save_for_backward(normalised, weight, scale)
        ctx.gather, ctx.input_type = gather, x.dtype
        ctx.mark_non_differentiable(mean, variance)
        y = torch.addcmul(_channels(bias), normalised, _channels(weight)).to(x.dtype)
        return y, mean, variance, len(rows) * x.numel() // x.shape[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor, None, None]:
        """The gradients of input, weight and bias; those of weight and bias are of this process's images alone."""
        normalised, weight, scale = ctx.saved_tensors
        gradient = gradient.to(weight.dtype)
        of_bias, of_weight = gradient.sum((0, 2, 3)), (gradient * normalised).sum((0, 2, 3))
        rows = ctx.gather(torch.stack([of_bias, of_weight]))
        means = rows.sum(0) / (len(rows) * gradient.numel() / gradient.shape[1])
        of_input = gradient - _channels(means[0]) - normalised * _channels(means[1])
        return (of_input * _channels(weight * scale)).to(ctx.input_type), of_weight, of_bias, None, None


def _channels(values: Tensor) -> Tensor:
    """A value per channel `(C,)` as `(1, C, 1, 1)`."""
    return values.view(1, -1, 1, 1)
