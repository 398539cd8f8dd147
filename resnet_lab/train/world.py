"""Where a run computes: its device and its CPU threads."""

import torch

from resnet_lab.errors import ConfigError


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


def forbid_tf32() -> None:
    """Make fp32 mean IEEE fp32 on CUDA as well, where torch's convolutions would else round to TF32's 10 bits."""
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def set_threads(num_threads: int | None) -> int:
    """Use this many CPU threads, or torch's own choice; returns the number in force, on which CPU results depend bit by bit."""
    if num_threads is not None:
        torch.set_num_threads(num_threads)
    return torch.get_num_threads()
