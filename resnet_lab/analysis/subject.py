"""What an analysis looks at: a run's network at one of its checkpoints, and the run's data."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from resnet_lab.compute import set_up
from resnet_lab.config import DataConfig, RunConfig
from resnet_lab.data.images import Data, Images
from resnet_lab.data.load import data_root, load
from resnet_lab.errors import CheckpointError, DataError
from resnet_lab.experiment import Resources, other_sizes
from resnet_lab.models.resnet import ResNet, build
from resnet_lab.record import checkpoint
from resnet_lab.record.store import RunFolder
from resnet_lab.records import Begun
from resnet_lab.rng import generator
from resnet_lab.train.world import pick_device


@dataclass(frozen=True)
class Subject:
    """A run's network after `step` updates, in training mode on `device`; analyses work on copies of it."""

    folder: RunFolder
    config: RunConfig
    step: int
    net: ResNet
    device: torch.device
    data_dir: Path

    @property
    def name(self) -> str:
        """The run's name, such as `plain-56-s0`."""
        return self.folder.path.name

    @property
    def data(self) -> Data:
        """The run's data, on its device. Raises DataError, also where the images of a folder are not the run's."""
        digests = self.folder.image_digests
        begun = digests and Begun(self.folder.path.parent, digests)  # the study, whose other runs have them too
        data = _data(self.config.data, self.data_dir, self.config.seed, self.device, begun)
        if (changed := other_sizes(begun, data.digests)) is not None:
            raise DataError(f"{changed}: name the folder with those files with --data-dir.")
        return data


def subjects(folders: Sequence[RunFolder], at: int | None, resources: Resources) -> list[Subject]:
    """The networks of these runs at step `at`, at their newest checkpoint if not given; 0 is the initial network.

    All of them are loaded before anything is analysed. Raises CheckpointError where one has no such checkpoint that can be
    loaded, ConfigError, DiskError.
    """
    device = pick_device(resources.device)
    root = data_root(resources.data_dir)
    found = []
    for folder in folders:
        config = folder.config()
        set_up(config.compute.model_copy(update={"cuda_graphs": False}), device, resources.threads)
        state = None if at == 0 else _state(folder, at)
        net = build(config.model, config.seed, num_classes=config.data.num_classes)
        if state is not None:
            net.load_state_dict(state["net"])
        found.append(Subject(folder, config, state["step"] if state else 0, net.move(device), device, root))
    return found


def some(images: Images, num_images: int | None, purpose: str) -> Images:
    """A subset drawn from the purpose alone, so equal for all runs; a larger one contains the smaller. None: all images."""
    if num_images is None or num_images >= len(images):
        return images
    order = torch.randperm(len(images), generator=generator(0, f"analysis/{purpose}"))
    return images.pick(order[:num_images].to(images.labels.device))


def in_float64(values: Tensor) -> Tensor:
    """The values in double precision, on the CPU where their device has none (MPS)."""
    return (values.cpu() if values.device.type == "mps" else values).double()


def _state(folder: RunFolder, at: int | None) -> dict[str, Any]:
    if at is not None:
        return checkpoint.load(folder, at)
    state, _ = checkpoint.load_newest(folder)
    if state is None:
        raise CheckpointError(f"{folder.path} has no checkpoint yet: train it first, or look at its initial network with --at 0.")
    return state


@functools.lru_cache(maxsize=2)
def _data(config: DataConfig, data_dir: Path, seed: int, device: torch.device, begun: Begun | None) -> Data:
    return load(config, data_dir, seed, begun).to(device)
