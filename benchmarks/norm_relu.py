"""Question: can PyTorch compute batch normalisation and ReLU in one pass over the activations on a CPU?

For the three stages of a CIFAR network, with 128 images and one thread: the time of BN followed by ReLU, forward and backward;
eager, as in the networks; compiled by inductor with torch's BN; and compiled with BN written out as means. PyTorch's CPU
kernels for training do not fuse BN with a ReLU.

    python benchmarks/norm_relu.py
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable

import torch
from common import print_table
from torch import Tensor
from torch.nn import functional

Layer = Callable[[Tensor, Tensor, Tensor], Tensor]
STAGES = ((16, 32), (32, 16), (64, 8))  # channels, height and width


def with_torch(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    """PyTorch's batch normalisation, followed by an in-place ReLU."""
    return functional.relu(functional.batch_norm(x, None, None, gamma, beta, training=True), inplace=True)


def written_out(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    """The same function, written with means over images and positions."""
    mean = x.mean((0, 2, 3), keepdim=True)
    variance = (x - mean).square().mean((0, 2, 3), keepdim=True)
    scale = gamma.view(1, -1, 1, 1) * torch.rsqrt(variance + 1e-5)
    return functional.relu((x - mean) * scale + beta.view(1, -1, 1, 1))


def seconds(layer: Layer, channels: int, size: int, repeats: int) -> float:
    """Median time of forward and backward pass, in seconds."""
    x = torch.randn(128, channels, size, size).contiguous(memory_format=torch.channels_last).requires_grad_()
    gamma, beta = (torch.ones(channels, requires_grad=True) for _ in range(2))
    slope = torch.randn_like(x)
    taken = []
    for _ in range(repeats + 3):
        begin = time.perf_counter()
        torch.autograd.grad(layer(x, gamma, beta), (x, gamma, beta), slope)
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken[3:])


def main() -> None:
    """Measure the variants for each stage and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=50)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    layers = {
        "eager": with_torch,
        "compiled": torch.compile(with_torch, dynamic=False),
        "compiled, written out": torch.compile(written_out, dynamic=False),
    }
    rows = []
    for channels, size in STAGES:
        times = [seconds(layer, channels, size, args.repeats) for layer in layers.values()]
        rows.append((f"{channels} x {size} x {size}", *(f"{1e3 * median:.2f} ({times[0] / median:.2f})" for median in times)))
    print_table(("activations", *(f"{name}, ms (speed)" for name in layers)), rows)


if __name__ == "__main__":
    main()
