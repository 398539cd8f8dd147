"""What is known of a file of weights and how: what its tensors show, its metadata say, the user chooses, or must be assumed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from resnet_lab.config.blocks import BLOCKS, StrideOn
from resnet_lab.config.datasets import DATASETS, DatasetFacts, FileDataset, with_classes
from resnet_lab.config.schema import ModelConfig
from resnet_lab.config.terms import Kind, Normalisation, Padding
from resnet_lab.errors import ConfigError
from resnet_lab.weights.read import Form, Weights

_NUMBERS = ("no", "one", "two", "three", "four")
Source = Literal["tensors", "metadata", "option", "assumed", "usual", "run"]


@dataclass(frozen=True)
class Choices:
    """What the user says of a file that does not say it itself; None where nothing is said. `depth` is checked, no more."""

    kind: Kind | None = None
    depth: int | None = None
    padding: Padding | None = None
    stride_on: StrideOn | None = None
    normalisation: Normalisation | None = None
    dataset: FileDataset | None = None
    image_size: int | None = None
    views: int | None = None


@dataclass(frozen=True)
class Known:
    """A property of the network or its images, where it is known from, and how: what shows it, or the option that changes it.

    What is `assumed` decides whether the numbers mean anything; what is `usual` is right either way.
    """

    name: str
    value: str | int
    source: Source
    how: str = ""


def network(weights: Weights, found: Form, choices: Choices) -> tuple[ModelConfig, list[Known]]:
    """The file's network, and where each of its properties is known from. Raises ConfigError where a choice contradicts it."""
    if choices.depth not in (None, found.depth):
        raise ConfigError(f"{weights.path} holds a network of depth {found.depth}, not {choices.depth}: leave --depth out.")
    told = {} if weights.about is None else weights.about.model.model_dump()
    kind = _kind(weights, found, choices.kind, told.get("kind"))
    known = [kind, *_shown(found, kind.value)]
    untold = {"kind": kind.value}
    if kind.value == "residual" and found.shortcut == "A":
        usual = "end" if weights.are_ours else "both"
        padding = _choice("padding", "--padding", get_args(Padding), choices.padding, told.get("pad_channels"), usual)
        known.append(padding)
        untold["pad_channels"] = padding.value
    elif choices.padding is not None:
        why = "a plain network has no shortcuts" if kind.value == "plain" else "projections widen without zeros"
        raise ConfigError(f"--padding: {weights.path} has no channels to pad, {why}: leave it out.")
    if BLOCKS[found.block].chooses_stride:
        usual = "1x1" if weights.are_ours else "3x3"
        stride_on = _choice("stride on", "--stride-on", get_args(StrideOn), choices.stride_on, told.get("stride_on"), usual)
        known.append(stride_on)
        untold["stride_on"] = stride_on.value
    elif choices.stride_on is not None:
        raise ConfigError(f"--stride-on: {weights.path} has {found.block} blocks, with no 1x1 layer to choose: leave it out.")
    return found.config(**untold), known


def _kind(weights: Weights, found: Form, chosen: Kind | None, told: str | None) -> Known:
    if found.shortcut == "A":
        return _choice("kind", "--", get_args(Kind), chosen, told, "residual")
    if chosen == "plain":
        raise ConfigError(f"--plain: {weights.path} has projections, so the network is residual: leave it out.")
    return Known("kind", "residual", "tensors", "projections")


def _shown(found: Form, kind: str | int) -> Iterator[Known]:
    """What the tensors show."""
    layout = "3 stages, a 3x3 stem" if found.layout == "cifar" else "4 stages, a 7x7 stem"
    yield Known("layout", found.layout, "tensors", layout)
    yield Known("blocks", found.block, "tensors", f"{_NUMBERS[BLOCKS[found.block].num_layers]} convolutions each")
    yield Known("depth", found.depth, "tensors", "number of blocks")
    yield Known("width", found.width, "tensors", "filters of the stem")
    yield Known("classes", found.num_classes, "tensors", "rows of the final layer")
    if kind == "residual":
        where = {"A": "no projections", "B": "projections where shapes change", "C": "projections in every block"}
        yield Known("shortcuts", found.shortcut, "tensors", where[found.shortcut])


def dataset(weights: Weights, found: Form, chosen: FileDataset | None) -> Known:
    """The data set of a file: that of its metadata, else that with as many classes.

    A folder that is chosen may be another than that of the metadata.
    """
    about = weights.about
    if about is not None and (chosen is None or (chosen == about.data.dataset and not about.data.facts.is_folder)):
        return Known("images", about.data.dataset, "metadata")
    if chosen is not None:
        return Known("images", chosen, "option")
    if found.layout == "imagenet":
        return Known("images", "folder", "tensors", f"{found.num_classes:,} classes, 7x7 stem")
    return Known("images", with_classes(found.num_classes) or "folder", "tensors", f"{found.num_classes:,} classes")


def facts(dataset: Known) -> DatasetFacts:
    """What is to be known of a known data set."""
    return DATASETS[str(dataset.value)]


def image_size(weights: Weights, found: Form, chosen: int | None, dataset: Known) -> Known | None:
    """Side of what the network sees of a folder's images, in pixels; None for other images. Raises ConfigError."""
    sizes = facts(dataset).sizes
    if sizes is not None:
        if chosen is not None:
            side = sizes.image_size
            raise ConfigError(f"--image-size: those of {dataset.value} are {side}x{side}: leave it out.")
        return None
    if chosen is not None:
        return Known("image size", chosen, "option")
    if weights.about is not None and weights.about.data.facts.is_folder:
        return Known("image size", weights.about.data.image_size, "metadata")
    return Known("image size", 224 if found.layout == "imagenet" else 32, "assumed", "--image-size N")


def views(chosen: int | None, dataset: Known) -> Known | None:
    """How many crops are seen of each test image of a folder; None for other images. Raises ConfigError."""
    if not facts(dataset).is_folder:
        if chosen not in (None, 1):
            raise ConfigError(f"--views: the images of {dataset.value} are no larger than what the network sees: leave it out.")
        return None
    return Known("views", 1, "usual", "--views 10") if chosen is None else Known("views", chosen, "option")


def normalisation(weights: Weights, chosen: Normalisation | None, dataset: Known) -> Known:
    """What the network gets of the pixels. Raises ConfigError for what a folder's images cannot have."""
    of_folder = facts(dataset).is_folder
    if of_folder and chosen == "channel":
        raise ConfigError("--normalisation channel is for CIFAR; images of a folder take per-pixel or imagenet.")
    values = [each for each in get_args(Normalisation) if not (of_folder and each == "channel")]
    told = None if weights.about is None else "per-pixel"
    return _choice("normalisation", "--normalisation", values, chosen, told, "per-pixel" if weights.are_ours else "imagenet")


def _choice(name: str, option: str, values: Sequence[str], chosen: str | None, told: str | None, usual: str) -> Known:
    """What is chosen, else what the metadata says, else what is usual; and the option that changes it.

    Raises ConfigError where the metadata says otherwise than what is chosen.
    """
    flag = option if option == "--" else f"{option} "
    if None not in (chosen, told) and chosen != told:
        raise ConfigError(f"The file says itself that its {name} is {told}: leave {flag}{chosen} out.")
    ways: tuple[tuple[str | None, Source], ...] = ((chosen, "option"), (told, "metadata"), (usual, "assumed"))
    value, source = next((value, source) for value, source in ways if value is not None)
    others = " or ".join(each for each in values if each != value)
    return Known(name, value, source, f"{flag}{others}")
