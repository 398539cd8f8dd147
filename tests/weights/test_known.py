"""What is assumed of a file of weights, and what the options of `evaluate` change."""

import json
from pathlib import Path

import pytest
import torch
import torchvision

from resnet_lab.config.schema import DataConfig
from resnet_lab.data import load as data_load
from resnet_lab.weights import evaluate as evaluation
from resnet_lab.weights import known
from resnet_lab.weights import read as weights
from resnet_lab.weights.known import Choices
from tests.weights.networks import ForeignResNet, our_network


@pytest.fixture
def stand_in(monkeypatch):
    """Where CIFAR-10 is looked for, the synthetic stand-in is found."""

    def load(config, folder, seed):
        made = DataConfig(dataset="synthetic", train_images=60, validation_images=0, test_images=40)
        return data_load.load(made, folder, 0)

    monkeypatch.setattr(evaluation, "load", load)


def ask(cli, *arguments):
    answer = cli("evaluate", *arguments, "--json", "--device", "cpu")
    assert answer.code == 0, answer.err
    return json.loads(answer.out)


@pytest.mark.usefixtures("stand_in")
def test_what_a_file_cannot_tell_is_assumed_by_its_names_and_can_be_changed(cli):
    torch.save(ForeignResNet().state_dict(), "their.pth")
    values = ask(cli, "--weights", "their.pth", "--depth", 14)
    assert (values["padding"], values["normalisation"], values["network"]["kind"]) == ("both", "imagenet", "residual")
    assert values["assumed"] == {
        "kind": "--plain", "padding": "--padding end", "normalisation": "--normalisation per-pixel or channel",
    }  # fmt: skip
    chosen = ask(cli, "--weights", "their.pth", "--padding", "end", "--normalisation", "channel", "--residual")
    assert (chosen["padding"], chosen["normalisation"], chosen["assumed"]) == ("end", "channel", {})
    assert chosen["test"]["loss"] != values["test"]["loss"]
    assert ask(cli, "--weights", "their.pth", "--plain")["padding"] is None
    _, net = our_network({"kind": "residual", "block": "bottleneck", "depth": 20})
    torch.save({"net": net.state_dict()}, "our.pt")
    values = ask(cli, "--weights", "our.pt")
    assert (values["padding"], values["normalisation"], values["network"]["stride_on"]) == ("end", "per-pixel", "1x1")
    assert values["assumed"]["stride on"] == "--stride-on 3x3"
    shown = cli("evaluate", "--weights", "their.pth", "--device", "cpu").out
    assert "ASSUMED; else --padding end" in shown
    assert "test error " in shown
    assert "of 40 images wrong" in shown


def test_torchvisions_bottlenecks_are_taken_to_have_the_stride_where_it_has_it():
    torch.save(torchvision.models.resnet50(num_classes=10).state_dict(), "their.pth")
    found = weights.read(Path("their.pth"))
    model, properties = known.network(found, weights.form(found), Choices())
    assert (model.stride_on, model.depth, model.shortcut) == ("3x3", 50, "B")
    assert {each.name: each.source for each in properties}["stride on"] == "assumed"


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize(
    ("file", "arguments", "sentence"),
    [
        ({}, ["--depth", "20"], "holds a network of depth 14, not 20: leave --depth out"),
        ({}, ["--plain", "--padding", "end"], "has no channels to pad, a plain network has no shortcuts"),
        ({}, ["--stride-on", "3x3"], "has basic blocks"),
        ({}, ["--at", "3"], "--at names a run's checkpoint"),
        ({"projection": "shortcut"}, ["--padding", "both"], "projections widen without zeros"),
        ({"projection": "shortcut"}, ["--plain"], "has projections, so the network is residual"),
        ({"classes": 100}, ["--dataset", "cifar10"], "tells 100 classes apart, and cifar10 has 10"),
        ({}, ["--dataset", "cifar100"], "tells 10 classes apart, and cifar100 has 100"),
        ({}, ["--views", "10"], "--views: the images of cifar10 are no larger"),
        ({}, ["--views", "3"], "--views takes 1 or 10, got 3"),
        ({}, ["--image-size", "64"], "--image-size: those of cifar10 are 32x32"),
        ({"stages": 4}, [], "which is none of the paper's"),
    ],
)
def test_choices_that_a_file_contradicts_are_refused(cli, file, arguments, sentence):
    torch.save(ForeignResNet(**file).state_dict(), "their.pth")
    answer = cli("evaluate", "--weights", "their.pth", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert sentence in answer.err
