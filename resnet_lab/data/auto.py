"""`dataset = "auto"`: CIFAR-10 where it is at hand or soon can be, else the synthetic stand-in."""

from collections.abc import Callable, Generator
from pathlib import Path

from resnet_lab.config.schema import DataConfig
from resnet_lab.data.cifar import CIFAR10
from resnet_lab.data.download import download
from resnet_lab.data.progress import DownloadProgress
from resnet_lab.errors import DataError, DiskError

PATIENCE_SECONDS = 300.0
_MEASURE_SECONDS = 8.0


Saying = Generator[DownloadProgress | str, None, DataConfig]


def drain(saying: Saying, show: Callable[[DownloadProgress | str], None]) -> DataConfig:
    """Run `resolve` to its end, showing what it says."""
    while True:
        try:
            show(next(saying))
        except StopIteration as done:
            config: DataConfig = done.value
            return config


def resolve(config: DataConfig, folder: Path, begun: DataConfig | None = None) -> Saying:
    """Returns the config with `auto` decided; `folder` is where CIFAR-10 is looked for.

    `auto` is what a run that has `begun` has. Else it downloads CIFAR-10 if that takes less than five minutes at the rate of the
    first seconds, and yields how far it is, or why it was given up. What has arrived is kept for `resnet-lab data --download`.
    """
    present = CIFAR10.find(folder) is not None
    if config.dataset == "auto" and begun is not None:
        if begun.dataset == "synthetic" and present:
            yield (
                "This study began on the synthetic stand-in and continues on it. CIFAR-10 is here now: --study NAME starts "
                "another on it."
            )
        config = config.model_copy(update={"dataset": begun.dataset})
    if config.dataset != "auto":
        return config
    reason = None if present else (yield from _try_download(folder))
    if reason is None:
        return config.model_copy(update={"dataset": "cifar10"})
    yield f"{reason} `resnet-lab data --download` fetches CIFAR-10; the synthetic stand-in takes its place here."
    return config.model_copy(update={"dataset": "synthetic"})


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
