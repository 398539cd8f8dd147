"""The device, CPU threads and floating-point modes of a process."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from resnet_lab.errors import ConfigError


@dataclass(frozen=True)
class Resources:
    """A run's data folder, device and CPU threads; they are not part of its identity. `threads=None` is torch's default."""

    data_dir: Path | None = None
    device: str = "auto"
    threads: int | None = None


def pick_device(name: str) -> torch.device:
    """The device with this name; `auto` is cuda, else mps, else cpu. Raises ConfigError if it is not available."""
    available = ["cpu"]
    if torch.backends.mps.is_available():
        available.insert(0, "mps")
    if torch.cuda.is_available():
        available = ["cuda", *(f"cuda:{index}" for index in range(torch.cuda.device_count())), *available]
    if name == "auto":
        return torch.device(available[0])
    if name not in available:
        raise ConfigError(f"Device {name!r} is not available; --device accepts auto, {', '.join(available)}.")
    return torch.device(name)


def set_arithmetic(*, deterministic: bool) -> None:
    """Use IEEE fp32 on CUDA, instead of TF32 with its 10-bit mantissa, torch's default for convolutions.

    On CUDA, `deterministic` allows only deterministic algorithms; otherwise cuDNN times several and uses the fastest. On a CPU
    all algorithms in use are deterministic.
    """
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.benchmark = not deterministic
    torch.backends.cudnn.deterministic = deterministic
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS is initialised
    torch.use_deterministic_algorithms(deterministic)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # for debugging; costs a pass per tensor


def set_threads(num_threads: int | None) -> int:
    """Set the number of CPU threads, or keep torch's default; returns the number in effect, which CPU results depend on.

    One inter-op thread is enough, since layers run one after another; more would oversubscribe the cores.
    """
    if num_threads is not None:
        torch.set_num_threads(num_threads)
    with suppress(RuntimeError):  # can be set only once per process, before any parallel work
        torch.set_num_interop_threads(1)
    return torch.get_num_threads()


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished all queued work; returns immediately on a CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
