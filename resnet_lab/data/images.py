"""A data set in memory: uint8 images, the split, and the per-pixel mean of the training part."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from resnet_lab.config import DataConfig
from resnet_lab.rng import generator


@dataclass(frozen=True)
class ImageSet:
    """Images `(N, 3, 32, 32)` uint8 and labels `(N,)` int64."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def pick(self, indices: Tensor) -> "ImageSet":
        """The images at these indices, in their order."""
        return ImageSet(self.images.index_select(0, indices), self.labels.index_select(0, indices))

    def to(self, device: torch.device) -> "ImageSet":
        """The same on a device."""
        return ImageSet(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True)
class Data:
    """What a run learns from and is measured on.

    `mean` is float32 `(3, 32, 32)` in 0..1: the per-pixel mean of `train` alone (He et al. 2015, Sec. 4.2).
    `provenance` says where the images come from, with checksums, and goes into the run's environment file.
    """

    train: ImageSet
    validation: ImageSet | None
    test: ImageSet
    mean: Tensor
    classes: tuple[str, ...]
    provenance: dict[str, Any]

    def to(self, device: torch.device) -> "Data":
        """The same on a device."""
        return replace(
            self,
            train=self.train.to(device),
            validation=self.validation and self.validation.to(device),
            test=self.test.to(device),
            mean=self.mean.to(device),
        )


def split(
    training: ImageSet,
    test: ImageSet,
    config: DataConfig,
    seed: int,
    *,
    classes: tuple[str, ...],
    provenance: dict[str, Any],
) -> Data:
    """Divide the training images into a training and a validation part, drawn from the seed; the test images stay apart."""
    order = torch.randperm(len(training), generator=generator(seed, "data/split"))[: config.train_images]
    if config.num_train == len(training):
        order = torch.arange(len(training))  # all images: keep the data set's own order
    train = training.pick(order[config.validation_images :])
    validation = training.pick(order[: config.validation_images]) if config.validation_images else None
    if config.test_images < len(test):
        chosen = torch.randperm(len(test), generator=generator(seed, "data/test"))[: config.test_images]
        test = test.pick(chosen)
    return Data(train, validation, test, per_pixel_mean(train.images), classes, provenance)


def per_pixel_mean(images: Tensor) -> Tensor:
    """The mean image of uint8 `(N, 3, 32, 32)`: float32 `(3, 32, 32)` in 0..1, summed exactly in integers."""
    total = sum(chunk.sum(0, dtype=torch.int64) for chunk in torch.split(images, 10_000))
    assert isinstance(total, Tensor)
    return (total.double() / len(images) / 255).float()


def normalise(images: Tensor, mean: Tensor) -> Tensor:
    """uint8 `(N, 3, H, W)` to float32 in -1..1: divided by 255, per-pixel mean subtracted, no division by a deviation."""
    return images.float().div_(255).sub_(mean)
