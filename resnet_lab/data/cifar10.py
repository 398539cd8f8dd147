"""CIFAR-10 through torchvision: found, downloaded with resume, verified by md5, held as one uint8 tensor.

Krizhevsky, *Learning Multiple Layers of Features from Tiny Images*, 2009.
"""

import os
import pickle
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torchvision.datasets import CIFAR10
from torchvision.datasets.utils import check_integrity, extract_archive

from resnet_lab.data.images import ImageSet
from resnet_lab.errors import DataError

DATA_VARIABLE = "RESNET_LAB_DATA"
URL_VARIABLE = "RESNET_LAB_CIFAR10_URL"
ARCHIVE, ARCHIVE_MD5, FOLDER = CIFAR10.filename, CIFAR10.tgz_md5, CIFAR10.base_folder
FILES: dict[str, str] = dict([*CIFAR10.train_list, *CIFAR10.test_list, (CIFAR10.meta["filename"], CIFAR10.meta["md5"])])
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
    return os.environ.get(URL_VARIABLE) or str(CIFAR10.url)


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
    return _part(root, train=True), _part(root, train=False)


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
        elif not check_integrity(str(path), md5):
            faults.append(f"{name}: wrong md5")
    return faults


def unpack(archive: Path) -> None:
    """Unpack a verified archive beside itself. Raises DataError."""
    if not check_integrity(str(archive), ARCHIVE_MD5):
        raise DataError(f"The archive {archive} has a wrong md5: remove it and run `resnet-lab data --download`.")
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


def _part(root: Path, *, train: bool) -> ImageSet:
    try:
        part = _Verified(str(root), train=train)
    except (OSError, RuntimeError, pickle.UnpicklingError) as error:
        raise DataError(f"CIFAR-10 in {root / FOLDER} cannot be read: {error}.") from error
    images = torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous()  # (N, H, W, C) -> (N, C, H, W)
    return ImageSet(images, torch.tensor(part.targets))


class _Verified(CIFAR10):  # type: ignore[misc]  # torchvision has no types
    """torchvision's reader without its own md5 pass over all files for each part: `load` has just made it."""

    def _check_integrity(self) -> bool:
        return True
