"""Loading of a run's network from a checkpoint, and of the data that it was trained on."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from resnet_lab.config.schema import DataConfig, RunConfig
from resnet_lab.data.images import Data
from resnet_lab.data.load import load, size_change
from resnet_lab.errors import CheckpointError, DataError
from resnet_lab.models.resnet import ResNet, build
from resnet_lab.record import checkpoint
from resnet_lab.record.digests import RecordedImages
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
    """The networks of these runs at step `at`, by default at their newest checkpoint; 0 is the initial network.

    Raises CheckpointError if a run has no such checkpoint or it cannot be loaded, ConfigError, DiskError.
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
    """The run's data, loaded from the folder `root` to the network's device.

    Raises ConfigError, and DataError, also if a folder's images are not those that the run was trained on.
    """
    digests = network.folder.read_image_digests()
    recorded = digests and RecordedImages(network.folder.path.parent, digests)  # shared by all runs of the study
    data = _data(network.config.data, root, network.config.seed, network.device, recorded)
    if (changed := size_change(recorded, data.digests)) is not None:
        raise DataError(f"{changed}: use --data-dir to name the folder with the original files.")
    return data


def _restore(net: ResNet, folder: RunFolder, at: int | None) -> int:
    """Load a checkpoint's weights into a network, and return its step."""
    restore = functools.partial(load_network, net)
    state = checkpoint.load_newest(folder, restore)[0] if at is None else checkpoint.load(folder, at, restore)
    if state is None and folder.ending() is not None:
        raise CheckpointError(
            f"{folder.path} has ended, but its checkpoints are not here: copy its folder {folder.checkpoints.name} from where it "
            "was trained, train it again with another --study NAME, or use --at 0 for its initial network."
        )
    if state is None:
        raise CheckpointError(f"{folder.path} has no checkpoint yet: train it first, or use --at 0 for its initial network.")
    step: int = state["step"]
    return step


@functools.lru_cache(maxsize=2)  # runs of one seed share their data
def _data(config: DataConfig, root: Path, seed: int, device: torch.device, recorded: RecordedImages | None) -> Data:
    return load(config, root, seed, recorded).to(device)
