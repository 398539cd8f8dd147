"""`resnet-lab evaluate`: errors of a file's or a run's network, and options that do not fit."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from resnet_lab.config.model import ModelConfig
from resnet_lab.config.schema import DataConfig
from resnet_lab.data.load import load
from resnet_lab.models.resnet import ResNet, build
from resnet_lab.record.store import RunFolder
from resnet_lab.weights.evaluate import IMAGENET_MEAN, IMAGENET_STD, normalised
from resnet_lab.weights.read import About
from resnet_lab.weights.write import safetensors_file
from tests.weights.networks import ForeignResNet, our_network


@pytest.fixture
def image_folder(tmp_path):
    """A folder of images of 32x32 pixels in ten classes, 20 to train on and 40 to test on."""
    source = torch.Generator().manual_seed(0)
    for part, number in (("train", 2), ("val", 4)):
        for label in range(10):
            (tmp_path / "images" / part / f"class-{label}").mkdir(parents=True)
            for index in range(number):
                pixels = torch.randint(0, 256, (32, 32, 3), generator=source, dtype=torch.uint8)
                Image.fromarray(pixels.numpy()).save(tmp_path / "images" / part / f"class-{label}" / f"{index}.png")
    return tmp_path / "images"


def evaluate_as_json(cli, *arguments):
    """What `evaluate --json` prints."""
    answer = cli("evaluate", *arguments, "--json", "--device", "cpu")
    assert answer.code == 0, answer.err
    return json.loads(answer.out)


def test_exported_weights_have_exactly_the_errors_of_their_run(cli, study):
    assert cli("export", "s", "--to", "safetensors").code == 0
    for path in sorted(Path("runs/s/export").glob("*.safetensors")):
        run = RunFolder(Path("runs/s") / path.stem).read()
        last = run.evaluations[-1]
        for values in (evaluate_as_json(cli, "--weights", path, "--train"), evaluate_as_json(cli, f"s/{path.stem}", "--train")):
            assert (values["test"]["error"], values["test"]["loss"]) == (last.test_error, last.test_loss)
            assert (values["train"]["error"], values["train"]["images"]) == (last.train_error, last.train_images)
            assert values["test"]["wrong"] == round(last.test_error * values["test"]["images"])
            assert values["network"] == run.config.model.model_dump(mode="json") | {"num_classes": 10}
            assert values["assumed"] == {}
            assert values["padding"] == ("end" if run.config.model.kind == "residual" else None)
    earlier = RunFolder(Path("runs/s/plain-8-s0")).read().evaluations[0]
    assert evaluate_as_json(cli, "s/plain-8-s0", "--at", 4)["test"]["error"] == earlier.test_error
    for choice, words in (
        ("--plain", "kind is residual: drop --plain"),
        ("--padding", "padding is end: drop --padding both"),
    ):
        refused = cli("evaluate", "--weights", path, choice, *(["both"] if choice == "--padding" else []))
        assert (refused.code, words in refused.err) == (2, True), refused.err
    assert cli("evaluate", "--weights", path, "--residual", "--padding", "end", "--device", "cpu").code == 0
    answer = cli("evaluate", "--weights", path, "--device", "cpu")
    assert "SYNTHETIC STAND-IN" in answer.err
    assert f"{last.test_error:.2%}".replace("%", " %") in answer.out
    assert "the file's metadata" in answer.out


def test_assumptions_about_a_file_are_shown_and_can_be_overridden(cli, image_folder):
    torch.save(ForeignResNet().state_dict(), "their.pth")
    common = ("--weights", "their.pth", "--dataset", "folder", "--data-dir", image_folder, "--image-size", 32)
    values = evaluate_as_json(cli, *common, "--depth", 14)
    assert (values["padding"], values["normalisation"], values["network"]["kind"]) == ("both", "imagenet", "residual")
    assert values["assumed"] == {
        "kind": "--plain", "padding": "--padding end", "normalisation": "--normalisation per-pixel",
    }  # fmt: skip
    chosen = evaluate_as_json(cli, *common, "--padding", "end", "--normalisation", "per-pixel", "--residual")
    assert (chosen["padding"], chosen["normalisation"], chosen["assumed"]) == ("end", "per-pixel", {})
    assert chosen["test"]["loss"] != values["test"]["loss"]
    assert evaluate_as_json(cli, *common, "--plain")["padding"] is None
    shown = cli("evaluate", *common, "--device", "cpu").out
    assert "ASSUMED; change with --padding end" in shown
    assert "test error " in shown
    assert "of 40 images wrong" in shown


def test_options_that_do_not_fit_a_run_and_unknown_runs_are_refused(cli, study):
    for arguments, sentence in (
        ([], "Name either a run"),
        (["s/plain-8-s0", "--weights", "x.pth"], "Name either a run"),
        (["s"], "s has 4 runs: name one of them, such as s/plain-14-s0"),
        (["s/plain-8-s0", "--plain", "--padding", "end"], "drop --plain/--residual, --padding"),
        (
            ["s/nothing"],
            "There is no run 'nothing' in runs/s; the runs are plain-14-s0, plain-8-s0, residual-14-s0, residual-8-s0.",
        ),
        (["t/nothing"], "There is no study 't/nothing'"),
    ):
        answer = cli("evaluate", *arguments)
        assert (answer.code, sentence in answer.err) == (2, True), answer.err
    assert cli("evaluate", "s/plain-8-s0", "--at", 5).code == 6


@pytest.mark.parametrize(
    ("file", "arguments", "sentence"),
    [
        ({}, ["--depth", "20"], "depth 14, not 20: drop --depth"),
        ({}, ["--plain", "--padding", "end"], "a plain network has no shortcuts"),
        ({}, ["--stride-on", "3x3"], "basic blocks have no 1x1 layer"),
        ({}, ["--at", "3"], "drop --at"),
        ({"projection": "shortcut"}, ["--padding", "both"], "its shortcuts are projections"),
        ({"projection": "shortcut"}, ["--plain"], "has projections, so its network is residual"),
        ({"classes": 100}, ["--dataset", "cifar10"], "has 100 classes, but cifar10 has 10"),
        ({}, ["--dataset", "cifar100"], "has 10 classes, but cifar100 has 100"),
        ({}, ["--views", "10"], "--views: images of cifar10 are no larger"),
        ({}, ["--views", "3"], "--views must be 1 or 10, got 3"),
        ({}, ["--image-size", "64"], "images of cifar10 are always 32x32"),
        ({"stages": 4}, [], "4 stages and a 3x3 stem"),
    ],
)
def test_options_that_contradict_a_file_are_refused(cli, file, arguments, sentence):
    torch.save(ForeignResNet(**file).state_dict(), "their.pth")
    answer = cli("evaluate", "--weights", "their.pth", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert sentence in answer.err


def test_network_inputs_are_normalised_as_the_option_says():
    data = load(DataConfig(dataset="synthetic", train_images=60, validation_images=0, test_images=40), Path(), 0)
    inputs = {}
    for name in ("per-pixel", "imagenet", "channel"):
        seen = normalised(data, name)
        inputs[name] = torch.cat([images for images, _ in seen.batches(seen.train)])
    pixels = data.train.images.double() / 255
    mean, std = (torch.tensor(values, dtype=torch.float64).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    assert torch.allclose(inputs["per-pixel"].double(), pixels - pixels.mean(0), atol=1e-6)
    assert torch.allclose(inputs["imagenet"].double(), (pixels - mean) / std, atol=1e-6)
    assert inputs["channel"].mean((0, 2, 3)).abs().max() < 1e-5
    assert torch.allclose(inputs["channel"].square().mean((0, 2, 3)), torch.ones(3), atol=1e-5)


def test_weights_with_nan_are_evaluated_with_a_warning(cli):
    config, net = our_network({"kind": "residual"})
    net.head.weight.data[0, 0] = torch.nan
    synthetic = DataConfig(dataset="synthetic", train_images=60, validation_images=0, test_images=40)
    Path("nan.safetensors").write_bytes(safetensors_file(net, About(run="r", step=3, seed=0, model=config, data=synthetic)))
    assert evaluate_as_json(cli, "--weights", "nan.safetensors")["test"]["loss"] is None
    answer = cli("evaluate", "--weights", "nan.safetensors", "--device", "cpu")
    assert "The loss is not finite" in answer.err
    assert "the error is meaningless" in answer.err


@pytest.mark.cifar10
def test_file_is_evaluated_on_the_real_cifar10_test_images(cli, cifar10):
    net: ResNet = build(ModelConfig(kind="residual", depth=8, width=2), 0)
    torch.save(net.state_dict(), "our.pt")
    values = evaluate_as_json(cli, "--weights", "our.pt", "--normalisation", "channel", "--data-dir", cifar10)
    assert values["test"]["images"] == 10_000
    assert values["known_from"]["images"] == "tensors"
