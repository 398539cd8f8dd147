"""From a data config to the data itself: the readers of the data sets in `config/datasets.py`."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from resnet_lab.config.schema import DataConfig
from resnet_lab.data import folder, synthetic
from resnet_lab.data.batches import Batches
from resnet_lab.data.cifar import CIFARS, DATA_VARIABLE
from resnet_lab.data.folder import FolderBatches, FolderSet
from resnet_lab.data.images import Data, ImageSet, per_pixel_mean, split
from resnet_lab.errors import ConfigError, DataError
from resnet_lab.record.digests import Begun, Digests


def data_root(option: Path | None) -> Path:
    """The folder to look in: the option, else $RESNET_LAB_DATA, else ./data."""
    return option or Path(os.environ.get(DATA_VARIABLE) or "data")


def prepare(config: DataConfig, root: Path, begun: Begun | None = None) -> None:
    """Check that the data of these settings is in `root`, unpacking it where need be; for `begun` see `load`.

    Raises DataError and ConfigError.
    """
    if config.facts.is_folder:
        _find(config, root, begun)
    else:
        READERS[config.dataset].prepare(config, root)


def load(config: DataConfig, root: Path, seed: int, begun: Begun | None = None) -> Data:
    """The data of a run, split by its seed. `root` is where it is looked for; raises DataError and ConfigError.

    The images of a folder must have the names of those that `begun`, a run, has seen: splits and orders rest on them.
    """
    if config.facts.is_folder:
        return _load_folder(config, root, seed, begun)
    training, test, classes, provenance = READERS[config.dataset].read(config, root)
    train, validation, test = split(training, test, config, seed)
    return Data(train, validation, test, per_pixel_mean(train.images), classes, provenance)


def other_sizes(begun: Begun | None, digests: Digests | None) -> str | None:
    """Words on images of other sizes than those of a run, such as one that was unreadable and has been replaced; else None."""
    if begun is None or digests is None or digests == begun.digests:
        return None
    return f"Some image files differ in size from those that {begun.run} was trained on"


def training_batches(data: Data, batch_size: int, seed: int) -> Batches | FolderBatches:
    """The mini-batch of every step, augmented as the data set asks for."""
    if isinstance(data.train, FolderSet):
        assert data.components is not None
        return FolderBatches(data.train, data.mean, data.components, batch_size, seed)
    assert isinstance(data.train, ImageSet)
    return Batches(data.train, data.mean, batch_size, seed)


class Whole(NamedTuple):
    """All images of a data set that is held in memory, the names of its classes, and where it comes from."""

    training: ImageSet
    test: ImageSet
    classes: tuple[str, ...]
    provenance: dict[str, Any]


class Reader(NamedTuple):
    """How a data set is read from a folder of files: `prepare` checks that it is there, unpacking it where need be."""

    prepare: Callable[[DataConfig, Path], object]
    read: Callable[[DataConfig, Path], Whole]


def _prepare_cifar(config: DataConfig, root: Path) -> Path:
    return CIFARS[config.dataset].prepare(root)


def _read_cifar(config: DataConfig, root: Path) -> Whole:
    source = CIFARS[config.dataset]
    return Whole(*source.load(root), {"dataset": source.name, "md5": source.files})


def _synthesise(config: DataConfig, root: Path) -> Whole:
    training, test = synthetic.synthesise("train", config.train_images), synthetic.synthesise("test", config.test_images)
    provenance = {"dataset": "synthetic stand-in", "generator": "resnet_lab.data.synthetic, seed 0"}
    return Whole(training, test, synthetic.CLASSES, provenance)


# Of every data set but a folder, whose images stay on the disk, and `auto`, which is decided before a run is created.
READERS: Mapping[str, Reader] = {
    **dict.fromkeys(CIFARS, Reader(_prepare_cifar, _read_cifar)),
    "synthetic": Reader(lambda config, root: None, _synthesise),
}


class _Found(NamedTuple):
    """What there is in a folder of images."""

    train: FolderSet
    test: FolderSet
    classes: tuple[str, ...]
    digests: Digests


def _load_folder(config: DataConfig, root: Path, seed: int, begun: Begun | None) -> Data:
    found = _find(config, root, begun)
    provenance = {
        "dataset": "folder of images",
        "train_images": len(found.train),
        "val_images": len(found.test),
        "sha256": found.digests._asdict(),
    }
    train, validation, test = split(found.train, found.test, config, seed)
    mean, components = folder.statistics(train, seed)
    return Data(train, validation, test, mean, found.classes, provenance, components, found.digests)


def _find(config: DataConfig, root: Path, begun: Begun | None) -> _Found:
    """The folder's images, those of the run that has begun, and at least as many as the settings say."""
    training, test, classes = folder.find(root, config.image_size)
    digests = folder.digests(root, training, test)
    if begun is not None and digests.names != begun.digests.names:
        raise DataError(
            f"The images in {root} are not those of {begun.run}: it is another folder, or files in it have been added, removed "
            "or renamed. Name that folder with --data-dir; another folder takes another study."
        )
    wrong = {
        "num_classes": (len(classes), len(classes) != config.num_classes),
        "train_images": (len(training), len(training) < config.train_images),
        "test_images": (len(test), len(test) < config.test_images),
    }
    flags = [f"--set data.{key}={there}" for key, (there, is_wrong) in wrong.items() if is_wrong]
    if flags:
        raise ConfigError(
            f"{root} has {len(training):,} training and {len(test):,} test images of {len(classes):,} classes, and the "
            f"settings say {config.train_images:,}, {config.test_images:,} and {config.num_classes:,}: {' '.join(flags)}."
        )
    return _Found(training, test, classes, digests)
