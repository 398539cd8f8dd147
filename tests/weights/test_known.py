"""How those properties of a network are decided that its file does not state."""

from pathlib import Path

import torch
import torchvision

from resnet_lab.weights import known
from resnet_lab.weights import read as weights
from resnet_lab.weights.known import Choices, Known
from tests.weights.networks import ForeignResNet, our_network

CIFAR10 = Known("images", "cifar10", "tensors")


def test_foreign_parameter_names_imply_foreign_padding_and_normalisation():
    torch.save(ForeignResNet().state_dict(), "their.pth")
    file = weights.read(Path("their.pth"))
    model, properties = known.network(file, weights.recognise(file), Choices())
    assert (model.kind, model.pad_channels) == ("residual", "both")
    assert {known_property.name: known_property.how for known_property in properties if known_property.source == "assumed"} == {
        "kind": "--plain", "padding": "--padding end"
    }  # fmt: skip
    assert known.normalisation(file, None, CIFAR10) == Known(
        "normalisation", "imagenet", "assumed", "--normalisation per-pixel or channel"
    )


def test_our_parameter_names_imply_our_stride_padding_and_normalisation():
    _, net = our_network({"kind": "residual", "block": "bottleneck", "depth": 20})
    torch.save({"net": net.state_dict()}, "our.pt")
    file = weights.read(Path("our.pt"))
    model, properties = known.network(file, weights.recognise(file), Choices())
    assert (model.pad_channels, model.stride_on) == ("end", "1x1")
    assert {each.name: each.how for each in properties}["stride on"] == "--stride-on 3x3"
    assert known.normalisation(file, None, CIFAR10).value == "per-pixel"


def test_torchvision_bottlenecks_are_assumed_to_stride_on_the_3x3_layer():
    torch.save(torchvision.models.resnet50(num_classes=10).state_dict(), "their.pth")
    file = weights.read(Path("their.pth"))
    model, properties = known.network(file, weights.recognise(file), Choices())
    assert (model.stride_on, model.depth, model.shortcut) == ("3x3", 50, "B")
    assert {each.name: each.source for each in properties}["stride on"] == "assumed"
