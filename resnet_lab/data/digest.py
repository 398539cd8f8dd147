"""Digests of what a run learns from: its training images, and the order and augmentation in which it sees them."""

import hashlib

from resnet_lab.data.batches import Batches
from resnet_lab.data.folder import FolderBatches
from resnet_lab.data.images import Data, ImageSet

_MOST_BATCHES = 1_000


def data_digest(data: Data) -> str:
    """The sha256 over labels and pixels of the training images; of a folder's, over labels, and names and sizes of its files."""
    found = hashlib.sha256(data.train.labels.cpu().numpy().data)
    if isinstance(data.train, ImageSet):
        found.update(data.train.images.cpu().contiguous().numpy().data)
    else:
        assert data.digests is not None
        found.update(data.digests.files.encode())
    return found.hexdigest()


def order_digest(batches: Batches | FolderBatches) -> str:
    """The sha256 over what is drawn for each batch of the first epoch, at most for 1,000: its images, crops and flips."""
    found = hashlib.sha256()
    for step in range(min(batches.order.epoch_steps, _MOST_BATCHES)):
        for part in (batches.order(step), *batches.drawn(step)):
            found.update(part.contiguous().numpy().data)
    return found.hexdigest()
