"""Errors of a file's network and of a run's: exactly those that the run has recorded."""

import json
from pathlib import Path

import pytest
import torch

from resnet_lab.config.schema import DataConfig, ModelConfig
from resnet_lab.data import load as data_load
from resnet_lab.models.resnet import ResNet, build
from resnet_lab.record.store import RunFolder
from resnet_lab.run.device import Resources
from resnet_lab.weights import evaluate as evaluation
from resnet_lab.weights.known import Choices
from tests.weights.networks import ForeignResNet


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
    for path in sorted(Path("runs/s/export").iterdir()):
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
    torch.save(ForeignResNet().state_dict(), "their.pth")
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
