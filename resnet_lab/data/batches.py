"""Mini-batches as a function of (seed, step): shuffled without replacement, augmented, on the data's device."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from resnet_lab.data import augment
from resnet_lab.data.images import Images, ImageSet, normalise
from resnet_lab.rng import generator


class Order:
    """`order(step)` gives the image indices `(N,)` int64 of a step's batch; every epoch is a permutation of all images.

    The last batch of an epoch is smaller if the batch size does not divide the number of images.
    """

    def __init__(self, num_images: int, batch_size: int, seed: int) -> None:
        self._num_images, self._batch_size, self._seed = num_images, batch_size, seed
        self.epoch_steps = math.ceil(num_images / batch_size)
        self._epoch = -1
        self._permutation = torch.empty(0, dtype=torch.int64)

    def __call__(self, step: int) -> Tensor:
        """The image indices `(N,)` of a step's batch."""
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

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """Images `(N, 3, 32, 32)`, augmented and normalised, and labels `(N,)` of a step."""
        indices = self.order(step)
        device = self._train.images.device
        drawn = augment.draw(generator(self._seed, "data/augment", step), len(indices))
        non_blocking = device.type == "cuda"  # elsewhere an asynchronous copy may read memory that has been freed
        drawn = augment.Augmentation(*(part.to(device, non_blocking=non_blocking) for part in drawn))
        batch = self._train.pick(indices.to(device, non_blocking=non_blocking))
        return augment.apply(normalise(batch.images, self._mean), drawn), batch.labels


def clean_batches(images: Images, mean: Tensor, batch_size: int | None = None, views: int = 1) -> Iterator[tuple[Tensor, Tensor]]:
    """Evaluation batches: all images in order, normalised, not augmented, channels last, with labels `(N,)`.

    Inputs are `(N, 3, S, S)`, or `(N, 10, 3, S, S)` with ten views per image (folders of images only).
    The default batch size is small on a CPU, so that activations fit in its cache, and larger elsewhere. Raises DataError.
    """
    at_32_pixels = 128 if mean.device.type == "cpu" else 1_000
    default_size = max(16, at_32_pixels * 32**2 // images.size**2) // views
    for chunk, labels in images.chunks(batch_size or max(1, default_size), views):
        inputs = normalise(chunk, mean)
        yield inputs if views > 1 else inputs.contiguous(memory_format=torch.channels_last), labels
