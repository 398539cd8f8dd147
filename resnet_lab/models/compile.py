"""Regional compilation: each block becomes a compiled region, and blocks of one shape share one.

A CIFAR network of basic blocks has five distinct ones whatever its depth (three stages, two transitions), others have eight at
most, so the time to compile does not grow with depth. Compiled code is kept on disk between processes.
"""

import logging
import os
from pathlib import Path

import torch
from torch import nn

from resnet_lab.models.blocks import Block

_MAX_SHAPES = 64  # regions of one process; torch stops at 8 and goes on uncompiled


def compile_blocks(net: nn.Module, *, cuda_graphs: bool) -> None:
    """Have every block compiled at its first call, in place; names and values of parameters stay as they are.

    Shapes are static: call a network so compiled with one batch size, and others under `torch.compiler.set_stance`.
    `cuda_graphs` replays each region as one CUDA graph (torch's mode "reduce-overhead").
    """
    _prepare()
    for module in net.modules():
        if isinstance(module, Block):
            module.compile(dynamic=False, mode="reduce-overhead" if cuda_graphs else None)


def why_not(device: torch.device) -> str | None:
    """Why nothing can be compiled for this device here, such as a missing C++ compiler or Triton; None where it works."""
    _prepare()

    def _probe(x: torch.Tensor) -> torch.Tensor:
        return (x * 2 + 1).relu()

    try:
        torch.compile(_probe, dynamic=False)(torch.ones(8, device=device))
    except Exception as error:  # whatever a compiler, its absence or a full disk may raise
        return str(error).strip().partition("\n")[0] or type(error).__name__
    return None


def _prepare() -> None:
    """Settings that torch's compiler reads at its first use."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "resnet-lab" / "compiled"
    cache = caches / torch.backends.cpu.get_cpu_capability()  # code for AVX-512 that is loaded under AVX2 has crashed
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache))
    torch._dynamo.config.recompile_limit = _MAX_SHAPES
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # on a CPU it warns of a missing CUDA
