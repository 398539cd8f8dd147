"""Data: the split, the mean, the crops, the batches, the stand-in, the real files and everything wrong with them."""

import itertools
import shutil
import tarfile
from pathlib import Path

import pytest
import torch

from resnet_lab.config import DataConfig
from resnet_lab.data import augment, cifar10, synthetic
from resnet_lab.data.batches import Batches, clean_batches
from resnet_lab.data.cifar10 import load as load_cifar10
from resnet_lab.data.images import ImageSet, normalise, per_pixel_mean, split
from resnet_lab.data.load import load
from resnet_lab.errors import DataError
from resnet_lab.rng import generator


def numbered(count: int) -> ImageSet:
    """Images whose first pixel and label are their own number."""
    images = torch.zeros(count, 3, 32, 32, dtype=torch.uint8)
    images[:, 0, 0, 0] = torch.arange(count) % 256
    return ImageSet(images, torch.arange(count))


def test_generators_depend_on_seed_purpose_and_step_alone():
    def drawn(*key):
        return torch.rand(4, generator=generator(*key)).tolist()

    assert drawn(0, "x", 1) == drawn(0, "x", 1)
    assert len({tuple(drawn(*key)) for key in [(0, "x", 0), (1, "x", 0), (0, "y", 0), (0, "x", 1)]}) == 4


def test_split_is_disjoint_complete_seeded_and_apart_from_the_test_images():
    training, test = numbered(200), ImageSet(torch.zeros(50, 3, 32, 32, dtype=torch.uint8), torch.arange(1000, 1050))
    config = DataConfig(train_images=200, validation_images=20, test_images=50)
    first = split(training, test, config, 0, classes=(), provenance={})
    assert first.validation is not None
    train, validation = set(first.train.labels.tolist()), set(first.validation.labels.tolist())
    assert (len(train), len(validation)) == (180, 20)
    assert train | validation == set(range(200))
    assert first.test.labels.tolist() == list(range(1000, 1050))
    again = split(training, test, config, 0, classes=(), provenance={})
    other = split(training, test, config, 1, classes=(), provenance={})
    assert torch.equal(first.train.labels, again.train.labels)
    assert set(other.train.labels.tolist()) != train


def test_the_mean_is_per_pixel_and_of_the_training_part_alone():
    training = ImageSet(torch.randint(0, 256, (40, 3, 32, 32), dtype=torch.uint8), torch.arange(40))
    data = split(training, numbered(10), DataConfig(train_images=40, validation_images=10), 0, classes=(), provenance={})
    expected = data.train.images.double().mean(0) / 255
    assert data.mean.shape == (3, 32, 32)
    torch.testing.assert_close(data.mean.double(), expected, atol=1e-7, rtol=0)
    assert not torch.allclose(data.mean, per_pixel_mean(training.images))


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
    assert batches.epoch_steps == 7
    epochs = [torch.cat([batches.indices(step) for step in range(7 * e, 7 * e + 7)]).tolist() for e in range(2)]
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


def fake_cifar10(root: Path) -> Path:
    """A folder with the right names and wrong bytes."""
    folder = root / cifar10.FOLDER
    folder.mkdir(parents=True)
    for name in cifar10.FILES:
        (folder / name).write_bytes(b"not the data")
    return folder


def test_missing_data_says_how_to_get_it(tmp_path):
    with pytest.raises(DataError, match="resnet-lab data --download"):
        load(DataConfig(), tmp_path, 0)


def test_corrupt_data_names_the_files(tmp_path):
    folder = fake_cifar10(tmp_path)
    (folder / "data_batch_3").unlink()
    with pytest.raises(DataError, match=r"data_batch_1: wrong md5.*data_batch_3: missing"):
        load(DataConfig(), tmp_path, 0)


def test_a_corrupt_archive_is_not_unpacked(tmp_path):
    with tarfile.open(tmp_path / cifar10.ARCHIVE, "w:gz") as archive:
        archive.add(fake_cifar10(tmp_path / "source"), cifar10.FOLDER)
    with pytest.raises(DataError, match="wrong md5"):
        load(DataConfig(), tmp_path, 0)
    assert not (tmp_path / cifar10.FOLDER).exists()


def test_the_folder_is_the_option_else_the_variable_else_data(monkeypatch):
    assert cifar10.data_dir(None) == Path("data")
    monkeypatch.setenv("RESNET_LAB_DATA", "/elsewhere")
    assert cifar10.data_dir(None) == Path("/elsewhere")
    assert cifar10.data_dir(Path("here")) == Path("here")


@pytest.mark.cifar10
def test_the_real_data_passes_its_md5_and_has_its_known_mean(cifar10):
    data = load(DataConfig(validation_images=0), cifar10, 0)
    assert (len(data.train), len(data.test)) == (50_000, 10_000)
    assert data.mean.mean(dim=(1, 2)).tolist() == pytest.approx([0.4914, 0.4822, 0.4465], abs=1e-4)
    assert torch.bincount(data.train.labels).tolist() == [5_000] * 10


def test_address_and_checksums_are_those_of_torchvision():
    from torchvision.datasets import CIFAR10

    assert (CIFAR10.url, CIFAR10.filename, CIFAR10.tgz_md5) == (cifar10.URL, cifar10.ARCHIVE, cifar10.ARCHIVE_MD5)
    assert CIFAR10.base_folder == cifar10.FOLDER
    assert list(cifar10.TRAIN_FILES.items()) == [tuple(pair) for pair in CIFAR10.train_list]
    assert list(cifar10.TEST_FILES.items()) == [tuple(pair) for pair in CIFAR10.test_list]
    assert cifar10.FILES[CIFAR10.meta["filename"]] == CIFAR10.meta["md5"]


@pytest.mark.cifar10
@pytest.mark.parametrize("part", ["train", "test"])
def test_the_images_are_those_that_torchvision_reads(cifar10, part):
    from torchvision.datasets import CIFAR10

    ours = dict(zip(("train", "test"), load_cifar10(cifar10), strict=True))[part]
    theirs = CIFAR10(str(cifar10.resolve()), train=part == "train")
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
    with tarfile.open(tmp_path / cifar10.ARCHIVE, "w:gz") as archive:
        archive.add(folder, cifar10.FOLDER)
    shutil.rmtree(tmp_path / "source")
    monkeypatch.setattr(cifar10, "has_md5", lambda path, md5: True)
    assert cifar10.prepare(tmp_path) == tmp_path
    assert (tmp_path / cifar10.FOLDER / "test_batch").read_bytes() == b"not the data"
