"""CIFAR-10: found, unpacked, verified by md5, held as one uint8 tensor.

Krizhevsky, *Learning Multiple Layers of Features from Tiny Images*, 2009. Addresses and checksums are torchvision's. It is
imported to unpack the archive alone: in the memory of every run of a sweep it would take as much room as the images.
"""

import hashlib
import os
import pickle
import tarfile
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from resnet_lab.data.images import ImageSet
from resnet_lab.errors import DataError

DATA_VARIABLE = "RESNET_LAB_DATA"
URL_VARIABLE = "RESNET_LAB_CIFAR10_URL"
URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
ARCHIVE, ARCHIVE_MD5, FOLDER = "cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a", "cifar-10-batches-py"
TRAIN_FILES = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
}
TEST_FILES = {"test_batch": "40351d587109b95175f43aff81a1287e"}
FILES = TRAIN_FILES | TEST_FILES | {"batches.meta": "5ff9c542aee3614f3951f8cda6e48888"}
HOW_TO_GET = (
    f"`resnet-lab data --download` fetches it (170 MB); --data-dir or ${DATA_VARIABLE} name a folder that has it, "
    "unpacked or as the archive cifar-10-python.tar.gz"
)


@dataclass(frozen=True)
class Found:
    """Where CIFAR-10 lies: `root` holds the unpacked folder, or the archive alone."""

    root: Path
    unpacked: bool


def data_dir(option: Path | None) -> Path:
    """The folder to look in: the option, else $RESNET_LAB_DATA, else ./data."""
    return option or Path(os.environ.get(DATA_VARIABLE) or "data")


def url() -> str:
    """The address of the archive: $RESNET_LAB_CIFAR10_URL, else the official one."""
    return os.environ.get(URL_VARIABLE) or URL


def find(folder: Path) -> Found | None:
    """Look for the unpacked data or the archive in `folder`; `folder` may be the unpacked folder itself."""
    resolved = folder.resolve()
    for root in (folder, resolved.parent) if resolved.name == FOLDER else (folder,):
        if any((root / FOLDER / name).exists() for name in FILES):
            return Found(root, unpacked=True)
        if (root / ARCHIVE).is_file():
            return Found(root, unpacked=False)
    return None


def load(folder: Path) -> tuple[ImageSet, ImageSet]:
    """Training and test images of CIFAR-10, prepared first. Raises DataError."""
    root = prepare(folder)
    return _read(root, TRAIN_FILES), _read(root, TEST_FILES)


def prepare(folder: Path) -> Path:
    """Unpack an archive beside itself where need be, check every file's md5, and return the unpacked folder's parent.

    Raises DataError where the data is missing, incomplete or corrupt.
    """
    found = find(folder)
    if found is None:
        raise DataError(f"There is no CIFAR-10 in {folder}: {HOW_TO_GET}.")
    if not found.unpacked:
        unpack(found.root / ARCHIVE)
    faults = corrupt_files(found.root)
    if faults:
        raise DataError(
            f"CIFAR-10 in {found.root / FOLDER} is incomplete or corrupt ({', '.join(faults)}): "
            "remove that folder and run `resnet-lab data --download`."
        )
    return found.root


def corrupt_files(root: Path) -> list[str]:
    """The files that are missing or whose md5 is not the official one, such as `["test_batch: missing"]`."""
    faults = []
    for name, md5 in FILES.items():
        path = root / FOLDER / name
        if not path.is_file():
            faults.append(f"{name}: missing")
        elif not has_md5(path, md5):
            faults.append(f"{name}: wrong md5")
    return faults


def unpack(archive: Path) -> None:
    """Unpack a verified archive beside itself. Raises DataError."""
    if not has_md5(archive, ARCHIVE_MD5):
        raise DataError(f"The archive {archive} has a wrong md5: remove it and run `resnet-lab data --download`.")
    from torchvision.datasets.utils import extract_archive  # noqa: PLC0415  # see above

    try:
        with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=archive.parent) as aside:
            extract_archive(str(archive), aside)
            try:
                (Path(aside) / FOLDER).rename(archive.parent / FOLDER)
            except OSError:
                if not (archive.parent / FOLDER).is_dir():  # else another process was faster
                    raise
    except (OSError, tarfile.TarError) as error:
        raise DataError(f"The archive {archive} cannot be unpacked beside itself: {error}.") from error


def has_md5(path: Path, md5: str) -> bool:
    """Whether a file's content has this checksum."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest() == md5


def _read(root: Path, names: Iterable[str]) -> ImageSet:
    """The images of these batch files, one after another: each holds rows of 3072 bytes, a 32x32 plane a channel."""
    images, labels = [], []
    try:
        for name in names:
            with (root / FOLDER / name).open("rb") as file:
                batch = pickle.load(file, encoding="latin1")  # the md5 has shown it to be the official file
            images.append(torch.from_numpy(batch["data"]).view(-1, 3, 32, 32))
            labels += batch["labels"]
    except (OSError, RuntimeError, pickle.UnpicklingError) as error:
        raise DataError(f"CIFAR-10 in {root / FOLDER} cannot be read: {error}.") from error
    return ImageSet(torch.cat(images), torch.tensor(labels))
