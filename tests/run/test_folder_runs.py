"""Runs on a folder of images: training, resuming, sweeps and evaluation."""

import itertools
import json
import re
import shlex
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from resnet_lab.config.files import load_study
from resnet_lab.config.schema import RunConfig
from resnet_lab.data import folder
from resnet_lab.data.batches import clean_batches
from resnet_lab.data.load import load
from resnet_lab.errors import DataError
from resnet_lab.models.resnet import build
from resnet_lab.record import checkpoint
from resnet_lab.record.store import RunFolder
from resnet_lab.run.experiment import run
from resnet_lab.train.evaluate import evaluate
from tests.builders import kill_at, records_without_times, stop_at
from tests.folders import FOLDER_DATA, FOLDER_RESOURCES, folder_config, smooth_picture, write_images


@pytest.fixture
def images(tmp_path) -> Path:
    """The folder `images` in the working directory."""
    return write_images(tmp_path / "images")


@pytest.mark.parametrize("kind", ["plain", "residual"])
def test_a_run_on_a_folder_resumes_exactly_and_ends_with_ten_crops(images, kind):
    config = folder_config(model__kind=kind)
    whole, parts = RunFolder(Path("whole")), RunFolder(Path("parts"))
    list(run(config, whole, FOLDER_RESOURCES))
    stop_at(2, config, parts, FOLDER_RESOURCES)
    list(run(config, parts, FOLDER_RESOURCES))
    assert records_without_times(parts) == records_without_times(whole)
    last = whole.read().evaluations[-1]
    assert (last.step, last.train_images, last.train_error <= 1) == (6, 30, True)

    data = load(config.data, images, 0)
    net = build(config.model, 0, num_classes=3)
    net.load_state_dict(checkpoint.load(whole, 6)["net"])
    net.eval()
    with torch.inference_mode():
        views = torch.cat([inputs for inputs, _ in clean_batches(data.test, data.mean, views=10)])
        mean = torch.stack([net(views[:, view]).softmax(1) for view in range(10)]).mean(0)
    assert last.test_error == (mean.argmax(1) != data.test.labels).double().mean().item()
    assert last.test_loss == pytest.approx(functional.nll_loss(mean.log(), data.test.labels).item(), rel=1e-4)
    assert evaluate(net, clean_batches(data.test, data.mean))[1] != pytest.approx(last.test_loss, rel=1e-4)
    environment = json.loads((whole.path / "environment.json").read_text())
    assert environment["data"]["train_images"] == 36


def interrupted_run(config: RunConfig, path: Path) -> RunFolder:
    """A run that was killed after its first evaluation."""
    run_folder = RunFolder(path)
    kill_at(4, config, run_folder, FOLDER_RESOURCES)
    return run_folder


def rename_an_image(images: Path) -> None:
    (images / "val" / "cat" / "00.png").rename(images / "val" / "cat" / "0.png")


@pytest.mark.parametrize("change", [rename_an_image, lambda images: (images / "val" / "cat" / "00.png").unlink()])
def test_a_study_refuses_images_other_than_those_it_began_with(cli, images, change):
    config, name = folder_config(), "f/residual-imagenet-18-s0"
    begun = interrupted_run(config, Path("runs") / name)
    before = begun.records()
    change(images)
    words = rf"The images in images are not those of runs/{name}.*Name the original folder with --data-dir"
    for other, seed in ((begun, 0), (RunFolder(Path("runs/f/residual-imagenet-18-s1")), 1)):
        with pytest.raises(DataError, match=words):
            list(run(folder_config(seed=seed), other, FOLDER_RESOURCES))
    assert begun.records() == before
    assert not Path("runs/f/residual-imagenet-18-s1").exists()
    data = [part for key, value in FOLDER_DATA.items() for part in ("--set", f"data.{key}={value}")]
    for command in (
        ["evaluate", name, "--at", 0],
        ["analyze", "responses", name, "--at", 0],
        ["sweep", "imagenet", "--study", "f", "--set", "sweep.depths=[34]", "--set", "recipe.batch_size=8", *data],
    ):
        answer = cli(*command, "--data-dir", images)
        assert (answer.code, "are not those of runs/f" in answer.err) == (3, True), answer.err
    assert not Path("runs/f/plain-imagenet-34-s0").exists()


def test_a_replaced_image_is_accepted_on_resume_and_reported(cli, images):
    config, name = folder_config(log__keep=[3]), "f/residual-imagenet-18-s0"
    begun = interrupted_run(config, Path("runs") / name)
    first = begun.read_image_digests()
    smooth_picture(999, 50, 50).save(images / "val" / "cat" / "00.png")
    assert cli("evaluate", name, "--at", 0, "--data-dir", images).code == 3
    items = list(run(config, begun, FOLDER_RESOURCES))
    assert any(
        "image files differ in size from those that runs/f/residual-imagenet-18-s0 was trained on" in str(item) for item in items
    )
    resumed = next(item for item in items if getattr(item, "name", "") == "resumed")
    assert (resumed.step, begun.read().state) == (3, "finished")
    assert resumed.detail["changed"]["images"] == begun.read_image_digests()._asdict() != first._asdict()
    assert begun.read().image_digests == begun.read_image_digests()
    assert cli("evaluate", name, "--data-dir", images, "--device", "cpu").code == 0


@pytest.mark.parametrize(("part", "resumed_at"), [("train", 5), ("validation", 4), ("test", 6)])
def test_a_run_failed_on_an_unreadable_image_resumes_once_it_is_repaired(images, part, resumed_at):
    """It fails in its fifth batch, in the plateau check of step 4, or in its last evaluation."""
    config, whole, parts = folder_config(), RunFolder(Path("whole")), RunFolder(Path("parts"))
    list(run(config, whole, FOLDER_RESOURCES))
    items = run(config, parts, FOLDER_RESOURCES)
    while getattr(next(items), "step", 0) < 3:
        pass
    contents = {file: Path(file).read_bytes() for file in getattr(load(config.data, Path("images"), 0), part).files}
    for file in contents:
        Path(file).write_bytes(b"no image")
    with pytest.raises(DataError, match="cannot be read as an image"):
        list(items)
    assert parts.read().state == "failed"
    assert "cannot be read as an image" in parts.events()[-1].detail["reason"]
    for file, content in contents.items():
        Path(file).write_bytes(content)
    events = [item for item in run(config, parts, FOLDER_RESOURCES) if getattr(item, "name", "") in ("started", "resumed")]
    assert [event.step for event in events] == [resumed_at]
    assert records_without_times(parts) == records_without_times(whole)


def test_a_sweep_over_a_folder_of_images_runs_from_count_to_report(cli, images):
    counted = json.loads(cli("data", "--dataset", "folder", "--data-dir", images, "--json").out)
    assert (counted["num_classes"], counted["train_images"], counted["test_images"]) == (3, 36, 12)
    images = images.rename(images.with_name("my images"))
    command = shlex.split(cli("data", "--dataset", "folder", "--data-dir", images).out.splitlines()[-1])
    assert command[:5] == ["resnet-lab", "sweep", "imagenet", "--data-dir", str(images)]
    flags = command[5:]
    assert flags[-4:] == ["--set", "data.validation_images=3", "--set", "recipe.batch_size=32"]
    smaller = {
        "data.image_size": 32, "model.width": 4, "recipe.steps": 2, "recipe.batch_size": 8, "evaluation.every": 2,
        "evaluation.train_images": 30, "evaluation.final_train_images": 30, "compute.compile": "false", "sweep.depths": "[18]",
    }  # fmt: skip
    more = [part for key, value in smaller.items() for part in ("--set", f"{key}={value}")]
    answer = cli("sweep", "imagenet", "--data-dir", images, "--threads", 1, *flags, *more)
    assert answer.code == 0, answer.err
    assert cli("compare", "imagenet").code == 0
    assert cli("report", "imagenet").code == 0
    report = Path("runs/imagenet/report/report.md").read_text()
    assert "Sec. 3.4" in report
    assert "ten crops" in report
    assert "STAND-IN" not in report
    assert cli("analyze", "responses", "imagenet", "--data-dir", images).code == 0


@pytest.mark.parametrize(("classes", "number"), [(1, 9), (2, 1), (2, 5), (7, 50)])
def test_data_prints_a_valid_sweep_command_for_any_folder_or_the_reason(cli, tmp_path, classes, number):
    for part, label, index in itertools.product(("train", "val"), range(classes), range(number)):
        (tmp_path / "few" / part / f"{label}\udcff").mkdir(parents=True, exist_ok=True)
        (tmp_path / "few" / part / f"{label}\udcff" / f"{index}.png").write_bytes(b"")
    values = json.loads(cli("data", "--dataset", "folder", "--data-dir", "few", "--json").out)
    assert (values["num_classes"], values["classes"][0]) == (classes, "0\N{REPLACEMENT CHARACTER}")
    last = cli("data", "--dataset", "folder", "--data-dir", "few").out.splitlines()[-1]
    if classes == 1:
        assert last == "Training needs at least two classes and two training images."
        return
    study = load_study("imagenet", shlex.split(last)[6::2])
    assert study.run(kind="plain", depth=18).data.train_images == classes * number


def test_an_unreadable_image_is_named(cli, images):
    (images / "val" / "bee" / "01.jpg").write_bytes(b"no image")
    flags = [part for key, value in FOLDER_DATA.items() for part in ("--set", f"data.{key}={value}")]
    small = ["--set", "recipe.steps=1", "--set", "recipe.batch_size=8", "--set", "evaluation.final_train_images=1"]
    answer = cli("train", "--config", "imagenet", "--depth", 18, "--plain", "--data-dir", images, *flags, *small, "--no-compile")
    assert answer.code == 3
    assert "01.jpg cannot be read as an image" in answer.err
    assert "Traceback" not in answer.err


def test_a_torchvision_network_is_evaluated_on_a_folder_of_images(cli, images):
    from torchvision import models

    torch.manual_seed(0)
    theirs = models.resnet18(num_classes=3).eval()
    torch.save(theirs.state_dict(), "theirs.pth")
    more = ["--data-dir", images, "--device", "cpu", "--json"]
    evaluation = json.loads(cli("evaluate", "--weights", "theirs.pth", "--views", 10, *more).out)
    assert [evaluation[key] for key in ("images", "views", "padding", "normalisation")] == ["folder", 10, None, "imagenet"]
    squares = torch.cat(
        [folder.decode(folder.Crop(file, 256, 256, (0.5, 0.5)))[None] for file in folder.find(images, 224)[1].files]
    )
    mean, std = (torch.tensor(channels).view(3, 1, 1) for channels in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.inference_mode():
        crops = (folder.ten_crops(squares, 224) / 255 - mean) / std
        probabilities = torch.stack([theirs(crops[:, view]).softmax(1) for view in range(10)]).mean(0)
    labels = folder.find(images, 224)[1].labels
    assert evaluation["test"]["error"] == (probabilities.argmax(1) != labels).double().mean().item()
    assert evaluation["test"]["loss"] == pytest.approx(functional.nll_loss(probabilities.log(), labels).item(), rel=1e-3)
    assert cli("evaluate", "--weights", "theirs.pth", "--data-dir", images.parent).code == 3
    (images / "train").rename(images / "elsewhere")
    answer = cli("evaluate", "--weights", "theirs.pth", "--data-dir", images, "--device", "cpu")
    for row in (
        "ASSUMED; change with --normalisation per-pixel",
        "ASSUMED; change with --image-size N",
        "by convention; change with --views 10",
    ):
        assert re.search(rf"{row} *\n", answer.out), answer.err  # the training images are not asked for
    assert cli("evaluate", "--weights", "theirs.pth", "--train", *more).code == 3
    (images / "elsewhere").rename(images / "train")
    assert json.loads(cli("evaluate", "--weights", "theirs.pth", "--train", *more).out)["train"]["images"] == 36
    assert "channel is only for CIFAR" in cli("evaluate", "--weights", "theirs.pth", "--normalisation", "channel", *more).err
    torch.save(models.resnet18(num_classes=10).state_dict(), "theirs.pth")
    assert "such as --dataset cifar10" in cli("evaluate", "--weights", "theirs.pth").err
    torch.save(models.resnet18(num_classes=7).state_dict(), "theirs.pth")
    assert "has 7 classes, but" in cli("evaluate", "--weights", "theirs.pth", *more).err


def test_evaluate_repeats_the_final_evaluation_of_a_run_on_a_folder(cli, images):
    config = folder_config()
    run_folder = RunFolder(Path("runs/f/residual-imagenet-18-s0"))
    list(run(config, run_folder, FOLDER_RESOURCES))
    last = run_folder.read().evaluations[-1]
    name = "f/residual-imagenet-18-s0"
    whole = json.loads(cli("evaluate", name, "--data-dir", images, "--device", "cpu", "--train", "--json").out)
    assert (whole["test"]["error"], whole["train"]["error"], whole["views"]) == (last.test_error, last.train_error, 10)
    single = json.loads(cli("evaluate", name, "--data-dir", images, "--device", "cpu", "--views", 1, "--json").out)
    assert single["test"]["loss"] != whole["test"]["loss"]
    assert cli("export", "--to", "safetensors", name).code == 0
    file = "runs/f/export/residual-imagenet-18-s0.safetensors"
    again = json.loads(cli("evaluate", "--weights", file, "--views", 10, "--data-dir", images, "--device", "cpu", "--json").out)
    assert again["test"] == whole["test"]

    same = cli("evaluate", "--weights", file, "--views", 10, "--data-dir", images, "--dataset", "folder", "--json", "--train")
    assert (json.loads(same.out)["test"], json.loads(same.out)["train"]) == (whole["test"], whole["train"])

    message = cli("export", "--to", "torchvision", name).err
    command = shlex.split(message.split("`")[1].replace("FOLDER", str(images)))
    assert command[:2] == ["resnet-lab", "evaluate"]
    evaluation = json.loads(cli(*command[1:], "--device", "cpu", "--json").out)
    assert (evaluation["image_size"], evaluation["views"], evaluation["assumed"].keys()) == (32, 10, {"kind"})
    assert evaluation["test"]["loss"] == pytest.approx(whole["test"]["loss"], rel=0.1)  # the mean is that of other images

    for fewer in (False, True):  # an image renamed, and an image less: other images, another mean
        ant = images / "train" / "ant"
        (ant / "00.png").unlink() if fewer else (ant / "01.jpg").rename(ant / "1.jpg")
        answer = cli("evaluate", "--weights", file, "--data-dir", images)
        assert (answer.code, answer.out) == (3, "")
        assert "is not the image folder that runs/f/export/residual-imagenet-18-s0.safetensors was trained on" in answer.err
    other = json.loads(cli("evaluate", "--weights", file, "--data-dir", images, "--dataset", "folder", "--json").out)
    assert (other["image_size"], other["known_from"]["image size"]) == (32, "metadata")
