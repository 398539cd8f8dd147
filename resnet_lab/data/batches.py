"""The mini-batch of a step as a function of (seed, step): shuffled without replacement, augmented, on the data's device."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from resnet_lab.data import augment
from resnet_lab.data.images import ImageSet, normalise
from resnet_lab.rng import generator


class Batches:
    """`batches(step)` gives images `(N, 3, 32, 32)` float32 and labels `(N,)`.

    Every epoch is a permutation of all images; its last batch is short where the batch size does not divide their number.
    """

    def __init__(self, train: ImageSet, mean: Tensor, batch_size: int, seed: int) -> None:
        self._train, self._mean, self._batch_size, self._seed = train, mean, batch_size, seed
        self.epoch_steps = math.ceil(len(train) / batch_size)
        self._epoch = -1
        self._order = torch.empty(0, dtype=torch.int64)

    def indices(self, step: int) -> Tensor:
        """Which training images step `step` sees, `(N,)` int64."""
        epoch, position = divmod(step, self.epoch_steps)
        if epoch != self._epoch:
            self._order = torch.randperm(len(self._train), generator=generator(self._seed, "data/order", epoch))
            self._epoch = epoch
        return self._order[position * self._batch_size : (position + 1) * self._batch_size]

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """Images `(N, 3, 32, 32)`, augmented and normalised, and labels of a step."""
        indices = self.indices(step)
        device = self._train.images.device
        drawn = augment.draw(generator(self._seed, "data/augment", step), len(indices))
        at_once = device.type == "cuda"  # elsewhere a copy that is not waited for may read memory that is free again
        drawn = augment.Augmentation(*(part.to(device, non_blocking=at_once) for part in drawn))
        batch = self._train.pick(indices.to(device, non_blocking=at_once))
        return augment.apply(normalise(batch.images, self._mean), drawn), batch.labels


def clean_batches(images: ImageSet, mean: Tensor, batch_size: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
    """All images in order, normalised and not augmented, channels last: what a network is evaluated on.

    Batches are as large as pays if not given: on a CPU a batch's activations should stay in its cache, elsewhere they fill the
    device.
    """
    batch_size = batch_size or (128 if images.images.device.type == "cpu" else 1_000)
    for chunk, labels in zip(torch.split(images.images, batch_size), torch.split(images.labels, batch_size), strict=True):
        yield normalise(chunk, mean).contiguous(memory_format=torch.channels_last), labels
