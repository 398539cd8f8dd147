"""Data sets split into training, validation and test images, with the per-pixel mean of the training images."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar

import torch
from torch import Tensor

from resnet_lab.config.schema import DataConfig
from resnet_lab.record.digests import Digests
from resnet_lab.rng import generator


class Images(ABC):
    """Images of one size with their labels `(N,)` int64, in memory or in a folder."""

    labels: Tensor
    size: int

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def pick(self, indices: Tensor) -> Self:
        """The images at these indices, in their order."""

    @abstractmethod
    def to(self, device: torch.device) -> Self:
        """A copy on a device."""

    @abstractmethod
    def chunks(self, batch_size: int, views: int = 1, which: slice = slice(None)) -> Iterator[tuple[Tensor, Tensor]]:
        """All images in order, in batches: uint8 `(N, 3, S, S)` and labels `(N,)`; or only the batches of a slice of them."""


AnyImages = TypeVar("AnyImages", bound=Images)


@dataclass(frozen=True)
class ImageSet(Images):
    """Images in memory, `(N, 3, S, S)` uint8."""

    images: Tensor
    labels: Tensor

    @property
    def size(self) -> int:  # type: ignore[override]  # read only, as a frozen field is
        """Height and width in pixels."""
        return self.images.shape[-1]

    def pick(self, indices: Tensor) -> "ImageSet":
        """The images at these indices, in their order."""
        return ImageSet(self.images.index_select(0, indices), self.labels.index_select(0, indices))

    def to(self, device: torch.device) -> "ImageSet":
        """A copy on a device."""
        return ImageSet(self.images.to(device), self.labels.to(device))

    def chunks(self, batch_size: int, views: int = 1, which: slice = slice(None)) -> Iterator[tuple[Tensor, Tensor]]:
        """All images in order, in batches: uint8 `(N, 3, S, S)` and labels `(N,)`; or only the batches of a slice of them."""
        assert views == 1, "ten crops require images larger than the network's input"
        yield from zip(torch.split(self.images, batch_size)[which], torch.split(self.labels, batch_size)[which], strict=True)


@dataclass(frozen=True)
class Data:
    """A run's training, validation and test images.

    `mean` is float32 `(3, S, S)` in 0..1: the per-pixel mean of `train` only (He et al. 2015, Sec. 4.2).
    `components` `(3, 3)`: for a folder of images, the principal components along which training shifts colours.
    `digests` identify a folder's images. `provenance`: the source of the images and checksums, for the run's environment file.
    """

    train: Images
    validation: Images | None
    test: Images
    mean: Tensor
    classes: tuple[str, ...]
    provenance: dict[str, Any]
    components: Tensor | None = None
    digests: Digests | None = None

    def to(self, device: torch.device) -> "Data":
        """A copy on a device."""
        return replace(
            self,
            train=self.train.to(device),
            validation=self.validation and self.validation.to(device),
            test=self.test.to(device),
            mean=self.mean.to(device),
            components=None if self.components is None else self.components.to(device),
        )


def split(training: AnyImages, test: AnyImages, config: DataConfig, seed: int) -> tuple[AnyImages, AnyImages | None, AnyImages]:
    """Training, validation and test images; the seed chooses the validation images among the training images."""
    order = torch.randperm(len(training), generator=generator(seed, "data/split"))[: config.train_images]
    if config.num_train == len(training):
        order = torch.arange(len(training))  # all images are used for training: keep the data set's order
    train = training.pick(order[config.validation_images :])
    validation = training.pick(order[: config.validation_images]) if config.validation_images else None
    if config.test_images < len(test):
        chosen = torch.randperm(len(test), generator=generator(seed, "data/test"))[: config.test_images]
        test = test.pick(chosen)
    return train, validation, test


def per_pixel_mean(images: Tensor) -> Tensor:
    """The mean image of uint8 `(N, 3, S, S)`: float32 `(3, S, S)` in 0..1, summed exactly in integers."""
    total = sum(chunk.sum(0, dtype=torch.int64) for chunk in torch.split(images, 10_000))
    assert isinstance(total, Tensor)
    return (total.double() / len(images) / 255).float()


def normalise(images: Tensor, mean: Tensor) -> Tensor:
    """uint8 `(..., 3, H, W)` to float32 in -1..1: divided by 255, minus the per-pixel mean; not divided by the deviation."""
    return images.float().div_(255).sub_(mean)
