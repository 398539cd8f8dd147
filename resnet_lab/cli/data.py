"""`resnet-lab data`: find, download, verify and describe the images."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resnet_lab.cli import terminal
from resnet_lab.cli.options import DataDir, Json
from resnet_lab.cli.screens import DownloadLine
from resnet_lab.config.datasets import DATASETS, FileDataset
from resnet_lab.config.paper import IMAGENET
from resnet_lab.errors import ConfigError
from resnet_lab.text import abridged, printable

if TYPE_CHECKING:
    from resnet_lab.data.cifar import Cifar

_MAX_HELD_OUT = 10_000  # as in the preset imagenet


def data(
    dataset: Annotated[
        FileDataset, typer.Option(help="Data set; a folder has train/CLASS/IMAGE and val/CLASS/IMAGE.")
    ] = "cifar10",
    data_dir: DataDir = None,
    fetch: Annotated[
        bool, typer.Option("--download", help="Download the data set if it is missing; an interrupted download is resumed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Find CIFAR-10 or CIFAR-100, verify the MD5 of every file and describe it; --download fetches it first (170 MB).

    For a folder of images: count images and classes, and print the command that trains on them.
    """
    from resnet_lab.data.cifar import CIFARS
    from resnet_lab.data.load import data_root

    root = data_root(data_dir)
    if not DATASETS[dataset].is_folder:
        _cifar(CIFARS[dataset], root, fetch=fetch, as_json=as_json)
    elif fetch:
        raise ConfigError("A folder of images cannot be downloaded; drop --download or choose another --dataset.")
    else:
        _folder(root, as_json=as_json)


def _cifar(source: "Cifar", root: Path, *, fetch: bool, as_json: bool) -> None:
    from resnet_lab.data.download import download
    from resnet_lab.data.images import per_pixel_mean

    if fetch and source.find(root) is None:
        line = DownloadLine()
        for update in download(source, root):
            line.show(update)
    with terminal.working(f"Reading {source.name}"):
        train, test, classes = source.load(root)
    values: dict[str, Any] = {
        "dataset": source.setting,
        "folder": str(root),
        "train_images": len(train),
        "test_images": len(test),
        "image_shape": list(train.images.shape[1:]),
        "classes": list(classes),
        "channel_means": [round(mean, 4) for mean in per_pixel_mean(train.images).mean(dim=(1, 2)).tolist()],
        "md5": source.files,
    }
    if as_json:
        terminal.result_json(values)
        return
    means = ", ".join(f"{mean:.4f}" for mean in values["channel_means"])
    terminal.sentence(f"{source.name} in {root}: complete, all MD5 checksums match.")
    terminal.sentence(f"{len(train):,} training and {len(test):,} test images, 32x32, in {len(classes)} classes:")
    terminal.sentence(", ".join(classes) + ".")
    terminal.sentence(
        f"Channel means of the training images, on a scale of 0 to 1: {means}. Training subtracts the per-pixel mean."
    )


def _folder(root: Path, *, as_json: bool) -> None:
    from resnet_lab.data.folder import find

    with terminal.working(f"Listing the images in {root}"):
        train, test, names = find(root, size=32)
    classes = [printable(name) for name in names]
    settings = {"num_classes": len(classes), "train_images": len(train), "test_images": len(test)}
    if as_json:
        terminal.result_json({"dataset": "folder", "folder": printable(str(root)), **settings, "classes": classes})
        return
    terminal.sentence(
        f"{root}: {len(train):,} training and {len(test):,} test images in {len(classes):,} class{'es' * (len(classes) > 1)}:"
    )
    terminal.sentence(f"{abridged(classes, shown=20)}.")
    if len(classes) < 2 or len(train) < 2:
        terminal.sentence("Training needs at least two classes and two training images.")
        return
    held_out = min(_MAX_HELD_OUT, max(1, len(train) // 10))
    terminal.sentence(f"To train on them, with {held_out:,} images held out for the plateau schedule:")
    overrides = [f"data.{key}={value}" for key, value in settings.items()] + [f"data.validation_images={held_out}"]
    left = len(train) - held_out
    if left < IMAGENET.batch_size:
        overrides.append(f"recipe.batch_size={2 ** (left.bit_length() - 1)}")
    flags = [part for override in overrides for part in ("--set", override)]
    terminal.result(shlex.join(["resnet-lab", "sweep", "imagenet", "--data-dir", str(root), *flags]))
