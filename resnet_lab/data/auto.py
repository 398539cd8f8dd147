"""`dataset = "auto"`: CIFAR-10 where it is at hand or soon can be, else the synthetic stand-in."""

from collections.abc import Generator, Iterator
from pathlib import Path

from resnet_lab.config.datasets import Dataset
from resnet_lab.data.cifar import CIFAR10
from resnet_lab.data.download import download
from resnet_lab.data.progress import DownloadProgress
from resnet_lab.errors import DataError, DiskError

PATIENCE_SECONDS = 300.0
_MEASURE_SECONDS = 8.0


def at_hand(folder: Path) -> Dataset:
    """The data set that `auto` stands for with what is in `folder` now."""
    return "synthetic" if CIFAR10.find(folder) is None else "cifar10"


def fetch(folder: Path) -> Iterator[DownloadProgress | str]:
    """Download CIFAR-10 if it is not there and takes less than five minutes, at the rate of the first seconds.

    Yields how far it is, or why it was given up. What has arrived is kept for `resnet-lab data --download`.
    """
    if CIFAR10.find(folder) is not None:
        return
    reason = yield from _try_download(folder)
    if reason is not None:
        yield f"{reason} `resnet-lab data --download` fetches CIFAR-10; the synthetic stand-in takes its place here."


def _try_download(folder: Path) -> Generator[DownloadProgress | str, None, str | None]:
    """Download, and return None; or the reason why not."""
    yield f"There is no CIFAR-10 in {folder}: trying to download it."
    try:
        for progress in download(CIFAR10, folder):
            yield progress
            left = progress.seconds_left
            if progress.seconds > _MEASURE_SECONDS and left is not None and left > PATIENCE_SECONDS:
                return f"The download would take {left / 60:.0f} minutes more."
    except (DataError, DiskError) as error:
        return str(error)
    return None
