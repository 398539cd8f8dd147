"""What reference/README.md says of the study `reference`: equal initial weights, images and order for matched networks."""

import re

import pytest

from resnet_lab.config.files import load_study
from resnet_lab.data.digest import data_digest, order_digest
from resnet_lab.data.load import load, training_batches
from resnet_lab.models.digest import weights_digest
from resnet_lab.models.resnet import build
from tests.builders import ROOT

README = (ROOT / "reference" / "README.md").read_text()
SEEDS = re.findall(r"^\| (\d+) \| (\w{64}) \| (\w{64}) \| (\w{64}) \|$", README, re.MULTILINE)


def test_every_seed_is_listed():
    assert [int(seed) for seed, *_ in SEEDS] == list(load_study("reference").sweep.seeds)


@pytest.mark.parametrize(("seed", "of_20", "of_56", "order"), SEEDS, ids=[f"seed {seed}" for seed, *_ in SEEDS])
def test_matched_networks_start_with_the_weights_that_are_listed(seed, of_20, of_56, order):
    for depth, listed in ((20, of_20), (56, of_56)):
        for kind in ("plain", "residual"):
            model = load_study("reference").run(kind=kind, depth=depth, seed=int(seed)).model
            assert weights_digest(build(model, int(seed))) == listed


@pytest.mark.parametrize(("seed", "of_20", "of_56", "order"), SEEDS, ids=[f"seed {seed}" for seed, *_ in SEEDS])
def test_images_and_their_order_are_those_that_are_listed(seed, of_20, of_56, order, cifar10):
    config = load_study("reference").run(kind="plain", depth=20, seed=int(seed))
    data = load(config.data, cifar10, int(seed))
    assert f"sha256 {data_digest(data)}." in README
    assert order_digest(training_batches(data, config.recipe.batch_size, int(seed))) == order
