"""Loading of the data that a config describes, with a reader for each data set of `config/datasets.py`."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from resnet_lab.config.schema import DataConfig
from resnet_lab.data import folder, synthetic
from resnet_lab.data.batches import Batches, Own, whole
from resnet_lab.data.cifar import CIFARS, DATA_VARIABLE
from resnet_lab.data.folder import FolderBatches, FolderSet
from resnet_lab.data.images import Data, ImageSet, per_pixel_mean, split
from resnet_lab.errors import ConfigError, DataError
from resnet_lab.record.digests import Digests, RecordedImages


def data_root(option: Path | None) -> Path:
    """The data folder: the option if given, else $RESNET_LAB_DATA, else ./data."""
    return option or Path(os.environ.get(DATA_VARIABLE) or "data")


def prepare(config: DataConfig, root: Path, recorded: RecordedImages | None = None) -> None:
    """Check that the data is in `root` and unpack it if necessary; `recorded` is as in `load`.

    Raises DataError, and ConfigError if a folder's sizes contradict the config.
    """
    if config.facts.is_folder:
        _list_folder(config, root, recorded)
    else:
        READERS[config.dataset].prepare(config, root)


def load(config: DataConfig, root: Path, seed: int, recorded: RecordedImages | None = None) -> Data:
    """Load a run's data from the folder `root`, split by the run's seed.

    If `recorded` is given, the file names in a folder of images must match it, since splits and orders depend on them.
    Raises DataError, and ConfigError if a folder's sizes contradict the config.
    """
    if config.facts.is_folder:
        return _load_folder(config, root, seed, recorded)
    training, test, classes, provenance = READERS[config.dataset].read(config, root)
    train, validation, test = split(training, test, config, seed)
    return Data(train, validation, test, per_pixel_mean(train.images), classes, provenance)


def size_change(recorded: RecordedImages | None, digests: Digests | None) -> str | None:
    """A message if file sizes differ from the recorded ones, as after replacing an unreadable image; None if they do not."""
    if recorded is None or digests is None or digests == recorded.digests:
        return None
    return f"Some image files differ in size from those that {recorded.run} was trained on"


def training_batches(data: Data, batch_size: int, seed: int, own: Own = whole) -> Batches | FolderBatches:
    """The function from a step to its mini-batch, with the data set's augmentation: images `(N, 3, S, S)`, labels `(N,)`.

    Several processes share a batch; `own` selects this one's rows.
    """
    if isinstance(data.train, FolderSet):
        assert data.components is not None
        return FolderBatches(data.train, data.mean, data.components, batch_size, seed, own)
    assert isinstance(data.train, ImageSet)
    return Batches(data.train, data.mean, batch_size, seed, own)


class LoadedDataset(NamedTuple):
    """All images of a data set in memory, its class names, and its provenance."""

    training: ImageSet
    test: ImageSet
    classes: tuple[str, ...]
    provenance: dict[str, Any]


class Reader(NamedTuple):
    """How to read a data set: `prepare` checks that it is in a folder and unpacks it if necessary, `read` loads it."""

    prepare: Callable[[DataConfig, Path], object]
    read: Callable[[DataConfig, Path], LoadedDataset]


def _prepare_cifar(config: DataConfig, root: Path) -> Path:
    return CIFARS[config.dataset].prepare(root)


def _read_cifar(config: DataConfig, root: Path) -> LoadedDataset:
    source = CIFARS[config.dataset]
    return LoadedDataset(*source.load(root), {"dataset": source.name, "md5": source.files})


def _synthesise(config: DataConfig, root: Path) -> LoadedDataset:
    training, test = synthetic.synthesise("train", config.train_images), synthetic.synthesise("test", config.test_images)
    provenance = {"dataset": "synthetic stand-in", "generator": "resnet_lab.data.synthetic, seed 0"}
    return LoadedDataset(training, test, synthetic.CLASSES, provenance)


# Not a folder, whose images stay on disk, nor `auto`, which is resolved before a run is created.
READERS: Mapping[str, Reader] = {
    **dict.fromkeys(CIFARS, Reader(_prepare_cifar, _read_cifar)),
    "synthetic": Reader(lambda config, root: None, _synthesise),
}


class _FolderContents(NamedTuple):
    """The images and classes in a folder."""

    train: FolderSet
    test: FolderSet
    classes: tuple[str, ...]
    digests: Digests


def _load_folder(config: DataConfig, root: Path, seed: int, recorded: RecordedImages | None) -> Data:
    contents = _list_folder(config, root, recorded)
    provenance = {
        "dataset": "folder of images",
        "train_images": len(contents.train),
        "val_images": len(contents.test),
        "sha256": contents.digests._asdict(),
    }
    train, validation, test = split(contents.train, contents.test, config, seed)
    mean, components = folder.statistics(train, seed)
    return Data(train, validation, test, mean, contents.classes, provenance, components, contents.digests)


def _list_folder(config: DataConfig, root: Path, recorded: RecordedImages | None) -> _FolderContents:
    """List a folder's images. Raises DataError if they are not the recorded ones, ConfigError if sizes contradict the config."""
    training, test, classes = folder.find(root, config.image_size)
    digests = folder.digests(root, training, test)
    if recorded is not None and digests.names != recorded.digests.names:
        raise DataError(
            f"The images in {root} are not those of {recorded.run}: it is another folder, or files were added, removed or "
            "renamed. Name the original folder with --data-dir, or start another study with --study NAME."
        )
    sizes = {
        "num_classes": (len(classes), len(classes) != config.num_classes),
        "train_images": (len(training), len(training) < config.train_images),
        "test_images": (len(test), len(test) < config.test_images),
    }
    options = [f"--set data.{key}={actual}" for key, (actual, is_wrong) in sizes.items() if is_wrong]
    if options:
        raise ConfigError(
            f"{root} has {len(training):,} training and {len(test):,} test images of {len(classes):,} classes, but the config "
            f"specifies {config.train_images:,}, {config.test_images:,} and {config.num_classes:,}: use {' '.join(options)}."
        )
    return _FolderContents(training, test, classes, digests)
