"""A run's network at one of its checkpoints, and the data that it was trained on."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from resnet_lab.config.schema import DataConfig, RunConfig
from resnet_lab.data.images import Data
from resnet_lab.data.load import load, other_sizes
from resnet_lab.errors import CheckpointError, DataError
from resnet_lab.models.resnet import ResNet, build
from resnet_lab.record import checkpoint
from resnet_lab.record.digests import Begun
from resnet_lab.record.store import RunFolder
from resnet_lab.run.compute import set_up
from resnet_lab.run.device import Resources, pick_device
from resnet_lab.train.state import load_network


@dataclass(frozen=True)
class Trained:
    """A run's network after `step` updates, in training mode on `device`."""

    folder: RunFolder
    config: RunConfig
    step: int
    net: ResNet
    device: torch.device

    @property
    def name(self) -> str:
        """The run's name, such as `plain-56-s0`."""
        return self.folder.path.name


def load_trained(folders: Sequence[RunFolder], at: int | None, resources: Resources) -> list[Trained]:
    """The networks of these runs at step `at`, at their newest checkpoint if not given; 0 is the initial network.

    Raises CheckpointError where one has no such checkpoint that can be loaded, ConfigError, DiskError.
    """
    device = pick_device(resources.device)
    networks = []
    for folder in folders:
        config = folder.config()
        set_up(config.compute.model_copy(update={"cuda_graphs": False}), device, resources.threads)
        net = build(config.model, config.seed, num_classes=config.data.num_classes)
        step = 0 if at == 0 else _restore(net, folder, at)
        networks.append(Trained(folder, config, step, net.move(device), device))
    return networks


def load_data(network: Trained, root: Path) -> Data:
    """The run's data, on the network's device; `root` is where it is looked for.

    Raises ConfigError, and DataError, also where the images of a folder are not the run's.
    """
    digests = network.folder.read_image_digests()
    begun = digests and Begun(network.folder.path.parent, digests)  # the study, whose other runs have them too
    data = _data(network.config.data, root, network.config.seed, network.device, begun)
    if (changed := other_sizes(begun, data.digests)) is not None:
        raise DataError(f"{changed}: name the folder with those files with --data-dir.")
    return data


def _restore(net: ResNet, folder: RunFolder, at: int | None) -> int:
    """Give a network the weights of a checkpoint, and return its step."""
    restore = functools.partial(load_network, net)
    state = checkpoint.load_newest(folder, restore)[0] if at is None else checkpoint.load(folder, at, restore)
    if state is None:
        raise CheckpointError(f"{folder.path} has no checkpoint yet: train it first, or look at its initial network with --at 0.")
    step: int = state["step"]
    return step


@functools.lru_cache(maxsize=2)  # runs of one seed share their data
def _data(config: DataConfig, root: Path, seed: int, device: torch.device, begun: Begun | None) -> Data:
    return load(config, root, seed, begun).to(device)
