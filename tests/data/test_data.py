"""Data: the split, the mean, the crops, the batches, the stand-in, the real files and everything wrong with them."""

import itertools
import shutil
import tarfile
from pathlib import Path
from typing import get_args

import pytest
import torch

from resnet_lab.config.datasets import DATASETS, Dataset, FileDataset, with_classes
from resnet_lab.config.schema import DataConfig
from resnet_lab.data import augment, cifar, synthetic
from resnet_lab.data.batches import Batches, clean_batches
from resnet_lab.data.cifar import CIFAR10, CIFAR100
from resnet_lab.data.images import ImageSet, normalise, per_pixel_mean, split
from resnet_lab.data.load import READERS, data_root, load
from resnet_lab.errors import DataError
from resnet_lab.rng import generator
from tests.builders import fake_cifar10


def numbered(count: int) -> ImageSet:
    """Images whose first pixel and label are their own number."""
    images = torch.zeros(count, 3, 32, 32, dtype=torch.uint8)
    images[:, 0, 0, 0] = torch.arange(count) % 256
    return ImageSet(images, torch.arange(count))


def test_every_data_set_has_facts_and_a_reader():
    assert set(DATASETS) == set(get_args(Dataset))
    assert set(READERS) == {name for name in DATASETS if not DATASETS[name].is_folder and name != "auto"}


def test_a_number_of_classes_tells_the_data_sets_with_files_apart():
    assert [with_classes(number) for number in (10, 100, 1000)] == ["cifar10", "cifar100", None]
    assert set(get_args(FileDataset)) == {"cifar10", "cifar100", "folder"}


def test_generators_depend_on_seed_purpose_and_step_alone():
    def drawn(*key):
        return torch.rand(4, generator=generator(*key)).tolist()

    assert drawn(0, "x", 1) == drawn(0, "x", 1)
    assert len({tuple(drawn(*key)) for key in [(0, "x", 0), (1, "x", 0), (0, "y", 0), (0, "x", 1)]}) == 4


def test_split_is_disjoint_complete_seeded_and_apart_from_the_test_images():
    training, test = numbered(200), ImageSet(torch.zeros(50, 3, 32, 32, dtype=torch.uint8), torch.arange(1000, 1050))
    config = DataConfig(train_images=200, validation_images=20, test_images=50)
    first = split(training, test, config, 0)
    assert first[1] is not None
    train, validation = set(first[0].labels.tolist()), set(first[1].labels.tolist())
    assert (len(train), len(validation)) == (180, 20)
    assert train | validation == set(range(200))
    assert first[2].labels.tolist() == list(range(1000, 1050))
    again = split(training, test, config, 0)
    other = split(training, test, config, 1)
    assert torch.equal(first[0].labels, again[0].labels)
    assert set(other[0].labels.tolist()) != train


def test_the_mean_is_per_pixel_and_of_the_training_part_alone():
    data = load(DataConfig(dataset="synthetic", train_images=40, validation_images=10, test_images=10), Path(), 0)
    assert isinstance(data.train, ImageSet)
    assert isinstance(data.validation, ImageSet)
    expected = data.train.images.double().mean(0) / 255
    assert data.mean.shape == (3, 32, 32)
    torch.testing.assert_close(data.mean.double(), expected, atol=1e-7, rtol=0)
    assert not torch.allclose(data.mean, per_pixel_mean(torch.cat([data.train.images, data.validation.images])))


def test_all_81_crops_and_both_orientations_are_reached_and_nothing_else():
    drawn = augment.draw(generator(0, "test"), 20_000)
    seen = {(row, column, flip) for (row, column), flip in zip(drawn.offsets.tolist(), drawn.flips.tolist(), strict=True)}
    assert seen == set(itertools.product(range(9), range(9), (False, True)))
    counts = torch.bincount(drawn.offsets[:, 0] * 9 + drawn.offsets[:, 1])
    assert counts.min() > 150  # 247 expected of each
    assert counts.max() < 350


def test_apply_is_pad_crop_and_flip():
    images = torch.rand(81 * 2, 3, 32, 32)
    places = torch.tensor(list(itertools.product(range(9), range(9)))).repeat(2, 1)
    flips = torch.arange(162) >= 81
    out = augment.apply(images, augment.Augmentation(places, flips))
    padded = torch.nn.functional.pad(images, (4, 4, 4, 4))
    for index, ((row, column), flip) in enumerate(zip(places.tolist(), flips.tolist(), strict=True)):
        crop = padded[index, :, row : row + 32, column : column + 32]
        assert torch.equal(out[index], crop.flip(-1) if flip else crop)
    assert out.is_contiguous(memory_format=torch.channels_last)


def test_padding_is_the_mean_image_that_is_zero_after_subtraction():
    images = torch.full((1, 3, 32, 32), 255, dtype=torch.uint8)
    normal = normalise(images, torch.full((3, 32, 32), 0.25))
    out = augment.apply(normal, augment.Augmentation(torch.tensor([[0, 0]]), torch.tensor([False])))
    assert out[0, :, :4].abs().max() == 0
    assert out[0, 0, 10, 10] == pytest.approx(0.75)


def test_every_epoch_is_a_permutation_and_its_last_batch_is_short():
    images = numbered(100)
    batches = Batches(images, torch.zeros(3, 32, 32), batch_size=16, seed=0)
    assert batches.order.epoch_steps == 7
    epochs = [torch.cat([batches.order(step) for step in range(7 * e, 7 * e + 7)]).tolist() for e in range(2)]
    assert all(sorted(epoch) == list(range(100)) for epoch in epochs)
    assert epochs[0] != epochs[1]
    assert [len(batches(step)[1]) for step in range(7)] == [16] * 6 + [4]


def test_a_batch_is_a_function_of_seed_and_step():
    images = ImageSet(torch.randint(0, 256, (50, 3, 32, 32), dtype=torch.uint8), torch.arange(50))
    forwards, backwards = (Batches(images, torch.zeros(3, 32, 32), 16, seed=3) for _ in range(2))
    steps = list(range(9))
    first = {step: forwards(step) for step in steps}
    for step in reversed(steps):
        assert all(torch.equal(a, b) for a, b in zip(first[step], backwards(step), strict=True))
    other = Batches(images, torch.zeros(3, 32, 32), 16, seed=4)(0)
    assert not torch.equal(first[0][0], other[0])


def test_clean_batches_hold_every_image_once_in_order():
    images = numbered(300)
    labels = torch.cat([labels for _, labels in clean_batches(images, torch.zeros(3, 32, 32))])
    assert labels.tolist() == list(range(300))


def test_the_stand_in_is_a_pure_function_of_its_seed():
    first, again, longer = (synthetic.synthesise("train", count) for count in (300, 300, 600))
    assert torch.equal(first.images, again.images)
    assert torch.equal(longer.images[:300], first.images)
    assert not torch.equal(first.images, synthetic.synthesise("test", 300).images)
    assert not torch.equal(first.images, synthetic.synthesise("train", 300, seed=1).images)
    assert first.images.dtype == torch.uint8
    assert first.images.shape == (300, 3, 32, 32)
    assert set(longer.labels.tolist()) == set(range(10))
    assert first.images.float().std() > 20


def test_missing_data_says_how_to_get_it(tmp_path):
    with pytest.raises(DataError, match="resnet-lab data --download"):
        load(DataConfig(), tmp_path, 0)


def test_corrupt_data_names_the_files(tmp_path):
    folder = fake_cifar10(tmp_path)
    (folder / "data_batch_3").unlink()
    with pytest.raises(DataError, match=r"data_batch_1: wrong md5.*data_batch_3: missing"):
        load(DataConfig(), tmp_path, 0)


def test_a_corrupt_archive_is_not_unpacked(tmp_path):
    with tarfile.open(tmp_path / CIFAR10.archive, "w:gz") as archive:
        archive.add(fake_cifar10(tmp_path / "source"), CIFAR10.folder)
    with pytest.raises(DataError, match="wrong md5"):
        load(DataConfig(), tmp_path, 0)
    assert not (tmp_path / CIFAR10.folder).exists()


def test_the_folder_is_the_option_else_the_variable_else_data(monkeypatch):
    assert data_root(None) == Path("data")
    monkeypatch.setenv("RESNET_LAB_DATA", "/elsewhere")
    assert data_root(None) == Path("/elsewhere")
    assert data_root(Path("here")) == Path("here")


@pytest.mark.cifar10
def test_the_real_data_passes_its_md5_and_has_its_known_mean(cifar10):
    data = load(DataConfig(validation_images=0), cifar10, 0)
    assert (len(data.train), len(data.test)) == (50_000, 10_000)
    assert data.mean.mean(dim=(1, 2)).tolist() == pytest.approx([0.4914, 0.4822, 0.4465], abs=1e-4)
    assert torch.bincount(data.train.labels).tolist() == [5_000] * 10


@pytest.mark.parametrize("ours", [CIFAR10, CIFAR100], ids=lambda source: source.name)
def test_address_and_checksums_are_those_of_torchvision(ours):
    from torchvision import datasets

    theirs = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[ours.setting]
    assert (theirs.url, theirs.filename, theirs.tgz_md5) == (ours.official_url, ours.archive, ours.archive_md5)
    assert theirs.base_folder == ours.folder
    assert list(ours.train_files.items()) == [tuple(pair) for pair in theirs.train_list]
    assert list(ours.test_files.items()) == [tuple(pair) for pair in theirs.test_list]
    assert dict(ours.meta_file) == {theirs.meta["filename"]: theirs.meta["md5"]}
    assert ours.class_names == theirs.meta["key"]


@pytest.mark.cifar10
@pytest.mark.parametrize("part", ["train", "test"])
def test_the_images_are_those_that_torchvision_reads(cifar10, part):
    from torchvision import datasets

    ours = dict(zip(("train", "test"), CIFAR10.load(cifar10)[:2], strict=True))[part]
    theirs = datasets.CIFAR10(str(cifar10.resolve()), train=part == "train")
    assert torch.equal(ours.images, torch.from_numpy(theirs.data).permute(0, 3, 1, 2))
    assert ours.labels.tolist() == theirs.targets


@pytest.mark.cifar10
def test_one_flipped_bit_of_the_real_data_is_found(cifar10, tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for path in (cifar10 / "cifar-10-batches-py").iterdir():
        (folder / path.name).symlink_to(path)
    (folder / "test_batch").unlink()
    content = bytearray((cifar10 / "cifar-10-batches-py" / "test_batch").read_bytes())
    content[10_000_000] ^= 1
    (folder / "test_batch").write_bytes(content)
    with pytest.raises(DataError, match="test_batch: wrong md5"):
        load(DataConfig(), tmp_path, 0)


@pytest.mark.cifar10
def test_the_unpacked_folder_itself_may_be_named(cifar10):
    found = load(DataConfig(train_images=100, validation_images=10), cifar10 / "cifar-10-batches-py", 0)
    assert len(found.train) == 90


def test_an_archive_is_unpacked_beside_itself(tmp_path, monkeypatch):
    folder = fake_cifar10(tmp_path / "source")
    with tarfile.open(tmp_path / CIFAR10.archive, "w:gz") as archive:
        archive.add(folder, CIFAR10.folder)
    shutil.rmtree(tmp_path / "source")
    monkeypatch.setattr(cifar, "has_md5", lambda path, md5: True)
    assert CIFAR10.prepare(tmp_path) == tmp_path
    assert (tmp_path / CIFAR10.folder / "test_batch").read_bytes() == b"not the data"
