"""The software and hardware that a run's results may depend on: an allow-list, never the process environment."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from resnet_lab.config.compute import ComputeConfig

_PACKAGES = ("resnet-lab", "torchvision", "numpy", "pillow")


def describe(
    device: torch.device, threads: int, compute: ComputeConfig, provenance: dict[str, Any], processes: int = 1
) -> dict[str, Any]:
    """Versions, device, threads, arithmetic, git commit and data provenance; `compute` as in effect on this machine."""
    return {
        "versions": {"python": platform.python_version(), "torch": str(torch.__version__)}
        | {name: _version(name) for name in _PACKAGES},
        "system": f"{platform.system()} {platform.machine()}",
        "device": device.type,
        "device_name": _device_name(device),
        "cuda": torch.version.cuda if device.type == "cuda" else None,
        "cudnn": torch.backends.cudnn.version() if device.type == "cuda" else None,  # type: ignore[no-untyped-call]
        "tf32": torch.backends.cudnn.allow_tf32 if device.type == "cuda" else None,
        "threads": threads,
        "processes": processes,
        "precision": compute.precision,
        "compiled": compute.compile is True,
        "cuda_graphs": compute.cuda_graphs,
        "replicas": compute.replicas,
        "bn": compute.bn,
        "deterministic": compute.deterministic or device.type == "cpu",
        "git_commit": _git_commit(),
        "data": provenance,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        return models[0].partition(":")[2].strip()
    except (OSError, IndexError):
        return platform.processor() or platform.machine()


def _git_commit() -> str | None:
    """The commit of the checkout that contains this package, with `-dirty` if it has changes; None for an installed wheel."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    try:
        result = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip()
