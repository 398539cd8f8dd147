"""Files of weights are read: the usual CIFAR networks give their own outputs here, and bad files get a sentence."""

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

CONTAINED = {
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


@pytest.mark.parametrize("contained", CONTAINED)
@pytest.mark.parametrize("head", ["linear", "fc"])
def test_the_usual_cifar_network_gives_its_own_logits_with_zeros_on_both_sides(contained, head):
    net = ForeignResNet(head=head)
    torch.save(CONTAINED[contained](net.state_dict()), "their.pth")
    expected = net(IMAGES)
    assert nearly_equal(read_network(Path("their.pth"), kind="residual", pad_channels="both")(IMAGES), expected)
    assert not nearly_equal(read_network(Path("their.pth"), kind="residual", pad_channels="end")(IMAGES), expected)


def test_a_file_is_known_by_what_it_holds_and_not_by_its_name():
    config, net = our_network({"kind": "residual"})
    about = About(run="r", step=3, seed=0, model=config, data=DataConfig())
    Path("named.pth").write_bytes(safetensors_file(net, about))
    Path("named.safetensors").write_bytes(torchvision_file(net))
    for path in (Path("named.pth"), Path("named.safetensors")):
        assert torch.equal(read_network(path, kind="residual")(IMAGES), net(IMAGES))
    torch.save(prefixed(net.state_dict(), "net."), "wrapped.pt")
    assert weights.read(Path("wrapped.pt")).are_ours
    with warnings.catch_warnings(action="ignore"):  # that such files will not be made for long
        torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)), "script.pth")
    with pytest.raises(DataError, match="is a TorchScript program: save its weights alone"):
        weights.read(Path("script.pth"))


@pytest.mark.parametrize("projection", ["shortcut", "downsample"])
def test_the_usual_projections_are_option_b(projection):
    net = ForeignResNet(projection=projection)
    torch.save(net.state_dict(), "their.pt")
    assert weights.form(weights.read(Path("their.pt"))).shortcut == "B"
    assert nearly_equal(read_network(Path("their.pt"), kind="residual")(IMAGES), net(IMAGES))


def test_an_old_file_without_counters_in_half_precision_is_read():
    net = ForeignResNet().half().float()
    state = {name: value.half() for name, value in net.state_dict().items() if not name.endswith("num_batches_tracked")}
    torch.save(state, "old.th", _use_new_zipfile_serialization=False)
    assert nearly_equal(read_network(Path("old.th"), kind="residual", pad_channels="both")(IMAGES), net(IMAGES))


class Shell:
    def __reduce__(self):
        return os.system, ("touch ran",)


def without(*names):
    return lambda state: {name: value for name, value in state.items() if name not in names}


BAD = {
    "empty": (b"", DataError, "is empty"),
    "text": (b"<html>not found</html>", DataError, "is damaged, or no file that torch.save wrote"),
    "code": (pickle.dumps(Shell(), protocol=2), DataError, r"holds more than tensors \(posix.system\), which could run code"),
    "whole network": (nn.Linear(2, 2), DataError, "torch.nn.modules.linear.Linear"),
    "a tensor": (torch.ones(2), DataError, "holds no weights.*an object of type Tensor"),
    "no tensors": ({"epoch": 3, "lr": 0.1}, DataError, "holds no weights.*a table of epoch, lr"),
    "an empty table": ({"state_dict": {}}, DataError, "an empty table"),
    "integers": (lambda s: s | {"bn1.bias": torch.ones(8, dtype=torch.int8)}, DataError, "numbers in bn1.bias: save.* in fp32"),
    "twice": (lambda s: s | {"fc.bias": s["linear.bias"]}, DataError, "as linear.bias and as fc.bias"),
    "other network": ({"features.0.weight": torch.ones(2)}, ConfigError, "no conv1.weight .*; what it has is features.0.weight"),
    "no blocks": (
        lambda s: {"conv1.weight": s["conv1.weight"], "fc.weight": torch.ones(10, 8)},
        ConfigError,
        "no layer1.0.conv1",
    ),
    "four stages": (
        ForeignResNet(stages=4, width=4).state_dict(),
        ConfigError,
        "4 stages with a 3x3 stem of 4 filters, which is none of",
    ),
    "uneven": (
        lambda s: without(*(n for n in s if "layer2.1" in n))(s),
        ConfigError,
        "stages of 2, 1, 2 basic blocks, and those",
    ),
    "missing": (without("layer1.0.bn1.bias", "linear.bias"), ConfigError, "it has no layer1.0.bn1.bias, linear.bias"),
    "too many": (
        lambda s: s | {"aux.weight": torch.ones(1)},
        ConfigError,
        "it has aux.weight, which such a network does not have",
    ),
    "a projection missing": (
        lambda s: s | {"layer2.0.shortcut.0.weight": torch.ones(16, 8, 1, 1)},
        ConfigError,
        r"no layer2.0.shortcut.1.weight, layer2.0.shortcut.1.bias|no layer2.0",
    ),
    "another shape": (
        lambda s: s | {"layer2.0.conv1.weight": torch.ones(16, 8, 1, 1)},
        ConfigError,
        "holds another network than the paper's of depth 14: it has layer2.0.conv1.weight of shape 16x8x1x1 where 16x8x3x3",
    ),
    "a long number": (lambda s: s | {f"layer{'9' * 5000}.0.conv1.weight": torch.ones(1)}, ConfigError, "does not have"),
}


def write_file(content, path):
    """Bytes as they are; else an object that is saved, or a function that makes one of the weights of a good file."""
    if isinstance(content, bytes):
        path.write_bytes(content)
        return
    changes_good_weights = callable(content) and not isinstance(content, nn.Module)
    torch.save(content(ForeignResNet().state_dict()) if changes_good_weights else content, path)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_gets_a_sentence(name):
    content, error, sentence = BAD[name]
    path = Path("bad.pth")
    write_file(content, path)
    with pytest.raises(error, match=sentence) as raised:
        read_network(path, kind="residual")
    assert str(raised.value).startswith("bad.pth ")
    assert "\n" not in str(raised.value)
    assert not Path("ran").exists()


def test_missing_and_truncated_files_and_folders_get_a_sentence():
    config, net = our_network({"kind": "plain"})
    whole = safetensors_file(net, About(run="r", step=3, seed=0, model=config, data=DataConfig()))
    Path("cut.safetensors").write_bytes(whole[:-100])
    Path("cut.pth").write_bytes(torchvision_file(net)[:-100])
    Path("other.safetensors").write_bytes(whole.replace(b'\\"depth\\":8', b'\\"depht\\":8'))
    for path in ("cut.safetensors", "cut.pth"):
        with pytest.raises(DataError, match="damaged"):
            weights.read(Path(path))
    Path("auto.safetensors").write_bytes(whole.replace(b'\\"cifar10\\"', b'   \\"auto\\"'))
    for path in ("other.safetensors", "auto.safetensors"):
        with pytest.raises(DataError, match="that this one cannot read"):
            weights.read(Path(path))
    with pytest.raises(ConfigError, match="is a folder"):
        weights.read(Path())
    with pytest.raises(ConfigError, match="There is no file nowhere"):
        weights.read(Path("nowhere.pth"))
