"""The memory format of a network: channels last, except for networks on which CPU kernels fail in that format.

With torch 2.14.1 on x86 with AVX2 but without AVX-512, oneDNN's weight gradient of a channels-last 1x1 convolution with a stride
and fewer than 8 input channels hangs or corrupts memory (see `benchmarks/convolutions.py`). Narrow networks with projections or
bottlenecks have such convolutions. The contiguous format works; these networks use it on every CPU, so that a run has the same
format on all of them.
"""

import torch
from torch import nn

_MIN_CHANNELS = 8


def memory_format_of(net: nn.Module, device: torch.device) -> torch.memory_format:
    """The format of the parameters and activations of `net` on this device."""
    is_affected = device.type == "cpu" and any(_is_affected(module) for module in net.modules())
    return torch.contiguous_format if is_affected else torch.channels_last


def _is_affected(module: nn.Module) -> bool:
    return (
        isinstance(module, nn.Conv2d)
        and module.kernel_size == (1, 1)
        and module.stride != (1, 1)
        and module.in_channels < _MIN_CHANNELS
    )
