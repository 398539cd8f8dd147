"""The data sets: sizes, classes and what sets each apart from the paper's data, without torch; readers are in `data/load.py`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

FileDataset = Literal["cifar10", "cifar100", "folder"]  # those with files of their own, which `data` and `evaluate` take by name
Dataset = Literal[FileDataset, "synthetic", "auto"]


class Sizes(NamedTuple):
    """What a data set has, the same everywhere; `image_size` is the side of its images, in pixels."""

    num_classes: int
    image_size: int
    train_images: int
    test_images: int


@dataclass(frozen=True)
class DatasetFacts:
    """One data set. Without `sizes` it is a folder of images, whose numbers the settings state.

    `departure`: how its images depart from the paper's; None where they do not.
    """

    sizes: Sizes | None
    departure: str | None = None
    is_stand_in: bool = False

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder of images: larger than what a network sees, and decoded while it trains."""
        return self.sizes is None


_CIFAR10 = Sizes(num_classes=10, image_size=32, train_images=50_000, test_images=10_000)
DATASETS: Mapping[str, DatasetFacts] = {
    "cifar10": DatasetFacts(_CIFAR10),
    "cifar100": DatasetFacts(
        Sizes(num_classes=100, image_size=32, train_images=50_000, test_images=10_000),
        departure="The images are those of CIFAR-100, on which the paper does not report.",
    ),
    "folder": DatasetFacts(
        sizes=None,
        departure="The images are those of a folder: numbers compare with the paper's only where they are ImageNet's of 2012.",
    ),
    "synthetic": DatasetFacts(
        _CIFAR10,
        departure="The images are the synthetic stand-in, not CIFAR-10: no number here compares with the paper's.",
        is_stand_in=True,
    ),
    "auto": DatasetFacts(_CIFAR10),
}


def size_problems(dataset: Dataset, stated: Sizes) -> Iterator[tuple[str, str]]:
    """Numbers that settings state and the data set does not have: the key and what is wrong with it."""
    sizes = DATASETS[dataset].sizes
    if sizes is None:
        return
    for key in ("num_classes", "image_size"):
        if getattr(stated, key) != getattr(sizes, key):
            yield key, f"{dataset} has {getattr(sizes, key)}, got {getattr(stated, key)}"
    for key in ("train_images", "test_images"):
        if getattr(stated, key) > getattr(sizes, key):
            yield key, f"{dataset} has {getattr(sizes, key):,}, got {getattr(stated, key):,}"


def fixed_sizes() -> dict[FileDataset, Sizes]:
    """The data sets with files of their own, by name: all but folders."""
    names: tuple[FileDataset, ...] = get_args(FileDataset)
    return {name: sizes for name in names if (sizes := DATASETS[name].sizes) is not None}


def with_classes(num_classes: int) -> FileDataset | None:
    """The first data set that has so many classes; None where only a folder can have them."""
    return next((name for name, sizes in fixed_sizes().items() if sizes.num_classes == num_classes), None)
