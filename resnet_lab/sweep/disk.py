"""The disk space that a sweep needs: checkpoints, from the sizes of the networks, and records."""

import functools
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from resnet_lab.config.model import ModelConfig
from resnet_lab.config.schema import RunConfig
from resnet_lab.config.terms import Optimizer
from resnet_lab.models.resnet import ResNet
from resnet_lab.record.checkpoint import NUM_KEPT
from resnet_lab.record.store import RunFolder
from resnet_lab.text import in_bytes
from resnet_lab.train.optimizers import moments_like

_TENSOR_BYTES = 330  # in a file, beside the values of each tensor: names and padding
_RECORD_BYTES, _EVALUATION_BYTES = 160, 340
_OTHER_BYTES = 100_000  # of a run: config, environment, events, output


@dataclass(frozen=True)
class DiskSpace:
    """The bytes that a sweep still has to write and keep, and those that are free."""

    needed: int
    free: int

    def shortage(self, folder: Path) -> str | None:
        """A message if the space is too small; None if the sweep fits."""
        if self.needed <= self.free:
            return None
        return (
            f"The sweep needs about {in_bytes(self.needed)} of disk space in {folder}, where {in_bytes(self.free)} are free. "
            "Free disk space or choose another folder with --runs."
        )


def free_bytes(folder: Path) -> int:
    """The free space of the file system that holds a folder, or will hold it."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).free


def disk_space(
    runs: Sequence[tuple[RunConfig, RunFolder]], num_jobs: int, study_path: Path, free: Callable[[Path], int] = free_bytes
) -> DiskSpace:
    """Estimate the space for runs that have not ended, each less what it occupies already.

    Beside the checkpoints that are kept, each of the runs at once has one that is being written.
    """
    kept = (_kept_bytes(config) - _used_bytes(folder) for config, folder in runs)
    written = sorted((checkpoint_bytes(config) for config, _ in runs), reverse=True)
    return DiskSpace(sum(max(num_bytes, 0) for num_bytes in kept) + sum(written[:num_jobs]), free(study_path))


def checkpoint_bytes(config: RunConfig) -> int:
    """The approximate size of a checkpoint: weights and buffers, and the optimiser's tensors for each weight."""
    return _checkpoint_bytes(config.model, config.data.num_classes, config.recipe.optimizer)


@functools.cache
def _checkpoint_bytes(model: ModelConfig, num_classes: int, optimizer: Optimizer) -> int:
    with torch.device("meta"):
        net = ResNet(model, num_classes)
    tensors = list(net.state_dict().values())
    for parameter in net.parameters():
        tensors += moments_like(optimizer, parameter).values()
    return sum(tensor.numel() * tensor.element_size() + _TENSOR_BYTES for tensor in tensors)


def _kept_bytes(config: RunConfig) -> int:
    """What a run's folder occupies in the end."""
    steps = config.recipe.steps
    num_checkpoints = NUM_KEPT + len(config.log.keep)
    records = steps // config.log.every * _RECORD_BYTES + steps // config.evaluation.every * _EVALUATION_BYTES
    return num_checkpoints * checkpoint_bytes(config) + records + _OTHER_BYTES


def _used_bytes(folder: RunFolder) -> int:
    return sum(path.stat().st_size for path in folder.path.rglob("*") if path.is_file()) if folder.path.is_dir() else 0
