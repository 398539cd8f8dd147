"""Files of weights: the usual CIFAR networks give their own outputs here, ours come back whole, and bad files get a sentence."""

import argparse
import json
import os
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from safetensors import safe_open
from torch import nn
from torch.nn import functional

from resnet_lab.config.schema import DataConfig, ModelConfig
from resnet_lab.data import load as data_load
from resnet_lab.errors import ConfigError, DataError
from resnet_lab.models.resnet import ResNet, build
from resnet_lab.record.store import RunFolder
from resnet_lab.run.device import Resources
from resnet_lab.weights import evaluate as evaluation
from resnet_lab.weights import known
from resnet_lab.weights import read as weights
from resnet_lab.weights.known import Choices
from resnet_lab.weights.read import About
from resnet_lab.weights.write import safetensors_file, torchvision_file, unlike_torchvisions
from tests.builders import tiny

IMAGES = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(5))


class Unit(nn.Module):
    """A block as the usual repositories have it; the identity pads a quarter of the new channels on each side."""

    def __init__(self, before, after, stride, projection):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after)
        self.conv2, self.bn2 = nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after)
        self.side = after // 4 if before != after else 0
        if projection and self.side:
            self.add_module(projection, nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)))
        self.projection = projection if projection and self.side else None

    def forward(self, x):
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        if self.projection:
            return (y + self.get_submodule(self.projection)(x)).relu()
        if self.side:
            x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.side, self.side))
        return (y + x).relu()


class Usual(nn.Module):
    """The usual ResNet for CIFAR-10: `conv1`, `bn1`, `layer1.0.conv1`, and `linear` or `fc`."""

    def __init__(self, blocks=2, width=8, head="linear", projection=None, stages=3, classes=10):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        before = width
        self.layers = [f"layer{stage + 1}" for stage in range(stages)]
        for stage, name in enumerate(self.layers):
            after = width * 2**stage
            units = [Unit(before if i == 0 else after, after, 2 if stage and not i else 1, projection) for i in range(blocks)]
            self.add_module(name, nn.Sequential(*units))
            before = after
        self.head = head
        self.add_module(head, nn.Linear(before, classes))
        shake(self)
        self.eval()

    def forward(self, x):
        x = self.bn1(self.conv1(x)).relu()
        for name in self.layers:
            x = self.get_submodule(name)(x)
        return self.get_submodule(self.head)(x.mean((2, 3)))


def shake(net):
    """Batch normalisations with values that are not the initial ones."""
    source = torch.Generator().manual_seed(1)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for value in (module.weight, module.bias, module.running_mean, module.running_var):
                value.data.copy_(0.5 + torch.rand(value.shape, generator=source))


def prefixed(state, prefix):
    return {f"{prefix}{name}": value for name, value in state.items()}


def loaded(path, **untold):
    found = weights.read(path)
    form = weights.form(found)
    return weights.network(found, form.config(**untold), form.num_classes).eval()


def close(left, right):
    return (left - right).norm() <= 1e-4 * right.norm()


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
    net = Usual(head=head)
    torch.save(CONTAINED[contained](net.state_dict()), "their.pth")
    expected = net(IMAGES)
    assert close(loaded(Path("their.pth"), kind="residual", pad_channels="both")(IMAGES), expected)
    assert not close(loaded(Path("their.pth"), kind="residual", pad_channels="end")(IMAGES), expected)


def test_a_file_is_known_by_what_it_holds_and_not_by_its_name():
    config, net = ours({"kind": "residual"})
    about = About(run="r", step=3, seed=0, model=config, data=DataConfig())
    Path("named.pth").write_bytes(safetensors_file(net, about))
    Path("named.safetensors").write_bytes(torchvision_file(net))
    for path in (Path("named.pth"), Path("named.safetensors")):
        assert torch.equal(loaded(path, kind="residual")(IMAGES), net(IMAGES))
    torch.save(prefixed(net.state_dict(), "net."), "wrapped.pt")
    assert weights.read(Path("wrapped.pt")).are_ours
    with warnings.catch_warnings(action="ignore"):  # that such files will not be made for long
        torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)), "script.pth")
    with pytest.raises(DataError, match="is a TorchScript program: save its weights alone"):
        weights.read(Path("script.pth"))


@pytest.mark.parametrize("projection", ["shortcut", "downsample"])
def test_the_usual_projections_are_option_b(projection):
    net = Usual(projection=projection)
    torch.save(net.state_dict(), "their.pt")
    assert weights.form(weights.read(Path("their.pt"))).shortcut == "B"
    assert close(loaded(Path("their.pt"), kind="residual")(IMAGES), net(IMAGES))


def test_an_old_file_without_counters_in_half_precision_is_read():
    net = Usual().half().float()
    state = {name: value.half() for name, value in net.state_dict().items() if not name.endswith("num_batches_tracked")}
    torch.save(state, "old.th", _use_new_zipfile_serialization=False)
    assert close(loaded(Path("old.th"), kind="residual", pad_channels="both")(IMAGES), net(IMAGES))


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


def ours(model):
    config = ModelConfig.model_validate({"depth": 8, "width": 4} | model)
    net = build(config, 0, num_classes=10).eval()
    shake(net)
    return config, net


@pytest.mark.parametrize("to", ["pth", "safetensors"])
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_what_is_exported_comes_back_as_the_same_network(model, to):
    config, net = ours(model)
    about = About(run="r", step=3, seed=0, model=config, data=DataConfig())
    path = Path(f"our.{to}")
    path.write_bytes(torchvision_file(net) if to == "pth" else safetensors_file(net, about))
    found = weights.read(path)
    untold = {key: getattr(config, key) for key in ("kind", "pad_channels", "stride_on")}
    assert weights.form(found).config(**untold) == config
    assert found.about == (None if to == "pth" else about)
    assert found.are_ours == (to == "safetensors")
    assert torch.equal(loaded(path, **untold)(IMAGES), net(IMAGES))


def test_torchvision_loads_our_export_and_gives_the_same_outputs():
    _, net = ours({"kind": "residual", "layout": "imagenet", "depth": 18, "shortcut": "B", "width": 64})
    Path("our.pth").write_bytes(torchvision_file(net))
    reference = torchvision.models.resnet18(num_classes=10)
    state = torch.load("our.pth", weights_only=True)
    assert all(value.is_contiguous() for value in state.values())
    reference.load_state_dict(state, strict=True)
    images = torch.rand(2, 3, 64, 64)
    assert close(reference.eval()(images), net(images))
    assert unlike_torchvisions(ModelConfig(kind="residual", layout="imagenet", depth=18, shortcut="B")) == []
    assert unlike_torchvisions(ModelConfig(kind="plain", depth=20)) == ["plain", "cifar layout"]


def test_safetensors_are_the_same_bytes_again_and_anyone_reads_them():
    config, net = ours({"kind": "plain"})
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
        Usual(stages=4, width=4).state_dict(),
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


def make(content, path):
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content(Usual().state_dict()) if callable(content) and not isinstance(content, nn.Module) else content, path)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_gets_a_sentence(name):
    content, error, sentence = BAD[name]
    path = Path("bad.pth")
    make(content, path)
    with pytest.raises(error, match=sentence) as raised:
        loaded(path, kind="residual")
    assert str(raised.value).startswith("bad.pth ")
    assert "\n" not in str(raised.value)
    assert not Path("ran").exists()


def test_missing_and_truncated_files_and_folders_get_a_sentence():
    config, net = ours({"kind": "plain"})
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


def test_an_export_has_exactly_the_errors_of_its_run(cli, study):
    assert cli("export", "s", "--to", "safetensors").code == 0
    for path in sorted(Path("runs/s/export").glob("*.safetensors")):
        run = RunFolder(Path("runs/s") / path.stem).read()
        last = run.evaluations[-1]
        for values in (ask(cli, "--weights", path, "--train"), ask(cli, f"s/{path.stem}", "--train")):
            assert (values["test"]["error"], values["test"]["loss"]) == (last.test_error, last.test_loss)
            assert (values["train"]["error"], values["train"]["images"]) == (last.train_error, last.train_images)
            assert values["test"]["wrong"] == round(last.test_error * values["test"]["images"])
            assert values["network"] == run.config.model.model_dump(mode="json") | {"num_classes": 10}
            assert values["assumed"] == {}
            assert values["padding"] == ("end" if run.config.model.kind == "residual" else None)
    earlier = RunFolder(Path("runs/s/plain-8-s0")).read().evaluations[0]
    assert ask(cli, "s/plain-8-s0", "--at", 4)["test"]["error"] == earlier.test_error
    for choice, words in (
        ("--plain", "kind is residual: leave --plain out"),
        ("--padding", "padding is end: leave --padding both"),
    ):
        refused = cli("evaluate", "--weights", path, choice, *(["both"] if choice == "--padding" else []))
        assert (refused.code, words in refused.err) == (2, True), refused.err
    assert cli("evaluate", "--weights", path, "--residual", "--padding", "end", "--device", "cpu").code == 0
    answer = cli("evaluate", "--weights", path, "--device", "cpu")
    assert "SYNTHETIC STAND-IN" in answer.err
    assert f"{last.test_error:.2%}".replace("%", " %") in answer.out
    assert "the file's metadata" in answer.out


@pytest.mark.usefixtures("stand_in")
def test_what_a_file_cannot_tell_is_assumed_by_its_names_and_can_be_changed(cli):
    torch.save(Usual().state_dict(), "their.pth")
    values = ask(cli, "--weights", "their.pth", "--depth", 14)
    assert (values["padding"], values["normalisation"], values["network"]["kind"]) == ("both", "imagenet", "residual")
    assert values["assumed"] == {
        "kind": "--plain", "padding": "--padding end", "normalisation": "--normalisation per-pixel or channel",
    }  # fmt: skip
    chosen = ask(cli, "--weights", "their.pth", "--padding", "end", "--normalisation", "channel", "--residual")
    assert (chosen["padding"], chosen["normalisation"], chosen["assumed"]) == ("end", "channel", {})
    assert chosen["test"]["loss"] != values["test"]["loss"]
    assert ask(cli, "--weights", "their.pth", "--plain")["padding"] is None
    _, net = ours({"kind": "residual", "block": "bottleneck", "depth": 20})
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
    torch.save(Usual(**file).state_dict(), "their.pth")
    answer = cli("evaluate", "--weights", "their.pth", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert sentence in answer.err


def test_a_run_is_named_and_says_itself_what_it_is(cli, study):
    for arguments, sentence in (
        ([], "Name either a run"),
        (["s/plain-8-s0", "--weights", "x.pth"], "Name either a run"),
        (["s"], "s has 4 runs: name one of them, such as s/plain-14-s0"),
        (["s/plain-8-s0", "--plain", "--padding", "end"], "leave out --plain/--residual, --padding"),
        (["s/nothing"], "There is no run 'nothing' in runs/s; there are plain-14-s0, plain-8-s0, residual-14-s0, residual-8-s0."),
        (["t/nothing"], "There is no study 't/nothing'"),
    ):
        answer = cli("evaluate", *arguments)
        assert (answer.code, sentence in answer.err) == (2, True), answer.err
    assert cli("evaluate", "s/plain-8-s0", "--at", 5).code == 6


@pytest.mark.usefixtures("stand_in")
def test_images_are_normalised_as_is_said():
    torch.save(Usual().state_dict(), "their.pth")
    found = {}
    for name in ("per-pixel", "imagenet", "channel"):
        candidate = evaluation.from_weights(Path("their.pth"), Choices(normalisation=name), Resources(device="cpu"))
        found[name] = torch.cat([inputs for inputs, _ in evaluation._batches(candidate.seen, candidate.seen.train)])
    plain = candidate.seen.train.images.double() / 255
    mean, std = (
        torch.tensor(each, dtype=torch.float64).view(3, 1, 1) for each in (evaluation.IMAGENET_MEAN, evaluation.IMAGENET_STD)
    )
    assert torch.allclose(found["per-pixel"].double(), plain - plain.mean(0), atol=1e-6)
    assert torch.allclose(found["imagenet"].double(), (plain - mean) / std, atol=1e-6)
    assert found["channel"].mean((0, 2, 3)).abs().max() < 1e-5
    assert torch.allclose(found["channel"].square().mean((0, 2, 3)), torch.ones(3), atol=1e-5)


@pytest.mark.parametrize("to", ["torchvision", "safetensors"])
def test_weights_are_exported_for_each_run_or_one_at_a_step(cli, study, to):
    ending = {"torchvision": "pth"}.get(to, to)
    names = ("plain-14-s0", "plain-8-s0", "residual-14-s0", "residual-8-s0")
    files = json.loads(cli("export", "--to", to, "--json").out)["files"]
    assert files == [f"runs/s/export/{name}.{ending}" for name in names]
    first = [Path(file).read_bytes() for file in files]
    assert cli("export", "s", "--to", to).code == 0
    assert [Path(file).read_bytes() for file in files] == first
    assert cli("export", "s/plain-8-s0", "--to", to, "--at", 4, "--out", "out").out.strip() == f"out/plain-8-s0-step-4.{ending}"
    stem = loaded(Path(f"out/plain-8-s0-step-4.{ending}"), kind="plain").stem.conv.weight
    saved = torch.load(study / "plain-8-s0/checkpoints/step-00000004.pt", weights_only=True)
    assert torch.equal(stem, saved["net"]["stem.conv.weight"])


def test_runs_without_a_checkpoint_are_named_and_none_at_all_is_exit_6(cli, study):
    RunFolder(study / "plain-20-s0").create(tiny(model={"kind": "plain", "depth": 20, "width": 4}))
    answer = cli("export", "s", "--to", "safetensors")
    assert (answer.code, len(answer.out.split())) == (0, 4)
    assert "runs/s/plain-20-s0 has no checkpoint yet" in answer.err
    alone = cli("export", "s/plain-20-s0", "--to", "safetensors")
    assert (alone.code, alone.out) == (6, "")
    nowhere = cli("export", "s", "--to", "torchvision", "--at", 3)
    assert nowhere.code == 6
    assert "None of the 5 runs has a checkpoint to export" in nowhere.err
    assert cli("export", "s", "--to", "csv", "--at", 4).code == 2


def test_an_export_under_torchvisions_names_says_where_it_is_none_of_its_networks(cli):
    from resnet_lab.weights.export import Written, cautions

    bottleneck = {"kind": "residual", "layout": "imagenet", "depth": 50, "block": "bottleneck", "shortcut": "B"}
    models = [{"kind": "plain", "depth": 20}, {"kind": "residual", "depth": 20}, bottleneck, bottleneck | {"stride_on": "3x3"}]
    written = [
        Written(Path(f"{n} b.pth"), f"run{n}", tiny(model=model, data={"dataset": "cifar10"})) for n, model in enumerate(models)
    ]
    said = list(cautions(written))
    assert said[0] == "run0: under torchvision's names, though torchvision has no such network (plain, cifar layout)."
    assert "(cifar layout, option A)" in said[1]
    assert said[2].startswith("run2: torchvision loads this without an error and computes something else")
    assert "`resnet-lab evaluate --weights '0 b.pth' --plain --normalisation per-pixel`" in said[3]
    assert len(said) == 7  # a command for each that needs options of its own
    assert said[4].startswith("run1 and those like it: images are RGB / 255 minus the mean training image")
    assert said[5].endswith("--weights '2 b.pth' --stride-on 1x1 --normalisation per-pixel --dataset cifar10`.")
    assert "`evaluate` takes the run for it" in list(cautions([Written(Path("x.pth"), "x", tiny())]))[-1]
    of_imagenets_form = tiny(model=bottleneck, data={"dataset": "cifar10"})
    assert "--dataset cifar10`" in list(cautions([Written(Path("x.pth"), "x", of_imagenets_form)]))[-1]


@pytest.mark.usefixtures("stand_in")
def test_weights_that_are_no_numbers_are_said_to_mean_nothing(cli, study):
    state = torch.load(study / "residual-8-s0/checkpoints/step-00000008.pt", weights_only=True)["net"]
    state["head.weight"][0, 0] = torch.nan
    torch.save(state, "nan.pth")
    assert ask(cli, "--weights", "nan.pth")["test"]["loss"] is None
    answer = cli("evaluate", "--weights", "nan.pth", "--device", "cpu")
    assert "The loss is not finite" in answer.err
    assert "its error means nothing" in answer.err


@pytest.mark.cifar10
def test_the_real_test_images_are_evaluated(cli, cifar10):
    net: ResNet = build(ModelConfig(kind="residual", depth=8, width=2), 0)
    torch.save(net.state_dict(), "our.pt")
    values = ask(cli, "--weights", "our.pt", "--normalisation", "channel", "--data-dir", cifar10)
    assert values["test"]["images"] == 10_000
    assert values["known_from"]["images"] == "tensors"
