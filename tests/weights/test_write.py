"""Writing files of weights: they are read back as the same network, here and by other tools."""

import json
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors import safe_open

from resnet_lab.config.model import INTERVENTIONS, ModelConfig
from resnet_lab.config.schema import DataConfig
from resnet_lab.errors import ConfigError
from resnet_lab.weights import known
from resnet_lab.weights import read as weights
from resnet_lab.weights.known import Choices
from resnet_lab.weights.read import About
from resnet_lab.weights.write import safetensors_file, torchvision_differences, torchvision_file
from tests.weights.networks import IMAGES, nearly_equal, our_network, read_network

MODELS = [
    {"kind": "plain"},
    {"kind": "residual"},
    {"kind": "residual", "pad_channels": "both"},
    {"kind": "residual", "shortcut": "B"},
    {"kind": "residual", "shortcut": "C", "depth": 14},
    {"kind": "residual", "block": "bottleneck", "depth": 20, "shortcut": "B"},
    {"kind": "residual", "block": "bottleneck", "depth": 20, "stride_on": "3x3"},
    {"kind": "residual", "layout": "imagenet", "depth": 18, "shortcut": "C"},
]


@pytest.mark.parametrize("to", ["pth", "safetensors"])
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_exported_file_is_read_back_as_the_same_network(model, to):
    config, net = our_network(model)
    about = About(run="r", step=3, seed=0, model=config, data=DataConfig())
    path = Path(f"our.{to}")
    path.write_bytes(torchvision_file(net) if to == "pth" else safetensors_file(net, about))
    content = weights.read(path)
    untold = {key: getattr(config, key) for key in ("kind", "pad_channels", "stride_on")}
    assert weights.recognise(content).config(**untold) == config
    assert content.about == (None if to == "pth" else about)
    assert content.are_ours == (to == "safetensors")
    assert torch.equal(read_network(path, **untold)(IMAGES), net(IMAGES))


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "residual", "shortcut_scale": 0.5},
        {"kind": "residual", "shortcut": "B", "branch_scale": "learnable", "order": "preactivation"},
        {"kind": "residual", "order": "bn-after-addition", "activation_slope": 0.1},
        {"kind": "residual", "norm": "none"},
        {"kind": "plain", "span": 1},
        {"kind": "plain", "span": 3, "depth": 11, "init": "dirac"},
    ],
    ids=str,
)
def test_a_network_with_other_settings_than_the_papers_is_described_by_the_metadata(settings):
    config, net = our_network(settings)
    about = About(run="r", step=3, seed=0, model=config, data=DataConfig())
    path = Path("our.safetensors")
    path.write_bytes(safetensors_file(net, about))
    content = weights.read(path)
    form = weights.recognise(content)
    model, properties = known.network(content, form, Choices())
    assert (model, content.are_ours) == (config, True)
    assert {item.name: item.value for item in properties if item.name.replace(" ", "_") in INTERVENTIONS} == {
        name.replace("_", " "): value for name, value in config.interventions.items()
    }
    assert torch.equal(weights.network(content, model, form.num_classes).eval()(IMAGES), net(IMAGES))
    lying = About(run="r", step=3, seed=0, model=config.model_copy(update={"width": 8}), data=DataConfig())
    path.write_bytes(safetensors_file(net, lying))
    content = weights.read(path)
    form = weights.recognise(content)
    with pytest.raises(ConfigError, match="has shape"):
        weights.network(content, known.network(content, form, Choices())[0], form.num_classes)


def test_torchvision_loads_an_exported_file_and_gives_the_same_outputs():
    _, net = our_network({"kind": "residual", "layout": "imagenet", "depth": 18, "shortcut": "B", "width": 64})
    Path("our.pth").write_bytes(torchvision_file(net))
    reference = torchvision.models.resnet18(num_classes=10)
    state = torch.load("our.pth", weights_only=True)
    assert all(value.is_contiguous() for value in state.values())
    reference.load_state_dict(state, strict=True)
    images = torch.rand(2, 3, 64, 64)
    assert nearly_equal(reference.eval()(images), net(images))
    assert torchvision_differences(ModelConfig(kind="residual", layout="imagenet", depth=18, shortcut="B")) == []
    assert torchvision_differences(ModelConfig(kind="plain", depth=20)) == ["plain", "cifar layout"]


def test_safetensors_file_is_deterministic_and_readable_by_other_programs():
    config, net = our_network({"kind": "plain"})
    about = About(run="plain-8-s0", step=3, seed=7, model=config, data=DataConfig())
    content = safetensors_file(net, about)
    assert {safetensors_file(net, about) for _ in range(20)} == {content}
    Path("our.safetensors").write_bytes(content)
    with safe_open("our.safetensors", framework="pt") as file:
        metadata = file.metadata()
        assert torch.equal(file.get_tensor("stem.conv.weight"), net.stem.conv.weight)
    assert (metadata["format"], metadata["run"], metadata["step"]) == ("pt", "plain-8-s0", "3")
    assert json.loads(metadata["model"]) == config.model_dump()
    assert "minus the mean image" in metadata["normalisation"]
