"""Folders of images: which files are found, how they are decoded, and the batches made of them."""

import shutil
import threading
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from resnet_lab.config.schema import DataConfig
from resnet_lab.data import folder
from resnet_lab.data.folder import FolderBatches, FolderSet
from resnet_lab.data.load import load, training_batches
from resnet_lab.errors import ConfigError, DataError
from resnet_lab.record.digests import Digests
from resnet_lab.rng import generator
from tests.folders import CLASSES, FOLDER_DATA, smooth_picture, write_images


@pytest.fixture
def images(tmp_path) -> Path:
    """The folder `images` in the working directory."""
    return write_images(tmp_path / "images")


def test_images_are_found_sorted_by_class_and_name(images):
    train, test, classes = folder.find(images, 32)
    assert classes == CLASSES
    assert (len(train), len(test), train.labels.tolist()) == (36, 12, [0] * 12 + [1] * 12 + [2] * 12)
    assert list(train.files) == sorted(train.files)
    picked = train.pick(torch.tensor([30, 2]))
    assert (picked.labels.tolist(), picked.files[1]) == ([2, 0], train.files[2])


def test_digests_depend_on_file_names_and_sizes_and_not_on_the_location(images, monkeypatch):
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


def test_hidden_files_are_ignored_and_linked_folders_are_refused(images):
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
def test_a_folder_of_another_layout_is_refused_with_the_expected_layout(images, spoil, words):
    spoil(images)
    with pytest.raises(DataError, match=rf"{words}(.|\n)*train/CLASS/IMAGE.jpg and val/CLASS"):
        folder.find(images, 32)


def test_settings_that_contradict_the_folder_are_refused_with_the_right_ones(images):
    wrong = DataConfig.model_validate(FOLDER_DATA | {"num_classes": 5, "train_images": 99})
    with pytest.raises(ConfigError, match=r"36 training and 12 test images of 3 classes.*=3 --set data.train_images=36\.$"):
        load(wrong, images, 0)
    fewer = load(DataConfig.model_validate(FOLDER_DATA | {"train_images": 20, "test_images": 5}), images, 0)
    assert fewer.validation is not None
    assert (len(fewer.train), len(fewer.validation), len(fewer.test)) == (14, 6, 5)


def pixels(image: Image.Image) -> torch.Tensor:
    return torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(image.height, image.width, 3).permute(2, 0, 1)


@pytest.mark.parametrize(("width", "height"), [(90, 60), (60, 90), (64, 64)])
def test_a_decoded_crop_equals_the_crop_of_the_resized_image(tmp_path, width, height):
    smooth_picture(1, width, height).save(tmp_path / "x.png")
    side = min(width, height)
    half = smooth_picture(1, width, height).resize((width // 2, height // 2), Image.Resampling.BILINEAR)
    corner = folder.decode(folder.Crop(str(tmp_path / "x.png"), 20, side // 2, (0.0, 0.999)))
    left = width // 2 - 20
    assert (corner.int() - pixels(half.crop((left, 0, left + 20, 20))).int()).abs().max() <= 1
    square = folder.decode(folder.Crop(str(tmp_path / "x.png"), side, side, (0.5, 0.5)))
    left, top = (width - side) // 2, (height - side) // 2
    assert torch.equal(square, pixels(smooth_picture(1, width, height).crop((left, top, left + side, top + side))))


def test_images_of_any_shape_and_mode_are_decoded_to_three_channels(tmp_path):
    for index, (width, height, mode) in enumerate(
        [(3, 500, "RGB"), (77, 31, "P"), (40, 41, "LA"), (64, 64, "1"), (5, 5, "CMYK")]
    ):
        path = tmp_path / f"{index}.{'jpg' if mode == 'CMYK' else 'png'}"
        smooth_picture(index, width, height).convert(mode).save(path)
        for place in ((0.0, 0.0), (0.999999, 0.999999)):
            assert folder.decode(folder.Crop(str(path), 32, 37, place)).shape == (3, 32, 32)


@pytest.mark.parametrize(("order", "mode"), [("little", "I;16"), ("big", "I;16B")])
def test_16_bit_images_are_scaled_to_8_bits(tmp_path, order, mode):
    levels = [0, 255, 256, 32_768, 65_535, 40_000, 1_000, 300, 20_000]
    image = Image.frombytes(mode, (3, 3), b"".join(level.to_bytes(2, order) for level in levels))
    image.save(tmp_path / "x.tiff")
    decoded = folder.decode(folder.Crop(str(tmp_path / "x.tiff"), 3, 3, (0.0, 0.0)))
    assert decoded[0].flatten().tolist() == [level // 256 for level in levels]
    assert torch.equal(decoded[0], decoded[2])
    Image.new("F", (3, 3), 0.5).save(tmp_path / "f.tiff")
    with pytest.raises(DataError, match=r"f\.tiff cannot be read as an image .*mode F has no defined range"):
        folder.decode(folder.Crop(str(tmp_path / "f.tiff"), 3, 3, (0.0, 0.0)))


def test_a_palette_with_transparency_is_decoded_without_a_warning(tmp_path):
    image = smooth_picture(0, 9, 9).convert("P")
    expected = pixels(image.convert("RGB"))
    image.info["transparency"] = bytes(range(256))
    image.save(tmp_path / "x.png")
    decoded = folder.decode(folder.Crop(str(tmp_path / "x.png"), 9, 9, (0.0, 0.0)))
    assert torch.equal(decoded, expected)


def test_sides_are_drawn_from_256_to_480_and_crops_anywhere():
    drawn = folder.draw(generator(0, "test"), 20_000, 224)
    assert set(drawn.sides.tolist()) == set(range(256, 481))
    assert (drawn.positions.min() >= 0, drawn.positions.max() < 1) == (True, True)
    assert 0.45 < drawn.flips.float().mean() < 0.55
    assert drawn.colours.std().item() == pytest.approx(0.1, rel=0.02)
    assert folder.test_side(224) == 256


def test_ten_crops_are_the_corners_the_centre_and_their_flips():
    squares = torch.arange(2 * 3 * 6 * 6).view(2, 3, 6, 6)
    crops = folder.ten_crops(squares, 4)
    assert crops.shape == (2, 10, 3, 4, 4)
    places = [(0, 0), (0, 2), (2, 0), (2, 2), (1, 1)]
    for index, (row, column) in enumerate(places):
        assert torch.equal(crops[:, index], squares[:, :, row : row + 4, column : column + 4])
    assert torch.equal(crops[:, 5:], crops[:, :5].flip(-1))
    assert torch.equal(crops[:, 4], folder.centre(squares, 4))


def test_mean_and_colour_components_match_those_of_the_centre_crops(images):
    train, _, _ = folder.find(images, 32)
    mean, components = folder.statistics(train, 0)
    centres = torch.cat([chunk for chunk, _ in train.chunks(5)]).double() / 255
    torch.testing.assert_close(mean, centres.mean(0).float())
    covariance = torch.cov(centres.transpose(0, 1).flatten(1), correction=0)
    torch.testing.assert_close((components.T @ components).double(), covariance, atol=1e-6, rtol=1e-4)
    assert (components @ components.T - torch.diag(components.square().sum(1))).abs().max() < 1e-6
    assert (components.max(1).values == components.abs().max(1).values).all()


def test_a_batch_depends_only_on_seed_and_step(images):
    data = load(DataConfig.model_validate(FOLDER_DATA), images, 0)
    forwards, backwards, other = (training_batches(data, 8, seed) for seed in (0, 0, 1))
    assert isinstance(forwards, FolderBatches)
    steps = list(range(9))
    first = {step: forwards(step) for step in steps}
    for step in (5, 0, 8, 7, 3):  # out of turn, what was decoded ahead is dropped
        assert all(torch.equal(a, b) for a, b in zip(first[step], backwards(step), strict=True))
    assert not torch.equal(first[0][0], other(0)[0])
    assert [len(first[step][1]) for step in range(4)] == [8, 8, 8, 6]
    assert first[0][0].is_contiguous(memory_format=torch.channels_last)


def test_a_batch_is_cropped_flipped_normalised_and_shifted_in_colour(images):
    data = load(DataConfig.model_validate(FOLDER_DATA), images, 0)
    assert isinstance(data.train, FolderSet)
    assert data.components is not None
    batches = FolderBatches(data.train, data.mean, data.components, 8, 0)
    inputs, labels = batches(2)
    drawn = folder.draw(generator(0, "data/augment", 2), 8, 32)
    assert len(set(drawn.flips.tolist())) == 2
    for place, index in enumerate(batches.order(2).tolist()):
        crop = folder.Crop(data.train.files[index], 32, int(drawn.sides[place]), drawn.positions[place].tolist())
        decoded = folder.decode(crop).flip(-1) if drawn.flips[place] else folder.decode(crop)
        expected = decoded.float() / 255 - data.mean + (drawn.colours[place] @ data.components)[:, None, None]
        torch.testing.assert_close(inputs[place], expected)
        assert labels[place] == data.train.labels[index]


@pytest.mark.parametrize(("num_threads", "batch_size", "batches_ahead"), [(2, 1, 8), (1, 8, 2)])
def test_images_are_decoded_ahead_by_as_many_threads_as_torch_uses(images, monkeypatch, num_threads, batch_size, batches_ahead):
    """Four crops per thread are decoded ahead, and at least two batches."""
    data = load(DataConfig.model_validate(FOLDER_DATA), images, 0)
    open_image = Image.open
    opened: dict[str, str] = {}  # the thread that opened a file

    def recording_open(file, **options):
        opened[file] = threading.current_thread().name
        return open_image(file, **options)

    monkeypatch.setattr(Image, "open", recording_open)
    torch.set_num_threads(num_threads)
    batches = training_batches(data, batch_size, 0)
    assert isinstance(batches, FolderBatches)
    assert isinstance(data.train, FolderSet)
    assert opened == {}
    batches(0)
    indices = torch.cat([batches.order(step) for step in range(1 + batches_ahead)]).tolist()
    deadline = time.monotonic() + 10
    while len(opened) < len(indices) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert set(opened) == {data.train.files[index] for index in indices}
    assert 1 <= len(set(opened.values())) <= num_threads
    assert threading.current_thread().name not in opened.values()
