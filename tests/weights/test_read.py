"""Reading files of weights: networks of other repositories give their own outputs, and bad files are refused."""

import argparse
import os
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from resnet_lab.config.schema import DataConfig
from resnet_lab.errors import ConfigError, DataError
from resnet_lab.weights import read as weights
from resnet_lab.weights.read import About
from resnet_lab.weights.write import safetensors_file, torchvision_file
from tests.weights.networks import IMAGES, ForeignResNet, nearly_equal, our_network, prefixed, read_network

WRAPPINGS = {
    "alone": lambda state: state,
    "DataParallel": lambda state: prefixed(state, "module."),
    "compiled": lambda state: prefixed(state, "module._orig_mod."),
    "akamaster": lambda state: {"state_dict": prefixed(state, "module."), "best_prec1": 91.2},
    "kuangliu": lambda state: {"net": state, "acc": 93.0, "epoch": 3},
    "nested": lambda state: {"model": {"model_state_dict": state}, "optimizer": {"state": {}}},
    "numbers of NumPy": lambda state: {"net": state, "acc": np.float32(93), "best": np.float64(91.2), "epoch": np.int64(3)},
    "arguments": lambda state: {"state_dict": state, "args": argparse.Namespace(lr=0.1, depth=20)},
    "a part of a larger module": lambda state: {"state_dict": prefixed(state, "model.backbone.")},
}


@pytest.mark.parametrize("contained", WRAPPINGS)
@pytest.mark.parametrize("head", ["linear", "fc"])
def test_foreign_cifar_network_gives_its_own_logits_with_padding_on_both_sides(contained, head):
    net = ForeignResNet(head=head)
    torch.save(WRAPPINGS[contained](net.state_dict()), "their.pth")
    expected = net(IMAGES)
    assert nearly_equal(read_network(Path("their.pth"), kind="residual", pad_channels="both")(IMAGES), expected)
    assert not nearly_equal(read_network(Path("their.pth"), kind="residual", pad_channels="end")(IMAGES), expected)


def test_file_format_is_recognised_by_content_and_not_by_suffix():
    config, net = our_network({"kind": "residual"})
    about = About(run="r", step=3, seed=0, model=config, data=DataConfig())
    Path("named.pth").write_bytes(safetensors_file(net, about))
    Path("named.safetensors").write_bytes(torchvision_file(net))
    for path in (Path("named.pth"), Path("named.safetensors")):
        assert torch.equal(read_network(path, kind="residual")(IMAGES), net(IMAGES))
    torch.save(prefixed(net.state_dict(), "net."), "wrapped.pt")
    assert weights.read(Path("wrapped.pt")).are_ours
    with warnings.catch_warnings(action="ignore"):  # torch deprecates TorchScript
        torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)), "script.pth")
    with pytest.raises(DataError, match="is a TorchScript program"):
        weights.read(Path("script.pth"))


@pytest.mark.parametrize("projection", ["shortcut", "downsample"])
def test_foreign_projection_shortcuts_are_read_as_option_b(projection):
    net = ForeignResNet(projection=projection)
    torch.save(net.state_dict(), "their.pt")
    assert weights.recognise(weights.read(Path("their.pt"))).shortcut == "B"
    assert nearly_equal(read_network(Path("their.pt"), kind="residual")(IMAGES), net(IMAGES))


def test_half_precision_file_of_an_old_torch_version_is_read():
    net = ForeignResNet().half().float()
    state = {name: value.half() for name, value in net.state_dict().items() if not name.endswith("num_batches_tracked")}
    torch.save(state, "old.th", _use_new_zipfile_serialization=False)
    assert nearly_equal(read_network(Path("old.th"), kind="residual", pad_channels="both")(IMAGES), net(IMAGES))


class ShellCommand:
    def __reduce__(self):
        return os.system, ("touch ran",)


def without(*names):
    return lambda state: {name: value for name, value in state.items() if name not in names}


BAD_FILES = {
    "empty": (b"", DataError, "is empty"),
    "text": (b"<html>not found</html>", DataError, "was not written by torch.save"),
    "code": (
        pickle.dumps(ShellCommand(), protocol=2),
        DataError,
        r"more than tensors \(posix.system\)",
    ),
    "whole network": (nn.Linear(2, 2), DataError, "torch.nn.modules.linear.Linear"),
    "a tensor": (torch.ones(2), DataError, "no weights.*an object of type Tensor"),
    "no tensors": ({"epoch": 3, "lr": 0.1}, DataError, "no weights.*a dictionary with epoch, lr"),
    "an empty dictionary": ({"state_dict": {}}, DataError, "an empty dictionary"),
    "integers": (lambda s: s | {"bn1.bias": torch.ones(8, dtype=torch.int8)}, DataError, "numbers in bn1.bias: save.* in fp32"),
    "twice": (lambda s: s | {"fc.bias": s["linear.bias"]}, DataError, "as linear.bias and fc.bias"),
    "other network": ({"features.0.weight": torch.ones(2)}, ConfigError, "no conv1.weight .* features.0.weight"),
    "no blocks": (
        lambda s: {"conv1.weight": s["conv1.weight"], "fc.weight": torch.ones(10, 8)},
        ConfigError,
        "no layer1.0.conv1",
    ),
    "four stages": (
        ForeignResNet(stages=4, width=4).state_dict(),
        ConfigError,
        "4 stages and a 3x3 stem of 4 filters",
    ),
    "uneven": (
        lambda s: without(*(n for n in s if "layer2.1" in n))(s),
        ConfigError,
        "stages of 2, 1, 2 basic blocks",
    ),
    "missing": (without("layer1.0.bn1.bias", "linear.bias"), ConfigError, "missing layer1.0.bn1.bias, linear.bias"),
    "too many": (
        lambda s: s | {"aux.weight": torch.ones(1)},
        ConfigError,
        "unexpected aux.weight",
    ),
    "a projection missing": (
        lambda s: s | {"layer2.0.shortcut.0.weight": torch.ones(16, 8, 1, 1)},
        ConfigError,
        "missing layer2.0",
    ),
    "another shape": (
        lambda s: s | {"layer2.0.conv1.weight": torch.ones(16, 8, 1, 1)},
        ConfigError,
        "layer2.0.conv1.weight has shape 16x8x1x1 instead of 16x8x3x3",
    ),
    "a long number": (lambda s: s | {f"layer{'9' * 5000}.0.conv1.weight": torch.ones(1)}, ConfigError, "unexpected layer9"),
}


def write_file(content, path):
    """Write bytes as they are; save any other object; apply a function to good weights and save the result."""
    if isinstance(content, bytes):
        path.write_bytes(content)
        return
    changes_good_weights = callable(content) and not isinstance(content, nn.Module)
    torch.save(content(ForeignResNet().state_dict()) if changes_good_weights else content, path)


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_file_is_refused_in_one_sentence_and_runs_no_code(name):
    content, error, sentence = BAD_FILES[name]
    path = Path("bad.pth")
    write_file(content, path)
    with pytest.raises(error, match=sentence) as raised:
        read_network(path, kind="residual")
    assert str(raised.value).startswith("bad.pth ")
    assert "\n" not in str(raised.value)
    assert not Path("ran").exists()


def test_missing_and_truncated_files_and_folders_are_refused():
    config, net = our_network({"kind": "plain"})
    good_file = safetensors_file(net, About(run="r", step=3, seed=0, model=config, data=DataConfig()))
    Path("cut.safetensors").write_bytes(good_file[:-100])
    Path("cut.pth").write_bytes(torchvision_file(net)[:-100])
    Path("other.safetensors").write_bytes(good_file.replace(b'\\"depth\\":8', b'\\"depht\\":8'))
    for path in ("cut.safetensors", "cut.pth"):
        with pytest.raises(DataError, match="damaged"):
            weights.read(Path(path))
    Path("auto.safetensors").write_bytes(good_file.replace(b'\\"cifar10\\"', b'   \\"auto\\"'))
    for path in ("other.safetensors", "auto.safetensors"):
        with pytest.raises(DataError, match="incompatible version"):
            weights.read(Path(path))
    with pytest.raises(ConfigError, match="is a folder"):
        weights.read(Path())
    with pytest.raises(ConfigError, match="File not found: nowhere"):
        weights.read(Path("nowhere.pth"))
