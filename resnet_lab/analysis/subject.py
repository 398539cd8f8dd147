"""The subject of an analysis: a trained network and its data."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from resnet_lab.data.images import Data, Images
from resnet_lab.data.load import data_root
from resnet_lab.errors import ConfigError
from resnet_lab.record.store import RunFolder
from resnet_lab.rng import generator
from resnet_lab.run.device import Resources
from resnet_lab.run.trained import Trained, load_data, load_trained


@dataclass(frozen=True)
class Subject(Trained):
    """A trained network with its run's data, on the same device. Analyses work on copies of the network."""

    data: Data


def subjects(folders: Sequence[RunFolder], at: int | None, resources: Resources) -> Iterator[Subject]:
    """The networks of these runs at step `at` (0: the initial network; default: the newest checkpoint).

    All networks are loaded at once, the data of each when it is reached. Raises the errors of `load_trained` and `load_data`.
    """
    root = data_root(resources.data_dir)
    networks = load_trained(folders, at, resources)
    return (Subject(**vars(network), data=load_data(network, root)) for network in networks)


def subset(images: Images, num_images: int | None, purpose: str) -> Images:
    """A random subset, determined by `purpose` alone and so the same for all runs; larger subsets contain smaller ones.

    With `num_images` None, all images.
    """
    if num_images is None or num_images >= len(images):
        return images
    order = torch.randperm(len(images), generator=generator(0, f"analysis/{purpose}"))
    return images.pick(order[:num_images].to(images.labels.device))


def require_finite(numbers: Iterable[float], subject: Subject, name: str) -> None:
    """Raise ConfigError, which says that these `name` of the network are not finite, if one of the numbers is not."""
    if not all(map(math.isfinite, numbers)):
        raise ConfigError(
            f"The {name} of {subject.name} at step {subject.step:,} are not finite: analyse another run, or another step (--at)."
        )


def in_float64(values: Tensor) -> Tensor:
    """The values in double precision, moved to the CPU if the device does not support it (MPS)."""
    return (values.cpu() if values.device.type == "mps" else values).double()
