"""Which memory format a network computes in: channels last, but for networks that a CPU's kernels fail at in that format.

The fault was seen with torch 2.14.1 and is mapped by `benchmarks/convolutions.py`. On x86 with AVX2 and without AVX-512, oneDNN's
weight gradient of a channels-last 1x1 convolution with a stride and fewer than 8 input channels hangs or corrupts memory. Narrow
networks with projections or bottleneck blocks have such convolutions. The contiguous format is right. Every CPU uses it for these
networks, so that a run uses the same format on all of them.
"""

import torch
from torch import nn

_FEWEST_CHANNELS = 8


def memory_format_of(net: nn.Module, device: torch.device) -> torch.memory_format:
    """The format for the parameters of `net` and for what it computes on this device."""
    at_fault = device.type == "cpu" and any(_is_at_fault(module) for module in net.modules())
    return torch.contiguous_format if at_fault else torch.channels_last


def _is_at_fault(module: nn.Module) -> bool:
    return (
        isinstance(module, nn.Conv2d)
        and module.kernel_size == (1, 1)
        and module.stride != (1, 1)
        and module.in_channels < _FEWEST_CHANNELS
    )
