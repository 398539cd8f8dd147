"""The table of data sets, and settings that contradict it."""

from typing import get_args

import pytest

from resnet_lab.config.datasets import FileDataset, with_classes


def test_the_number_of_classes_identifies_the_data_set():
    assert [with_classes(number) for number in (10, 100, 1000)] == ["cifar10", "cifar100", None]
    assert set(get_args(FileDataset)) == {"cifar10", "cifar100", "folder"}


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["data.dataset=folder"], "required for a folder of images"),
        (["data.num_classes=20"], "data.num_classes: must be 10 for cifar10, got 20"),
        (["data.dataset=cifar100", "data.image_size=64"], "data.image_size: must be 32 for cifar100, got 64"),
        (["data.train_images=60000"], "data.train_images: cifar10 has only 50,000, got 60,000"),
        (["evaluation.final_test_views=10"], "ten crops require images larger than the network's input"),
        (["evaluation.final_test_views=3"], "evaluation.final_test_views"),
    ],
)
def test_settings_that_contradict_the_data_set_are_refused(cli, overrides, words):
    answer = cli("train", "--depth", 20, "--plain", *(part for override in overrides for part in ("--set", override)))
    assert answer.code == 2
    assert words in answer.err
