"""Regional compilation: each block is compiled on its own, and blocks of the same shape share compiled code.

A CIFAR network of basic blocks has five distinct shapes at any depth (three stages, two transitions), other networks have at most
eight, so compile time does not grow with depth. Compiled code is cached on disk.
"""

import logging
import os
from pathlib import Path

import torch
from torch import nn

from resnet_lab.models.blocks import Block

_MAX_SHAPES = 64  # compiled regions per process; torch's default is 8, beyond which it runs uncompiled


def compile_blocks(net: nn.Module, *, cuda_graphs: bool) -> None:
    """Compile every block in place, at its first call; names and values of parameters do not change.

    Shapes are static: use one batch size, and `torch.compiler.set_stance("force_eager")` for any other.
    `cuda_graphs` replays each region as a CUDA graph (torch's mode "reduce-overhead").
    """
    _prepare()
    for module in net.modules():
        if isinstance(module, Block):
            module.compile(dynamic=False, mode="reduce-overhead" if cuda_graphs else None)


def compile_problem(device: torch.device) -> str | None:
    """Why compilation fails for this device, such as a missing C++ compiler or Triton; None if it works."""
    _prepare()

    def _probe(x: torch.Tensor) -> torch.Tensor:
        return (x * 2 + 1).relu()

    try:
        torch.compile(_probe, dynamic=False)(torch.ones(8, device=device))
    except Exception as error:  # compilers, their absence and full disks raise many types
        return str(error).strip().partition("\n")[0] or type(error).__name__
    return None


def _prepare() -> None:
    """Configure torch's compiler, which reads these settings at its first use."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "resnet-lab" / "compiled"
    cache = caches / torch.backends.cpu.get_cpu_capability()  # AVX-512 code loaded on an AVX2 machine crashed
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache))
    torch._dynamo.config.recompile_limit = _MAX_SHAPES
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it warns of missing CUDA on CPU-only machines
