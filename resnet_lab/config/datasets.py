"""The data sets: sizes, classes and differences from the paper's data; imports no torch. Readers are in `data/load.py`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

FileDataset = Literal["cifar10", "cifar100", "folder"]  # read from files; the choices of `data` and `evaluate`
Dataset = Literal[FileDataset, "synthetic", "auto"]


class Sizes(NamedTuple):
    """The fixed sizes of a data set; `image_size` is the height and width of its images, in pixels."""

    num_classes: int
    image_size: int
    train_images: int
    test_images: int


@dataclass(frozen=True)
class DatasetFacts:
    """Properties of one data set. A data set without `sizes` is a folder of images, whose sizes are given in the settings.

    `departure`: a sentence on how its images differ from the paper's; None if they do not.
    """

    sizes: Sizes | None
    departure: str | None = None
    is_stand_in: bool = False

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder of images, which are decoded during training and cropped to the network's input size."""
        return self.sizes is None


_CIFAR10 = Sizes(num_classes=10, image_size=32, train_images=50_000, test_images=10_000)
DATASETS: Mapping[str, DatasetFacts] = {
    "cifar10": DatasetFacts(_CIFAR10),
    "cifar100": DatasetFacts(
        Sizes(num_classes=100, image_size=32, train_images=50_000, test_images=10_000),
        departure="The images are CIFAR-100, for which the paper reports no results.",
    ),
    "folder": DatasetFacts(
        sizes=None,
        departure="The images come from a folder: results are comparable with the paper's only if they are ImageNet 2012.",
    ),
    "synthetic": DatasetFacts(
        _CIFAR10,
        departure="The images are the synthetic stand-in, not CIFAR-10: no result is comparable with the paper's.",
        is_stand_in=True,
    ),
    "auto": DatasetFacts(_CIFAR10),
}


def size_problems(dataset: Dataset, stated: Sizes) -> Iterator[tuple[str, str]]:
    """Pairs of key and problem, for each size in the settings that contradicts the data set."""
    sizes = DATASETS[dataset].sizes
    if sizes is None:
        return
    for key in ("num_classes", "image_size"):
        if getattr(stated, key) != getattr(sizes, key):
            yield key, f"must be {getattr(sizes, key)} for {dataset}, got {getattr(stated, key)}"
    for key in ("train_images", "test_images"):
        if getattr(stated, key) > getattr(sizes, key):
            yield key, f"{dataset} has only {getattr(sizes, key):,}, got {getattr(stated, key):,}"


def fixed_sizes() -> dict[FileDataset, Sizes]:
    """The sizes of the data sets that are read from files, by name; folders have none."""
    names: tuple[FileDataset, ...] = get_args(FileDataset)
    return {name: sizes for name in names if (sizes := DATASETS[name].sizes) is not None}


def with_classes(num_classes: int) -> FileDataset | None:
    """The first data set with this number of classes; None if there is none, so that only a folder can match."""
    return next((name for name, sizes in fixed_sizes().items() if sizes.num_classes == num_classes), None)
