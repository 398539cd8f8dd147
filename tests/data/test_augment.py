"""The paper's augmentation for CIFAR: crops of the padded image, and flips."""

import itertools

import pytest
import torch

from resnet_lab.data import augment
from resnet_lab.data.images import normalise
from resnet_lab.rng import generator


def test_all_81_crops_and_both_orientations_are_drawn_about_equally_often():
    drawn = augment.draw(generator(0, "test"), 20_000)
    drawn_transforms = {
        (row, column, flip) for (row, column), flip in zip(drawn.offsets.tolist(), drawn.flips.tolist(), strict=True)
    }
    assert drawn_transforms == set(itertools.product(range(9), range(9), (False, True)))
    counts = torch.bincount(drawn.offsets[:, 0] * 9 + drawn.offsets[:, 1])
    assert counts.min() > 150  # 247 expected of each
    assert counts.max() < 350


def test_apply_pads_crops_and_flips():
    images = torch.rand(81 * 2, 3, 32, 32)
    places = torch.tensor(list(itertools.product(range(9), range(9)))).repeat(2, 1)
    flips = torch.arange(162) >= 81
    out = augment.apply(images, augment.Augmentation(places, flips))
    padded = torch.nn.functional.pad(images, (4, 4, 4, 4))
    for index, ((row, column), flip) in enumerate(zip(places.tolist(), flips.tolist(), strict=True)):
        crop = padded[index, :, row : row + 32, column : column + 32]
        assert torch.equal(out[index], crop.flip(-1) if flip else crop)
    assert out.is_contiguous(memory_format=torch.channels_last)


def test_the_padding_is_zero_after_subtraction_of_the_mean():
    images = torch.full((1, 3, 32, 32), 255, dtype=torch.uint8)
    normal = normalise(images, torch.full((3, 32, 32), 0.25))
    out = augment.apply(normal, augment.Augmentation(torch.tensor([[0, 0]]), torch.tensor([False])))
    assert out[0, :, :4].abs().max() == 0
    assert out[0, 0, 10, 10] == pytest.approx(0.75)
