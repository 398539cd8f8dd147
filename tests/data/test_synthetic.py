"""The synthetic stand-in."""

import torch

from resnet_lab.data import synthetic


def test_synthetic_images_depend_only_on_seed_and_part():
    first, again, longer = (synthetic.synthesise("train", count) for count in (300, 300, 600))
    assert torch.equal(first.images, again.images)
    assert torch.equal(longer.images[:300], first.images)
    assert not torch.equal(first.images, synthetic.synthesise("test", 300).images)
    assert not torch.equal(first.images, synthetic.synthesise("train", 300, seed=1).images)
    assert first.images.dtype == torch.uint8
    assert first.images.shape == (300, 3, 32, 32)
    assert set(longer.labels.tolist()) == set(range(10))
    assert first.images.float().std() > 20
