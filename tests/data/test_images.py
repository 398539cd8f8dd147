"""Images in memory: the split and the mean."""

from pathlib import Path

import torch

from resnet_lab.config.schema import DataConfig
from resnet_lab.data.images import ImageSet, per_pixel_mean, split
from resnet_lab.data.load import load
from tests.builders import numbered_images


def test_the_split_is_disjoint_complete_seeded_and_without_test_images():
    training, test = numbered_images(200), ImageSet(torch.zeros(50, 3, 32, 32, dtype=torch.uint8), torch.arange(1000, 1050))
    config = DataConfig(train_images=200, validation_images=20, test_images=50)
    first = split(training, test, config, 0)
    assert first[1] is not None
    train, validation = set(first[0].labels.tolist()), set(first[1].labels.tolist())
    assert (len(train), len(validation)) == (180, 20)
    assert train | validation == set(range(200))
    assert first[2].labels.tolist() == list(range(1000, 1050))
    again = split(training, test, config, 0)
    other = split(training, test, config, 1)
    assert torch.equal(first[0].labels, again[0].labels)
    assert set(other[0].labels.tolist()) != train


def test_the_mean_is_per_pixel_and_only_over_training_images():
    data = load(DataConfig(dataset="synthetic", train_images=40, validation_images=10, test_images=10), Path(), 0)
    assert isinstance(data.train, ImageSet)
    assert isinstance(data.validation, ImageSet)
    expected = data.train.images.double().mean(0) / 255
    assert data.mean.shape == (3, 32, 32)
    torch.testing.assert_close(data.mean.double(), expected, atol=1e-7, rtol=0)
    assert not torch.allclose(data.mean, per_pixel_mean(torch.cat([data.train.images, data.validation.images])))
