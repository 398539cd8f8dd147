"""Where a run computes: its device and its CPU threads."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from resnet_lab.errors import ConfigError


@dataclass(frozen=True)
class Resources:
    """Where a run finds its data and computes; none of it is part of the run's identity."""

    data_dir: Path | None = None
    device: str = "auto"
    threads: int | None = None


def pick_device(name: str) -> torch.device:
    """The device of a name; `auto` takes cuda, else mps, else cpu. Raises ConfigError for one that is not here."""
    available = ["cpu"]
    if torch.backends.mps.is_available():
        available.insert(0, "mps")
    if torch.cuda.is_available():
        available = ["cuda", *(f"cuda:{index}" for index in range(torch.cuda.device_count())), *available]
    if name == "auto":
        return torch.device(available[0])
    if name not in available:
        raise ConfigError(f"There is no device {name!r} here; --device takes auto or one of {', '.join(available)}.")
    return torch.device(name)


def set_arithmetic(*, deterministic: bool) -> None:
    """Make fp32 mean IEEE fp32 on CUDA as well, where torch's convolutions would else round to TF32's 10 bits.

    There `deterministic` allows only algorithms whose results repeat bit for bit; otherwise cuDNN tries several and takes the
    fastest. On a CPU every algorithm used repeats.
    """
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.benchmark = not deterministic
    torch.backends.cudnn.deterministic = deterministic
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
    torch.use_deterministic_algorithms(deterministic)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a debugging aid, a pass each


def set_threads(num_threads: int | None) -> int:
    """Use this many CPU threads, or torch's own choice; returns the number in force, on which CPU results depend bit by bit.

    Networks are chains, with nothing to run side by side: one inter-op thread is enough, and more would crowd the cores.
    """
    if num_threads is not None:
        torch.set_num_threads(num_threads)
    with suppress(RuntimeError):  # can be set once in a process, before its first parallel work
        torch.set_num_interop_threads(1)
    return torch.get_num_threads()


def wait(device: torch.device) -> None:
    """Return when the device has done all it was given; the CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
