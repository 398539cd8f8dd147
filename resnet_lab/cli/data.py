"""`resnet-lab data`: find, download, verify and describe CIFAR-10."""

from typing import Annotated

import typer

from resnet_lab.cli import display
from resnet_lab.cli.options import DataDir, Json


def data(
    data_dir: DataDir = None,
    fetch: Annotated[bool, typer.Option("--download", help="Fetch it if it is not there; again: continues.")] = False,
    as_json: Json = False,
) -> None:
    """Find CIFAR-10, check every file's md5 and describe it; --download fetches it first (170 MB)."""
    from resnet_lab.config import DataConfig
    from resnet_lab.data import cifar10
    from resnet_lab.data.download import download
    from resnet_lab.data.load import load

    folder = cifar10.data_dir(data_dir)
    if fetch and cifar10.find(folder) is None:
        for progress in download(cifar10.url(), folder):
            display.download(progress)
    found = load(DataConfig(validation_images=0), folder, seed=0)
    values = {
        "folder": str(folder),
        "train_images": len(found.train),
        "test_images": len(found.test),
        "image_shape": list(found.train.images.shape[1:]),
        "classes": list(found.classes),
        "channel_means": [round(mean, 4) for mean in found.mean.mean(dim=(1, 2)).tolist()],
        "md5": found.provenance["md5"],
    }
    if as_json:
        display.result_json(values)
        return
    means = ", ".join(f"{mean:.4f}" for mean in values["channel_means"])
    display.result(f"CIFAR-10 in {folder}: complete, every md5 as published.")
    display.result(f"{len(found.train):,} training and {len(found.test):,} test images, 32x32, in {len(found.classes)} classes:")
    display.result(", ".join(found.classes) + ".")
    display.result(f"Mean of the training images by channel, of 1: {means}; training subtracts the mean of each pixel.")
