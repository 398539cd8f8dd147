"""CIFAR-10 and CIFAR-100: locate, unpack, verify by md5 and load as uint8 tensors.

Krizhevsky, *Learning Multiple Layers of Features from Tiny Images*, 2009. URLs and checksums are torchvision's.

Archives and the files in them are not trusted. Each is read only after its md5 has been verified, only files with the official
names are unpacked, and unpickling can create only plain values and NumPy arrays.
"""

import gzip
import hashlib
import io
import os
import pickle
import tarfile
import tempfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from resnet_lab.data.images import ImageSet
from resnet_lab.errors import DataError

DATA_VARIABLE = "RESNET_LAB_DATA"
MAX_BYTES = 256 << 20  # of an archive, packed and unpacked; the official ones have 170 MB and 187 MB


@dataclass(frozen=True)
class Location:
    """Where a data set was found: `root` contains the unpacked folder, or else only the archive."""

    root: Path
    unpacked: bool


@dataclass(frozen=True)
class Cifar:
    """One of the two data sets, of 50,000 training and 10,000 test images: its URL, files and their md5.

    `labels` is the key of the labels in the batch files, `class_names` that of the class names in the meta file.
    """

    name: str
    setting: str
    url_variable: str
    official_url: str
    archive: str
    archive_md5: str
    folder: str
    train_files: Mapping[str, str]
    test_files: Mapping[str, str]
    meta_file: Mapping[str, str]
    labels: str
    class_names: str

    @property
    def files(self) -> dict[str, str]:
        """The md5 of every file by name."""
        return {**self.train_files, **self.test_files, **self.meta_file}

    @property
    def how_to_get(self) -> str:
        """How to obtain the data set, for error messages."""
        option = "" if self is CIFAR10 else f"--dataset {self.setting} "
        return (
            f"download it with `resnet-lab data {option}--download` (170 MB), or use --data-dir or ${DATA_VARIABLE} to name a "
            f"folder that contains it, unpacked or as the archive {self.archive}"
        )

    def url(self) -> str:
        """The URL of the archive: the value of `url_variable`, such as $RESNET_LAB_CIFAR10_URL, else the official one."""
        return os.environ.get(self.url_variable) or self.official_url

    def find(self, folder: Path) -> Location | None:
        """Look for the unpacked data or the archive in `folder`, which may also be the unpacked folder itself."""
        resolved = folder.resolve()
        for root in (folder, resolved.parent) if resolved.name == self.folder else (folder,):
            if any((root / self.folder / name).exists() for name in self.files):
                return Location(root, unpacked=True)
            if (root / self.archive).is_file():
                return Location(root, unpacked=False)
        return None

    def load(self, folder: Path) -> tuple[ImageSet, ImageSet, tuple[str, ...]]:
        """Training images, test images, and class names in order of label. Raises DataError."""
        root = self.prepare(folder)
        [meta] = self.meta_file
        names: list[str] = self._unpickle(root / self.folder / meta)[self.class_names]
        return self._read(root, self.train_files), self._read(root, self.test_files), tuple(names)

    def prepare(self, folder: Path) -> Path:
        """Unpack the archive if necessary, verify the md5 of every file, and return the parent of the unpacked folder.

        Raises DataError if the data set is missing, incomplete or corrupt.
        """
        location = self.find(folder)
        if location is None:
            raise DataError(f"{self.name} is not in {folder}: {self.how_to_get}.")
        if not location.unpacked:
            self.unpack(location.root / self.archive)
        faults = self.corrupt_files(location.root)
        if faults:
            raise DataError(
                f"{self.name} in {location.root / self.folder} is incomplete or corrupt ({', '.join(faults)}): "
                f"remove that folder, then {self.how_to_get}."
            )
        return location.root

    def corrupt_files(self, root: Path) -> list[str]:
        """Files that are missing or have a wrong md5, such as `["test_batch: missing"]`."""
        faults = []
        for name, md5 in self.files.items():
            path = root / self.folder / name
            if not path.is_file():
                faults.append(f"{name}: missing")
            elif not has_md5(path, md5):
                faults.append(f"{name}: wrong md5")
        return faults

    def unpack(self, archive: Path) -> None:
        """Verify an archive's md5 and unpack the data set's files, and no others, into the folder it is in. Raises DataError."""
        if not has_md5(archive, self.archive_md5):
            raise DataError(f"The archive {archive} has a wrong md5: remove it, then {self.how_to_get}.")
        try:
            with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=archive.parent) as temporary:
                self._extract(archive, Path(temporary))
                try:
                    Path(temporary, self.folder).rename(archive.parent / self.folder)
                except OSError:
                    if not (archive.parent / self.folder).is_dir():  # else another process has unpacked it first
                        raise
        except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
            raise DataError(f"The archive {archive} cannot be unpacked into {archive.parent}: {error}.") from error

    def _extract(self, archive: Path, target: Path) -> None:
        """Unpack the regular files with the data set's file names into `target`; links and other members are skipped."""
        with gzip.open(archive) as packed:
            content = packed.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise tarfile.TarError("it is larger than CIFAR when unpacked")
        (target / self.folder).mkdir()
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
            for member in tar:
                name = member.name.removeprefix(f"{self.folder}/")
                if name in self.files and member.isreg() and not member.issparse():
                    file = tar.extractfile(member)
                    assert file is not None
                    (target / self.folder / name).write_bytes(file.read())

    def _read(self, root: Path, names: Iterable[str]) -> ImageSet:
        """The images of these batch files, concatenated; each row has 3072 bytes, one 32x32 plane per channel."""
        images, labels = [], []
        for name in names:
            batch = self._unpickle(root / self.folder / name)
            images.append(torch.from_numpy(batch["data"]).view(-1, 3, 32, 32))
            labels += batch[self.labels]
        return ImageSet(torch.cat(images), torch.tensor(labels))

    def _unpickle(self, path: Path) -> dict[str, Any]:
        try:
            with path.open("rb") as file:
                content: dict[str, Any] = _Unpickler(file, encoding="latin1").load()
        except Exception as error:  # a file that was replaced after its md5 was verified can raise anything
            raise DataError(f"{self.name} in {path.parent} cannot be read: {error}.") from error
        return content


class _Unpickler(pickle.Unpickler):
    """Allows only what the CIFAR files need, so that even a file replaced after its md5 was verified cannot run code."""

    _ALLOWED: ClassVar[dict[tuple[str, str], object]] = {
        ("numpy.core.multiarray", "_reconstruct"): np.zeros(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module_name: str, global_name: str) -> Any:
        """The function or class that a pickle names, if it is allowed. Raises UnpicklingError."""
        try:
            return self._ALLOWED[module_name.replace("numpy._core", "numpy.core"), global_name]  # names in NumPy 2 and 1
        except KeyError:
            raise pickle.UnpicklingError(f"it would call {module_name}.{global_name}") from None


CIFAR10 = Cifar(
    name="CIFAR-10",
    setting="cifar10",
    url_variable="RESNET_LAB_CIFAR10_URL",
    official_url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    archive="cifar-10-python.tar.gz",
    archive_md5="c58f30108f718f92721af3b95e74349a",
    folder="cifar-10-batches-py",
    train_files={
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    },
    test_files={"test_batch": "40351d587109b95175f43aff81a1287e"},
    meta_file={"batches.meta": "5ff9c542aee3614f3951f8cda6e48888"},
    labels="labels",
    class_names="label_names",
)
CIFAR100 = Cifar(
    name="CIFAR-100",
    setting="cifar100",
    url_variable="RESNET_LAB_CIFAR100_URL",
    official_url="https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
    archive="cifar-100-python.tar.gz",
    archive_md5="eb9058c3a382ffc7106e4002c42a8d85",
    folder="cifar-100-python",
    train_files={"train": "16019d7e3df5f24257cddd939b257f8d"},
    test_files={"test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
    meta_file={"meta": "7973b15100ade9c7d40fb424638fde48"},
    labels="fine_labels",
    class_names="fine_label_names",
)
CIFARS = {source.setting: source for source in (CIFAR10, CIFAR100)}


def has_md5(path: Path, md5: str) -> bool:
    """Whether the md5 of a file's content is `md5`. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest() == md5
