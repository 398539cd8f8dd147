"""`dataset = "auto"`: CIFAR-10 if it is present or quickly downloaded, else the synthetic stand-in."""

from collections.abc import Generator, Iterator
from pathlib import Path

from resnet_lab.config.datasets import Dataset
from resnet_lab.data.cifar import CIFAR10
from resnet_lab.data.download import download
from resnet_lab.data.progress import DownloadProgress
from resnet_lab.errors import DataError, DiskError

PATIENCE_SECONDS = 300.0
_MEASURE_SECONDS = 8.0


def available_dataset(folder: Path) -> Dataset:
    """The data set that `auto` resolves to: CIFAR-10 if it is in `folder`, else the stand-in."""
    return "synthetic" if CIFAR10.find(folder) is None else "cifar10"


def fetch(folder: Path) -> Iterator[DownloadProgress | str]:
    """Download CIFAR-10 into `folder` if it is missing; give up if it would take more than five minutes at the measured rate.

    Yields progress and messages, among them why the download was abandoned. `resnet-lab data --download` can resume it.
    """
    if CIFAR10.find(folder) is not None:
        return
    reason = yield from _try_download(folder)
    if reason is not None:
        yield f"{reason} Using the synthetic stand-in; `resnet-lab data --download` fetches CIFAR-10."


def _try_download(folder: Path) -> Generator[DownloadProgress | str, None, str | None]:
    """Download CIFAR-10; returns None on success, else why it failed or was abandoned."""
    yield f"CIFAR-10 is not in {folder}: trying to download it."
    try:
        for progress in download(CIFAR10, folder):
            yield progress
            left = progress.seconds_left
            if progress.seconds > _MEASURE_SECONDS and left is not None and left > PATIENCE_SECONDS:
                return f"The download would take another {left / 60:.0f} minutes."
    except (DataError, DiskError) as error:
        return str(error)
    return None
