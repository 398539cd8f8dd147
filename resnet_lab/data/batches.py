"""Mini-batches as a function of (seed, step): shuffled without replacement, augmented, on the data's device."""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from resnet_lab.data import augment
from resnet_lab.data.images import Images, ImageSet, normalise
from resnet_lab.rng import generator

Own = Callable[[Tensor], Tensor]  # a process's rows of a tensor with a row per image of a batch


def whole(batch: Tensor) -> Tensor:
    """The rows of a process that computes the whole batch."""
    return batch


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
    """`batches(step)` gives images `(N, 3, 32, 32)` float32 and labels `(N,)`: the process's `own` images of the batch."""

    def __init__(self, train: ImageSet, mean: Tensor, batch_size: int, seed: int, own: Own = whole) -> None:
        self._train, self._mean, self._seed, self._own = train, mean, seed, own
        self.order = Order(len(train), batch_size, seed)

    def augmentation(self, step: int) -> augment.Augmentation:
        """The augmentation parameters of a step's images."""
        return augment.draw(generator(self._seed, "data/augment", step), len(self.order(step)))

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """Images `(N, 3, 32, 32)`, augmented and normalised, and labels `(N,)` of a step."""
        indices = self._own(self.order(step))
        device = self._train.images.device
        non_blocking = device.type == "cuda"  # elsewhere an asynchronous copy may read memory that has been freed
        drawn = augment.Augmentation(*(self._own(part).to(device, non_blocking=non_blocking) for part in self.augmentation(step)))
        batch = self._train.pick(indices.to(device, non_blocking=non_blocking))
        return augment.apply(normalise(batch.images, self._mean), drawn), batch.labels


def clean_batches(
    images: Images, mean: Tensor, batch_size: int | None = None, views: int = 1, which: slice = slice(None)
) -> Iterator[tuple[Tensor, Tensor]]:
    """Evaluation batches: all images in order, or a slice of the batches; normalised, not augmented, channels last, with labels.

    Inputs are `(N, 3, S, S)`, or `(N, 10, 3, S, S)` with ten views per image (folders of images only).
    Labels are `(N,)`. The default batch size is that of `evaluation_batch_size`. Raises DataError.
    """
    for chunk, labels in images.chunks(batch_size or evaluation_batch_size(images, mean.device, views), views, which):
        inputs = normalise(chunk, mean)
        yield inputs if views > 1 else inputs.contiguous(memory_format=torch.channels_last), labels


def evaluation_batch_size(images: Images, device: torch.device, views: int = 1) -> int:
    """The default batch size of an evaluation: small on a CPU, so that activations fit in its cache, and larger elsewhere."""
    at_32_pixels = 128 if device.type == "cpu" else 1_000
    return max(1, max(16, at_32_pixels * 32**2 // images.size**2) // views)
