"""Mini-batches of images in memory."""

import torch

from resnet_lab.data.batches import Batches, clean_batches
from resnet_lab.data.images import ImageSet
from tests.builders import numbered_images


def test_every_epoch_is_a_permutation_with_a_smaller_last_batch():
    images = numbered_images(100)
    batches = Batches(images, torch.zeros(3, 32, 32), batch_size=16, seed=0)
    assert batches.order.epoch_steps == 7
    epochs = [torch.cat([batches.order(7 * epoch + step) for step in range(7)]).tolist() for epoch in range(2)]
    assert all(sorted(epoch) == list(range(100)) for epoch in epochs)
    assert epochs[0] != epochs[1]
    assert [len(batches(step)[1]) for step in range(7)] == [16] * 6 + [4]


def test_a_batch_depends_only_on_seed_and_step():
    images = ImageSet(torch.randint(0, 256, (50, 3, 32, 32), dtype=torch.uint8), torch.arange(50))
    forwards, backwards = (Batches(images, torch.zeros(3, 32, 32), 16, seed=3) for _ in range(2))
    steps = list(range(9))
    first = {step: forwards(step) for step in steps}
    for step in reversed(steps):
        assert all(torch.equal(a, b) for a, b in zip(first[step], backwards(step), strict=True))
    other = Batches(images, torch.zeros(3, 32, 32), 16, seed=4)(0)
    assert not torch.equal(first[0][0], other[0])


def test_clean_batches_contain_every_image_once_in_order():
    images = numbered_images(300)
    labels = torch.cat([labels for _, labels in clean_batches(images, torch.zeros(3, 32, 32))])
    assert labels.tolist() == list(range(300))
