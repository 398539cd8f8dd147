"""`dataset = "auto"`: CIFAR-10 where it is at hand or soon can be, else the synthetic stand-in."""

from collections.abc import Callable
from pathlib import Path

from resnet_lab.config import DataConfig
from resnet_lab.data import cifar10
from resnet_lab.data.download import Progress, download
from resnet_lab.errors import DataError, DiskError

PATIENCE_SECONDS = 300.0
_MEASURE_SECONDS = 8.0


def resolve(config: DataConfig, folder: Path, show: Callable[[Progress | str], None], *, may_download: bool = True) -> DataConfig:
    """The config with a data set that is there; `folder` is where CIFAR-10 is looked for. Raises DataError.

    `auto` downloads CIFAR-10 if that takes less than five minutes at the rate of the first seconds; `show` is told how far it
    is, or why it was given up. What has arrived is kept for `resnet-lab data --download`.
    """
    present = cifar10.find(folder) is not None
    if config.dataset == "cifar10" and not present:
        raise DataError(f"There is no CIFAR-10 in {folder}: {cifar10.HOW_TO_GET}.")
    if config.dataset != "auto":
        return config
    if not present:
        reason = _try_download(folder, show) if may_download else f"There is no CIFAR-10 in {folder}."
        if reason:
            show(f"{reason} `resnet-lab data --download` fetches CIFAR-10; the synthetic stand-in takes its place here.")
            return config.model_copy(update={"dataset": "synthetic"})
    return config.model_copy(update={"dataset": "cifar10"})


def _try_download(folder: Path, show: Callable[[Progress | str], None]) -> str | None:
    """Download; or the reason why not."""
    show(f"There is no CIFAR-10 in {folder}: trying to download it.")
    try:
        for progress in download(cifar10.url(), folder):
            show(progress)
            left = progress.seconds_left
            if progress.seconds > _MEASURE_SECONDS and left is not None and left > PATIENCE_SECONDS:
                return f"The download would take {left / 60:.0f} minutes more."
    except (DataError, DiskError) as error:
        return str(error)
    return None
