"""The mini-batch of a step as a function of (seed, step): shuffled without replacement, augmented, on the data's device."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from resnet_lab.data import augment
from resnet_lab.data.images import Images, ImageSet, normalise
from resnet_lab.rng import generator


class Order:
    """`order(step)` gives the indices `(N,)` int64 of the images that a step sees: every epoch is a permutation of all of them.

    An epoch's last batch is short where the batch size does not divide their number.
    """

    def __init__(self, num_images: int, batch_size: int, seed: int) -> None:
        self._num_images, self._batch_size, self._seed = num_images, batch_size, seed
        self.epoch_steps = math.ceil(num_images / batch_size)
        self._epoch = -1
        self._permutation = torch.empty(0, dtype=torch.int64)

    def __call__(self, step: int) -> Tensor:
        """Which images step `step` sees."""
        epoch, position = divmod(step, self.epoch_steps)
        if epoch != self._epoch:
            self._permutation = torch.randperm(self._num_images, generator=generator(self._seed, "data/order", epoch))
            self._epoch = epoch
        return self._permutation[position * self._batch_size : (position + 1) * self._batch_size]


class Batches:
    """`batches(step)` gives images `(N, 3, 32, 32)` float32 and labels `(N,)`."""

    def __init__(self, train: ImageSet, mean: Tensor, batch_size: int, seed: int) -> None:
        self._train, self._mean, self._seed = train, mean, seed
        self.order = Order(len(train), batch_size, seed)

    def drawn(self, step: int) -> augment.Augmentation:
        """How the images of a step are augmented."""
        return augment.draw(generator(self._seed, "data/augment", step), len(self.order(step)))

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """Images `(N, 3, 32, 32)`, augmented and normalised, and labels of a step."""
        indices = self.order(step)
        device = self._train.images.device
        at_once = device.type == "cuda"  # elsewhere a copy that is not waited for may read memory that is free again
        drawn = augment.Augmentation(*(part.to(device, non_blocking=at_once) for part in self.drawn(step)))
        batch = self._train.pick(indices.to(device, non_blocking=at_once))
        return augment.apply(normalise(batch.images, self._mean), drawn), batch.labels


def clean_batches(images: Images, mean: Tensor, batch_size: int | None = None, views: int = 1) -> Iterator[tuple[Tensor, Tensor]]:
    """All images in order, normalised and not augmented, channels last: what a network is evaluated on.

    Inputs are `(N, 3, S, S)`; with ten views of each image, of a folder's alone, `(N, 10, 3, S, S)`.
    Batches are as large as pays if not given: on a CPU a batch's activations should stay in its cache, elsewhere they fill the
    device.
    """
    small_images = 128 if mean.device.type == "cpu" else 1_000
    fitting = max(16, small_images * 32**2 // images.size**2) // views
    for chunk, labels in images.chunks(batch_size or max(1, fitting), views):
        inputs = normalise(chunk, mean)
        yield inputs if views > 1 else inputs.contiguous(memory_format=torch.channels_last), labels
