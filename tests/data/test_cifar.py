"""CIFAR-10 and CIFAR-100: finding, verifying, unpacking and reading their files."""

import dataclasses
import hashlib
import pickle
import shutil
import tarfile
from pathlib import Path

import pytest
import torch

from resnet_lab.config.schema import DataConfig, RunConfig
from resnet_lab.data.cifar import CIFAR10, CIFAR100, CIFARS, Cifar
from resnet_lab.data.load import load
from resnet_lab.errors import DataError
from resnet_lab.record import checkpoint
from resnet_lab.record.store import RunFolder
from resnet_lab.run.device import Resources
from resnet_lab.run.experiment import run
from tests.builders import fake_cifar10, settings


def with_checksums_of(source: Cifar, archive: Path, unpacked: Path) -> Cifar:
    """The data set as if these made-up files, its archive and the folder inside, were the official ones."""

    def md5(path: Path) -> str:
        return hashlib.md5(path.read_bytes()).hexdigest()

    parts = {part: getattr(source, part) for part in ("train_files", "test_files", "meta_file")}
    checksums = {part: {name: md5(unpacked / name) for name in files} for part, files in parts.items()}
    return dataclasses.replace(source, archive_md5=md5(archive), **checksums)


def test_missing_cifar10_is_reported_with_the_download_command(tmp_path):
    with pytest.raises(DataError, match="resnet-lab data --download"):
        load(DataConfig(), tmp_path, 0)


def test_corrupt_and_missing_files_are_named(tmp_path):
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


@pytest.mark.cifar10
def test_the_real_cifar10_is_verified_and_has_its_known_mean(cifar10):
    data = load(DataConfig(validation_images=0), cifar10, 0)
    assert (len(data.train), len(data.test)) == (50_000, 10_000)
    assert data.mean.mean(dim=(1, 2)).tolist() == pytest.approx([0.4914, 0.4822, 0.4465], abs=1e-4)
    assert torch.bincount(data.train.labels).tolist() == [5_000] * 10


@pytest.mark.parametrize("ours", [CIFAR10, CIFAR100], ids=lambda source: source.name)
def test_url_and_checksums_match_torchvision(ours):
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
def test_images_and_labels_match_torchvision(cifar10, part):
    from torchvision import datasets

    ours = dict(zip(("train", "test"), CIFAR10.load(cifar10)[:2], strict=True))[part]
    theirs = datasets.CIFAR10(str(cifar10.resolve()), train=part == "train")
    assert torch.equal(ours.images, torch.from_numpy(theirs.data).permute(0, 3, 1, 2))
    assert ours.labels.tolist() == theirs.targets


@pytest.mark.cifar10
def test_one_flipped_bit_in_the_real_data_is_detected(cifar10, tmp_path):
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
def test_the_data_folder_may_be_the_unpacked_folder_itself(cifar10):
    data = load(DataConfig(train_images=100, validation_images=10), cifar10 / "cifar-10-batches-py", 0)
    assert len(data.train) == 90


def test_an_archive_is_unpacked_into_the_folder_it_is_in(tmp_path):
    folder = fake_cifar10(tmp_path / "source")
    with tarfile.open(tmp_path / CIFAR10.archive, "w:gz") as archive:
        archive.add(folder, CIFAR10.folder)
    source = with_checksums_of(CIFAR10, tmp_path / CIFAR10.archive, folder)
    shutil.rmtree(tmp_path / "source")
    assert source.prepare(tmp_path) == tmp_path
    assert (tmp_path / CIFAR10.folder / "test_batch").read_bytes() == b"not the data"


@pytest.fixture
def cifar100(tmp_path, monkeypatch):
    """An archive with the layout of CIFAR-100 and made-up images, which takes the place of the official one; its folder."""
    source, random = tmp_path / "source", torch.Generator().manual_seed(0)
    (source / CIFAR100.folder).mkdir(parents=True)
    for name, count in (("train", 300), ("test", 100)):
        data = torch.randint(0, 256, (count, 3072), dtype=torch.uint8, generator=random).numpy()
        content = {"data": data, "fine_labels": [index % 100 for index in range(count)], "coarse_labels": [0] * count}
        (source / CIFAR100.folder / name).write_bytes(pickle.dumps(content))
    (source / CIFAR100.folder / "meta").write_bytes(pickle.dumps({"fine_label_names": [f"class {i}" for i in range(100)]}))
    place = tmp_path / "data"
    place.mkdir()
    with tarfile.open(place / CIFAR100.archive, "w:gz") as archive:
        archive.add(source / CIFAR100.folder, CIFAR100.folder)
    made_up = with_checksums_of(CIFAR100, place / CIFAR100.archive, source / CIFAR100.folder)
    monkeypatch.setitem(CIFARS, "cifar100", made_up)
    return place


def test_a_network_trains_on_cifar100(cli, cifar100):
    described = cli("data", "--dataset", "cifar100", "--data-dir", cifar100)
    assert "CIFAR-100 in" in described.out
    assert "300 training and 100 test images, 32x32, in 100 classes" in described.out
    config = RunConfig.model_validate(
        settings(data={"dataset": "cifar100", "train_images": 300, "validation_images": 50, "test_images": 100}, recipe__steps=3)
    )
    assert config.data.num_classes == 100
    assert config.digest() != config.model_copy(update={"data": config.data.model_copy(update={"num_classes": 10})}).digest()
    list(run(config, RunFolder(Path("runs/c/residual-8-s0")), Resources(cifar100, "cpu", 1)))
    trained = RunFolder(Path("runs/c/residual-8-s0")).read()
    assert trained.evaluations[-1].step == 3
    assert checkpoint.load(trained.folder, 3)["net"]["head.weight"].shape == (100, 16)
    assert cli("compare", "c").code == 0
    assert "STAND-IN" not in cli("report", "c").err


def test_missing_cifar100_is_reported_with_the_download_command(cli):
    answer = cli("train", "--depth", 8, "--plain", "--set", "data.dataset=cifar100")
    assert answer.code == 3
    assert "`resnet-lab data --dataset cifar100 --download`" in answer.err
    assert "cifar-100-python.tar.gz" in answer.err
    assert cli("data", "--dataset", "folder", "--download").code == 2
