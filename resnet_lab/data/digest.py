"""Digests of a run's training images, and of the order and augmentation in which it uses them."""

import hashlib

from resnet_lab.data.batches import Batches
from resnet_lab.data.folder import FolderBatches
from resnet_lab.data.images import Data, ImageSet

_MAX_BATCHES = 1_000


def data_digest(data: Data) -> str:
    """The sha256 of the training labels and pixels; for a folder of images, of the labels and the files' names and sizes."""
    digest = hashlib.sha256(data.train.labels.cpu().numpy().data)
    if isinstance(data.train, ImageSet):
        digest.update(data.train.images.cpu().contiguous().numpy().data)
    else:
        assert data.digests is not None
        digest.update(data.digests.files.encode())
    return digest.hexdigest()


def order_digest(batches: Batches | FolderBatches) -> str:
    """The sha256 of the image indices and augmentation parameters of the first epoch, or of its first 1,000 batches."""
    digest = hashlib.sha256()
    for step in range(min(batches.order.epoch_steps, _MAX_BATCHES)):
        for values in (batches.order(step), *batches.augmentation(step)):
            digest.update(values.contiguous().numpy().data)
    return digest.hexdigest()
