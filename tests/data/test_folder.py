"""A folder of images: found, decoded, cropped, trained on; and CIFAR-100."""

import dataclasses
import hashlib
import itertools
import json
import pickle
import re
import shlex
import shutil
import tarfile
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch.nn import functional

from resnet_lab.config.files import load_study
from resnet_lab.config.paper import always, departures, recipe_for
from resnet_lab.config.schema import DataConfig, RunConfig
from resnet_lab.data import cifar, folder
from resnet_lab.data.batches import clean_batches
from resnet_lab.data.folder import FolderBatches, FolderSet
from resnet_lab.data.load import load, training_batches
from resnet_lab.errors import ConfigError, DataError
from resnet_lab.models.resnet import build
from resnet_lab.record import checkpoint
from resnet_lab.record.digests import Digests
from resnet_lab.record.store import RunFolder
from resnet_lab.rng import generator
from resnet_lab.run.device import Resources
from resnet_lab.run.experiment import run
from resnet_lab.train.evaluate import evaluate
from tests.builders import settings

CLASSES = ("ant", "bee", "cat")
HERE = Resources(data_dir=Path("images"), device="cpu", threads=1)
OF_FOLDER = {
    "dataset": "folder", "num_classes": 3, "image_size": 32, "train_images": 36, "validation_images": 6, "test_images": 12,
}  # fmt: skip


def picture(index: int, width: int, height: int) -> Image.Image:
    """A smooth picture that is another for every index."""
    coarse = torch.rand(1, 3, 4, 5, generator=generator(index, "test/picture"))
    smooth = functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=True)[0]
    pixels = (255 * smooth).to(torch.uint8).permute(1, 2, 0).contiguous()
    return Image.frombytes("RGB", (width, height), bytes(pixels.flatten().tolist()))


@pytest.fixture
def images(tmp_path):
    """`images` with 12 training and 4 test images a class, of many shapes and three modes; tests run in its parent."""
    root = tmp_path / "images"
    for part, count in (("train", 12), ("val", 4)):
        for label, name in enumerate(CLASSES):
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                image = picture(100 * label + number + 50 * (part == "val"), 40 + 7 * number, 60 - 3 * label)
                kind = "jpg" if number % 3 else "png"
                mode = {0: "L", 1: "RGB", 2: "RGBA"}[number % 3] if kind == "png" else "RGB"
                image.convert(mode).save(root / part / name / f"{number:02}.{kind}")
    return root


def config_of(**changes: object) -> RunConfig:
    model = {"kind": "residual", "layout": "imagenet", "depth": 18, "width": 4}
    return RunConfig.model_validate(
        settings(**{
            "model": model, "data": OF_FOLDER, "recipe__steps": 6, "recipe__batch_size": 8, "evaluation__every": 3,
            "evaluation__final_test_views": 10, **changes,
        })
    )  # fmt: skip


def test_images_are_found_by_class_and_name(images):
    train, test, classes = folder.find(images, 32)
    assert classes == CLASSES
    assert (len(train), len(test), train.labels.tolist()) == (36, 12, [0] * 12 + [1] * 12 + [2] * 12)
    assert list(train.files) == sorted(train.files)
    picked = train.pick(torch.tensor([30, 2]))
    assert (picked.labels.tolist(), picked.files[1]) == ([2, 0], train.files[2])


def test_the_digests_are_of_names_and_of_sizes_wherever_the_folder_is(images, monkeypatch):
    def digests(root: Path) -> Digests:
        return folder.digests(root, *folder.find(root, 32)[:2])

    first = digests(images)
    assert digests(Path("images")) == first
    moved = images.rename(images.with_name("moved"))
    monkeypatch.chdir(moved)
    assert digests(Path()) == digests(moved) == digests(Path("../moved/")) == first
    with (moved / "train" / "bee" / "03.png").open("ab") as file:
        file.write(b"!")
    second = digests(moved)
    assert (second.names == first.names, second.files == first.files) == (True, False)
    (moved / "val" / "ant" / "00.png").rename(moved / "val" / "ant" / "000.png")
    assert digests(moved).names != first.names


def test_hidden_names_are_no_classes_and_no_images(images):
    before = folder.find(images, 32)
    for place in (images / "train", images / "train" / "ant"):
        (place / ".ipynb_checkpoints").mkdir()
        (place / ".ipynb_checkpoints" / "00.png").write_bytes(b"")
    (images / "val" / "ant" / "._00.png").write_bytes(b"")
    (images / "val" / "ant" / "notes.txt").write_text("none")
    after = folder.find(images, 32)
    assert (after[2], after[1].files, after[0].files) == (before[2], before[1].files, before[0].files)
    (images / "val" / "ant" / "again").symlink_to("..")
    with pytest.raises(DataError, match="are the same folder through a symbolic link"):
        folder.find(images, 32)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda root: (root / "val").rename(root / "test"), "There is no folder val in"),
        (lambda root: (root / "val" / "cat").rename(root / "val" / "dog"), "different classes, such as 'cat'"),
        (lambda root: [file.unlink() for file in (root / "train" / "bee").iterdir()], "is not a folder of images"),
        (
            lambda root: shutil.copytree(root / "train" / "bee", shutil.rmtree(root / "val") or root / "val"),
            "has no class folders",
        ),
    ],
)
def test_other_folders_are_refused_with_what_is_wanted(images, spoil, words):
    spoil(images)
    with pytest.raises(DataError, match=rf"{words}(.|\n)*train/CLASS/IMAGE.jpg and val/CLASS"):
        folder.find(images, 32)


def test_a_folder_of_other_size_than_the_settings_says_what_to_set(images):
    wrong = DataConfig.model_validate(OF_FOLDER | {"num_classes": 5, "train_images": 99})
    with pytest.raises(ConfigError, match=r"36 training and 12 test images of 3 classes.*=3 --set data.train_images=36\.$"):
        load(wrong, images, 0)
    fewer = load(DataConfig.model_validate(OF_FOLDER | {"train_images": 20, "test_images": 5}), images, 0)
    assert fewer.validation is not None
    assert (len(fewer.train), len(fewer.validation), len(fewer.test)) == (14, 6, 5)


def pixels(image: Image.Image) -> torch.Tensor:
    return torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(image.height, image.width, 3).permute(2, 0, 1)


@pytest.mark.parametrize(("width", "height"), [(90, 60), (60, 90), (64, 64)])
def test_a_crop_is_that_of_the_resized_image(tmp_path, width, height):
    picture(1, width, height).save(tmp_path / "x.png")
    side = min(width, height)
    half = picture(1, width, height).resize((width // 2, height // 2), Image.Resampling.BILINEAR)
    found = folder.decode(folder._Crop(str(tmp_path / "x.png"), 20, side // 2, (0.0, 0.999)))
    left = width // 2 - 20
    assert (found.int() - pixels(half.crop((left, 0, left + 20, 20))).int()).abs().max() <= 1
    square = folder.decode(folder._Crop(str(tmp_path / "x.png"), side, side, (0.5, 0.5)))
    left, top = (width - side) // 2, (height - side) // 2
    assert torch.equal(square, pixels(picture(1, width, height).crop((left, top, left + side, top + side))))


def test_any_shape_and_mode_becomes_a_crop_of_three_channels(tmp_path):
    for index, (width, height, mode) in enumerate(
        [(3, 500, "RGB"), (77, 31, "P"), (40, 41, "LA"), (64, 64, "1"), (5, 5, "CMYK")]
    ):
        path = tmp_path / f"{index}.{'jpg' if mode == 'CMYK' else 'png'}"
        picture(index, width, height).convert(mode).save(path)
        for place in ((0.0, 0.0), (0.999999, 0.999999)):
            assert folder.decode(folder._Crop(str(path), 32, 37, place)).shape == (3, 32, 32)


@pytest.mark.parametrize(("order", "mode"), [("little", "I;16"), ("big", "I;16B")])
def test_sixteen_bits_are_scaled_and_not_cut_off(tmp_path, order, mode):
    levels = [0, 255, 256, 32_768, 65_535, 40_000, 1_000, 300, 20_000]
    image = Image.frombytes(mode, (3, 3), b"".join(level.to_bytes(2, order) for level in levels))
    image.save(tmp_path / "x.tiff")
    found = folder.decode(folder._Crop(str(tmp_path / "x.tiff"), 3, 3, (0.0, 0.0)))
    assert found[0].flatten().tolist() == [level // 256 for level in levels]
    assert torch.equal(found[0], found[2])
    Image.new("F", (3, 3), 0.5).save(tmp_path / "f.tiff")
    with pytest.raises(DataError, match=r"f\.tiff cannot be read as an image .*mode F has no defined range"):
        folder.decode(folder._Crop(str(tmp_path / "f.tiff"), 3, 3, (0.0, 0.0)))


def test_a_palette_with_transparency_is_read_without_a_warning(tmp_path):
    image = picture(0, 9, 9).convert("P")
    expected = pixels(image.convert("RGB"))
    image.info["transparency"] = bytes(range(256))
    image.save(tmp_path / "x.png")
    found = folder.decode(folder._Crop(str(tmp_path / "x.png"), 9, 9, (0.0, 0.0)))
    assert torch.equal(found, expected)


def test_sides_go_from_256_to_480_and_crops_anywhere():
    drawn = folder.draw(generator(0, "test"), 20_000, 224)
    assert set(drawn.sides.tolist()) == set(range(256, 481))
    assert (drawn.positions.min() >= 0, drawn.positions.max() < 1) == (True, True)
    assert 0.45 < drawn.flips.float().mean() < 0.55
    assert drawn.colours.std().item() == pytest.approx(0.1, rel=0.02)
    assert folder.test_side(224) == 256


def test_ten_crops_are_corners_and_centre_and_their_flips():
    squares = torch.arange(2 * 3 * 6 * 6).view(2, 3, 6, 6)
    crops = folder.ten_crops(squares, 4)
    assert crops.shape == (2, 10, 3, 4, 4)
    places = [(0, 0), (0, 2), (2, 0), (2, 2), (1, 1)]
    for index, (row, column) in enumerate(places):
        assert torch.equal(crops[:, index], squares[:, :, row : row + 4, column : column + 4])
    assert torch.equal(crops[:, 5:], crops[:, :5].flip(-1))
    assert torch.equal(crops[:, 4], folder.centre(squares, 4))


def test_mean_and_components_are_those_of_the_centres(images):
    train, _, _ = folder.find(images, 32)
    mean, components = folder.statistics(train, 0)
    centres = torch.cat([chunk for chunk, _ in train.chunks(5)]).double() / 255
    torch.testing.assert_close(mean, centres.mean(0).float())
    covariance = torch.cov(centres.transpose(0, 1).flatten(1), correction=0)
    torch.testing.assert_close((components.T @ components).double(), covariance, atol=1e-6, rtol=1e-4)
    assert (components @ components.T - torch.diag(components.square().sum(1))).abs().max() < 1e-6
    assert (components.max(1).values == components.abs().max(1).values).all()


def test_a_batch_is_a_function_of_seed_and_step(images):
    data = load(DataConfig.model_validate(OF_FOLDER), images, 0)
    forwards, backwards, other = (training_batches(data, 8, seed) for seed in (0, 0, 1))
    assert isinstance(forwards, FolderBatches)
    steps = list(range(9))
    first = {step: forwards(step) for step in steps}
    for step in (5, 0, 8, 7, 3):  # out of turn, what was decoded ahead is dropped
        assert all(torch.equal(a, b) for a, b in zip(first[step], backwards(step), strict=True))
    assert not torch.equal(first[0][0], other(0)[0])
    assert [len(first[step][1]) for step in range(4)] == [8, 8, 8, 6]
    assert first[0][0].is_contiguous(memory_format=torch.channels_last)


def test_a_batch_is_crop_mean_colour_and_flip(images):
    data = load(DataConfig.model_validate(OF_FOLDER), images, 0)
    assert isinstance(data.train, FolderSet)
    assert data.components is not None
    batches = FolderBatches(data.train, data.mean, data.components, 8, 0)
    inputs, labels = batches(2)
    drawn = folder.draw(generator(0, "data/augment", 2), 8, 32)
    assert len(set(drawn.flips.tolist())) == 2
    for place, index in enumerate(batches.order(2).tolist()):
        crop = folder._Crop(data.train.files[index], 32, int(drawn.sides[place]), drawn.positions[place].tolist())
        seen = folder.decode(crop).flip(-1) if drawn.flips[place] else folder.decode(crop)
        expected = seen.float() / 255 - data.mean + (drawn.colours[place] @ data.components)[:, None, None]
        torch.testing.assert_close(inputs[place], expected)
        assert labels[place] == data.train.labels[index]


@pytest.mark.parametrize("kind", ["plain", "residual"])
def test_a_run_on_a_folder_resumes_exactly_and_ends_with_ten_crops(images, kind):
    config = config_of(model__kind=kind)
    whole, parts = RunFolder(Path("whole")), RunFolder(Path("parts"))
    list(run(config, whole, HERE))
    seen = {"records": 0}

    def _count(record: object) -> None:
        seen["records"] += 1

    for said in run(config, parts, HERE, stop=lambda: seen["records"] > 1):
        _count(said)
    assert parts.read().state == "interrupted"
    list(run(config, parts, HERE))
    without_times = [[dataclasses.replace(each, seconds=0.0) for each in each_folder.records()] for each_folder in (whole, parts)]
    assert without_times[0] == without_times[1]
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
    said = json.loads((whole.path / "environment.json").read_text())
    assert said["data"]["train_images"] == 36


def begun_run(config: RunConfig, where: Path) -> RunFolder:
    """A run that is left after its first evaluation."""
    begun = RunFolder(where)
    said = run(config, begun, HERE)
    while getattr(next(said), "step", 0) < 4:
        pass
    said.close()
    return begun


def renamed(images: Path) -> None:
    (images / "val" / "cat" / "00.png").rename(images / "val" / "cat" / "0.png")


@pytest.mark.parametrize("change", [renamed, lambda images: (images / "val" / "cat" / "00.png").unlink()])
def test_other_images_than_at_its_beginning_are_refused_in_a_whole_study(cli, images, change):
    config, name = config_of(), "f/residual-imagenet-18-s0"
    begun = begun_run(config, Path("runs") / name)
    before = begun.records()
    change(images)
    words = rf"The images in images are not those of runs/{name}.*Name the original folder with --data-dir"
    for other, seed in ((begun, 0), (RunFolder(Path("runs/f/residual-imagenet-18-s1")), 1)):
        with pytest.raises(DataError, match=words):
            list(run(config_of(seed=seed), other, HERE))
    assert begun.records() == before
    assert not Path("runs/f/residual-imagenet-18-s1").exists()
    data = [part for key, value in OF_FOLDER.items() for part in ("--set", f"data.{key}={value}")]
    for command in (
        ["evaluate", name, "--at", 0],
        ["analyze", "responses", name, "--at", 0],
        ["sweep", "imagenet", "--study", "f", "--set", "sweep.depths=[34]", "--set", "recipe.batch_size=8", *data],
    ):
        answer = cli(*command, "--data-dir", images)
        assert (answer.code, "are not those of runs/f" in answer.err) == (3, True), answer.err
    assert not Path("runs/f/plain-imagenet-34-s0").exists()


def test_an_image_that_was_replaced_is_taken_and_told(cli, images):
    config, name = config_of(log__keep=[3]), "f/residual-imagenet-18-s0"
    begun = begun_run(config, Path("runs") / name)
    first = begun.read_image_digests()
    picture(999, 50, 50).save(images / "val" / "cat" / "00.png")
    assert cli("evaluate", name, "--at", 0, "--data-dir", images).code == 3
    said = list(run(config, begun, HERE))
    assert any(
        "image files differ in size from those that runs/f/residual-imagenet-18-s0 was trained on" in str(each) for each in said
    )
    resumed = next(each for each in said if getattr(each, "name", "") == "resumed")
    assert (resumed.step, begun.read().state) == (3, "finished")
    assert resumed.detail["changed"]["images"] == begun.read_image_digests()._asdict() != first._asdict()
    assert begun.read().image_digests == begun.read_image_digests()
    assert cli("evaluate", name, "--data-dir", images, "--device", "cpu").code == 0


def test_as_many_threads_decode_as_torch_has_and_none_waits(images):
    train, _, _ = folder.find(images, 32)
    torch.set_num_threads(2)
    asked: list[int] = []

    def crops(index: int) -> list[folder._Crop]:
        asked.append(index)
        return [folder._Crop(train.files[index], 32, 37, (0.5, 0.5))]

    decoder = folder._Decoder(crops, 1, 36)
    assert decoder(0).shape == (1, 3, 32, 32)
    assert asked == list(range(9))  # four crops a thread ahead
    assert decoder._pool._max_workers == 2
    assert len(folder._Decoder(crops, 256)._pending) == 0
    assert folder._Decoder(crops, 256)._batches_ahead == 2


@pytest.mark.parametrize(("part", "goes_on_at"), [("train", 5), ("validation", 0), ("test", 6)])
def test_a_run_that_meets_an_unreadable_image_is_saved_and_goes_on_when_it_is_mended(images, part, goes_on_at):
    """In its fifth batch, in the plateau check that is part of step 4, which begins anew, and in the last evaluation."""
    config, whole, parts = config_of(), RunFolder(Path("whole")), RunFolder(Path("parts"))
    list(run(config, whole, HERE))
    said = run(config, parts, HERE)
    while getattr(next(said), "step", 0) < 3:
        pass
    broken = {file: Path(file).read_bytes() for file in getattr(load(config.data, Path("images"), 0), part).files}
    for file in broken:
        Path(file).write_bytes(b"no image")
    with pytest.raises(DataError, match="cannot be read as an image"):
        list(said)
    assert parts.read().state == "failed"
    assert "cannot be read as an image" in parts.events()[-1].detail["reason"]
    for file, content in broken.items():
        Path(file).write_bytes(content)
    events = [said for said in run(config, parts, HERE) if getattr(said, "name", "") in ("started", "resumed")]
    assert [event.step for event in events] == [goes_on_at]
    without_times = [[dataclasses.replace(each, seconds=0.0) for each in each_folder.records()] for each_folder in (whole, parts)]
    assert without_times[0] == without_times[1]


def test_the_preset_is_the_papers_recipe_but_for_the_held_out_images():
    config = load_study("imagenet").run(kind="residual", depth=34)
    assert recipe_for(config).section == "Sec. 3.4"
    assert [sentence.split()[0] for sentence in departures(config)] == ["The", "1,271,167"]
    assert config.epoch_steps == 4966
    deeper = load_study("imagenet", ["model.block=bottleneck", "model.shortcut=B"]).run(kind="residual", depth=152)
    assert len(departures(deeper)) == 2
    others = [
        (["model.shortcut=B"], 18, "18-layer network uses option A"),
        (["model.block=bottleneck"], 50, "bottleneck networks use option B"),
        (["model.block=bottleneck", "model.shortcut=B", "model.stride_on=3x3"], 50, "released models have it on the first 1x1"),
        (["recipe.warmup.from_depth=34"], 34, "the paper warms up only CIFAR networks"),
    ]
    for overrides, depth, words in others:
        found = departures(load_study("imagenet", overrides).run(kind="residual", depth=depth))
        assert (len(found), words in found[2]) == (3, True), found
    assert "128 images" not in " ".join(always(config))
    assert "128 images" in " ".join(always(load_study("paper").run(kind="plain", depth=20)))
    assert "10 images; the paper's is measured on 50,000" in " ".join(departures(config_of(data=OF_FOLDER | {"test_images": 10})))


def test_a_sweep_over_a_folder_from_the_command_line(cli, images):
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
def test_any_folder_is_told_a_command_that_is_taken_or_why_there_is_none(cli, tmp_path, classes, number):
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


def test_an_image_that_cannot_be_read_is_named(cli, images):
    (images / "val" / "bee" / "01.jpg").write_bytes(b"no image")
    flags = [part for key, value in OF_FOLDER.items() for part in ("--set", f"data.{key}={value}")]
    small = ["--set", "recipe.steps=1", "--set", "recipe.batch_size=8", "--set", "evaluation.final_train_images=1"]
    answer = cli("train", "--config", "imagenet", "--depth", 18, "--plain", "--data-dir", images, *flags, *small, "--no-compile")
    assert answer.code == 3
    assert "01.jpg cannot be read as an image" in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["data.dataset=folder"], "required for a folder of images"),
        (["data.num_classes=20"], "data.num_classes: must be 10 for cifar10, got 20"),
        (["data.dataset=cifar100", "data.image_size=64"], "data.image_size: must be 32 for cifar100, got 64"),
        (["data.train_images=60000"], "data.train_images: cifar10 has only 50,000, got 60,000"),
        (["evaluation.final_test_views=10"], "ten crops require images larger than the network's input"),
        (["evaluation.final_test_views=3"], "evaluation.final_test_views"),
    ],
)
def test_settings_that_do_not_fit_the_data_set_are_refused(cli, overrides, words):
    answer = cli("train", "--depth", 20, "--plain", *(part for each in overrides for part in ("--set", each)))
    assert answer.code == 2
    assert words in answer.err


@pytest.fixture
def cifar100(tmp_path, monkeypatch):
    """An archive with the layout of CIFAR-100 and made-up images, known under its own checksums; its folder."""
    source, random = tmp_path / "source", torch.Generator().manual_seed(0)
    (source / cifar.CIFAR100.folder).mkdir(parents=True)
    for name, count in (("train", 300), ("test", 100)):
        data = torch.randint(0, 256, (count, 3072), dtype=torch.uint8, generator=random).numpy()
        content = {"data": data, "fine_labels": [index % 100 for index in range(count)], "coarse_labels": [0] * count}
        (source / cifar.CIFAR100.folder / name).write_bytes(pickle.dumps(content))
    (source / cifar.CIFAR100.folder / "meta").write_bytes(pickle.dumps({"fine_label_names": [f"class {i}" for i in range(100)]}))
    place = tmp_path / "data"
    place.mkdir()
    with tarfile.open(place / cifar.CIFAR100.archive, "w:gz") as archive:
        archive.add(source / cifar.CIFAR100.folder, cifar.CIFAR100.folder)
    md5 = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in (source / cifar.CIFAR100.folder).iterdir()}
    known = dataclasses.replace(
        cifar.CIFAR100,
        archive_md5=hashlib.md5((place / cifar.CIFAR100.archive).read_bytes()).hexdigest(),
        **{f"{part}_file{'s' * (part != 'meta')}": {part: md5[part]} for part in ("train", "test", "meta")},
    )
    monkeypatch.setitem(cifar.CIFARS, "cifar100", known)
    return place


def test_cifar100_is_trained_on(cli, cifar100):
    described = cli("data", "--dataset", "cifar100", "--data-dir", cifar100)
    assert "CIFAR-100 in" in described.out
    assert "300 training and 100 test images, 32x32, in 100 classes" in described.out
    config = RunConfig.model_validate(
        settings(data={"dataset": "cifar100", "train_images": 300, "validation_images": 50, "test_images": 100}, recipe__steps=3)
    )
    assert config.data.num_classes == 100
    assert config.digest() != config.model_copy(update={"data": config.data.model_copy(update={"num_classes": 10})}).digest()
    list(run(config, RunFolder(Path("runs/c/residual-8-s0")), Resources(cifar100, "cpu", 1)))
    found = RunFolder(Path("runs/c/residual-8-s0")).read()
    assert found.evaluations[-1].step == 3
    assert checkpoint.load(found.folder, 3)["net"]["head.weight"].shape == (100, 16)
    assert cli("compare", "c").code == 0
    assert "STAND-IN" not in cli("report", "c").err


def test_missing_cifar100_says_how_to_get_it(cli):
    answer = cli("train", "--depth", 8, "--plain", "--set", "data.dataset=cifar100")
    assert answer.code == 3
    assert "`resnet-lab data --dataset cifar100 --download`" in answer.err
    assert "cifar-100-python.tar.gz" in answer.err
    assert cli("data", "--dataset", "folder", "--download").code == 2


def test_torchvisions_network_is_evaluated_on_a_folder(cli, images):
    from torchvision import models

    torch.manual_seed(0)
    theirs = models.resnet18(num_classes=3).eval()
    torch.save(theirs.state_dict(), "theirs.pth")
    more = ["--data-dir", images, "--device", "cpu", "--json"]
    found = json.loads(cli("evaluate", "--weights", "theirs.pth", "--views", 10, *more).out)
    assert (found["images"], found["views"], found["padding"], found["normalisation"]) == ("folder", 10, None, "imagenet")
    squares = torch.cat(
        [folder.decode(folder._Crop(file, 256, 256, (0.5, 0.5)))[None] for file in folder.find(images, 224)[1].files]
    )
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.inference_mode():
        crops = (folder.ten_crops(squares, 224) / 255 - mean) / std
        chances = torch.stack([theirs(crops[:, view]).softmax(1) for view in range(10)]).mean(0)
    labels = folder.find(images, 224)[1].labels
    assert found["test"]["error"] == (chances.argmax(1) != labels).double().mean().item()
    assert found["test"]["loss"] == pytest.approx(functional.nll_loss(chances.log(), labels).item(), rel=1e-3)
    assert cli("evaluate", "--weights", "theirs.pth", "--data-dir", images.parent).code == 3
    (images / "train").rename(images / "elsewhere")
    shown = cli("evaluate", "--weights", "theirs.pth", "--data-dir", images, "--device", "cpu")
    for row in (
        "ASSUMED; change with --normalisation per-pixel",
        "ASSUMED; change with --image-size N",
        "by convention; change with --views 10",
    ):
        assert re.search(rf"{row} *\n", shown.out), shown.err  # the training images are not asked for
    assert cli("evaluate", "--weights", "theirs.pth", "--train", *more).code == 3
    (images / "elsewhere").rename(images / "train")
    assert json.loads(cli("evaluate", "--weights", "theirs.pth", "--train", *more).out)["train"]["images"] == 36
    assert "channel is for CIFAR" in cli("evaluate", "--weights", "theirs.pth", "--normalisation", "channel", *more).err
    torch.save(models.resnet18(num_classes=10).state_dict(), "theirs.pth")
    assert "for other images, --dataset cifar10 says so" in cli("evaluate", "--weights", "theirs.pth").err
    torch.save(models.resnet18(num_classes=7).state_dict(), "theirs.pth")
    assert "tells 7 classes apart" in cli("evaluate", "--weights", "theirs.pth", *more).err


def test_a_run_on_a_folder_is_evaluated_as_at_its_end(cli, images):
    config = config_of()
    run_folder = RunFolder(Path("runs/f/residual-imagenet-18-s0"))
    list(run(config, run_folder, HERE))
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

    said = cli("export", "--to", "torchvision", name).err
    command = shlex.split(said.split("`")[1].replace("FOLDER", str(images)))
    assert command[:2] == ["resnet-lab", "evaluate"]
    found = json.loads(cli(*command[1:], "--device", "cpu", "--json").out)
    assert (found["image_size"], found["views"], found["assumed"].keys()) == (32, 10, {"kind"})
    assert found["test"]["loss"] == pytest.approx(whole["test"]["loss"], rel=0.1)  # the mean is that of other images

    for fewer in (False, True):  # renamed, and one less: other images, another mean
        name = images / "train" / "ant"
        (name / "00.png").unlink() if fewer else (name / "01.jpg").rename(name / "1.jpg")
        answer = cli("evaluate", "--weights", file, "--data-dir", images)
        assert (answer.code, answer.out) == (3, "")
        assert "is not the folder of images that runs/f/export/residual-imagenet-18-s0.safetensors was trained on" in answer.err
    other = json.loads(cli("evaluate", "--weights", file, "--data-dir", images, "--dataset", "folder", "--json").out)
    assert (other["image_size"], other["known_from"]["image size"]) == (32, "metadata")
