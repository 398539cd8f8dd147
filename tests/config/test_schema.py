"""Defaults, names and differences of run configs."""

import pytest
from pydantic import ValidationError

from resnet_lab.config.schema import differences
from tests.builders import tiny


def test_differences_are_listed_with_both_values():
    assert differences(tiny(), tiny(recipe__lr=0.2)) == [("recipe.lr", 0.05, 0.2)]


def test_a_plain_network_may_share_the_padding_setting_of_its_study():
    assert tiny(model__kind="plain", model__pad_channels="both").model.pad_channels == "both"


def test_the_width_defaults_to_the_papers_for_each_layout():
    imagenet = {"kind": "plain", "depth": 18, "layout": "imagenet"}
    assert [tiny(model=model).model.width for model in (imagenet, imagenet | {"width": 8})] == [64, 8]
    assert tiny(model={"kind": "plain", "depth": 20}).model.width == 16


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ({"kind": "plain", "depth": 56}, "plain-56-s0"),
        ({"kind": "residual", "depth": 56}, "residual-56-s0"),
        ({"kind": "residual", "depth": 56, "shortcut": "B"}, "residual-B-56-s0"),
        ({"kind": "residual", "depth": 164, "block": "bottleneck"}, "residual-bottleneck-164-s0"),
        (
            {"kind": "residual", "depth": 50, "block": "bottleneck", "shortcut": "B", "layout": "imagenet"},
            "residual-B-bottleneck-imagenet-50-s0",
        ),
    ],
)
def test_a_runs_name_tells_how_it_differs_from_the_papers_cifar_network(model, name):
    assert tiny(model=model).name == name


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"compute__replicas": 3}, "3 replicas cannot have equal parts of a batch of 16 images"),
        (
            {"compute__replicas": 4, "data__train_images": 102},
            "4 replicas cannot have equal parts of an epoch's last batch, 2 of 82 training images: hold out 2 more",
        ),
        ({"compute__replicas": 0}, "greater than or equal to 1"),
        ({"compute__replicas": 1025}, "less than or equal to 1024"),
        ({"compute__bn": "sync"}, "omit it, or set compute.replicas"),
    ],
)
def test_replicas_must_have_equal_parts_of_every_batch(changes, words):
    with pytest.raises(ValidationError, match=words):
        tiny(**changes)


def test_replicas_are_part_of_the_identity_but_one_is_not():
    assert tiny(compute__replicas=1, compute__bn="replica").digest() == tiny().digest()
    digests = {tiny(**changes).digest() for changes in (
        {}, {"compute__replicas": 2}, {"compute__replicas": 4}, {"compute__replicas": 2, "compute__bn": "sync"}
    )}  # fmt: skip
    assert len(digests) == 4
