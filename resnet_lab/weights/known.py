"""The properties of the network in a file of weights, each with its source: tensors, metadata, an option, or an assumption."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from resnet_lab.config.blocks import BLOCKS, DEFAULT_SPAN, StrideOn, facts_of
from resnet_lab.config.datasets import DATASETS, DatasetFacts, FileDataset, with_classes
from resnet_lab.config.model import ModelConfig
from resnet_lab.config.terms import Kind, Normalisation, Padding
from resnet_lab.errors import ConfigError
from resnet_lab.weights.read import Form, Weights

_NUMBERS = ("no", "one", "two", "three", "four")
Source = Literal["tensors", "metadata", "option", "assumed", "usual", "run"]


@dataclass(frozen=True)
class Choices:
    """Properties that the user specifies for a file without metadata; None if unspecified. `depth` is only checked."""

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
    """A property of the network or its images, and its source. `how` is the evidence for it, or the option that changes it.

    If an `assumed` property is wrong, so is the measured error; a `usual` one is a valid choice in any case.
    """

    name: str
    value: str | float
    source: Source
    how: str = ""


def network(weights: Weights, form: Form, choices: Choices) -> tuple[ModelConfig, list[Known]]:
    """The config of the file's network, and its properties. Raises ConfigError if a choice contradicts the file."""
    if choices.depth not in (None, form.depth):
        raise ConfigError(f"{weights.path} contains a network of depth {form.depth}, not {choices.depth}: drop --depth.")
    metadata = {} if weights.about is None else weights.about.model.model_dump()
    kind = _kind(weights, form, choices.kind, metadata.get("kind"))
    known = [kind, *_from_tensors(form, kind.value)]
    known += [Known(name.replace("_", " "), value, "metadata") for name, value in form.interventions.items()]
    settings = {"kind": kind.value}
    if kind.value == "residual" and form.shortcut == "A":
        default = "end" if weights.are_ours else "both"
        padding = _choice("padding", "--padding", get_args(Padding), choices.padding, metadata.get("pad_channels"), default)
        known.append(padding)
        settings["pad_channels"] = padding.value
    elif choices.padding is not None:
        reason = "a plain network has no shortcuts" if kind.value == "plain" else "its shortcuts are projections"
        raise ConfigError(f"--padding does not apply to {weights.path}: {reason}. Drop it.")
    if BLOCKS[form.block].chooses_stride:
        default = "1x1" if weights.are_ours else "3x3"
        stride_on = _choice("stride on", "--stride-on", get_args(StrideOn), choices.stride_on, metadata.get("stride_on"), default)
        known.append(stride_on)
        settings["stride_on"] = stride_on.value
    elif choices.stride_on is not None:
        raise ConfigError(f"--stride-on does not apply to {weights.path}: {form.block} blocks have no 1x1 layer. Drop it.")
    return form.config(**settings), known


def _kind(weights: Weights, form: Form, chosen: Kind | None, metadata: str | None) -> Known:
    if form.shortcut == "A":
        return _choice("kind", "--", get_args(Kind), chosen, metadata, "residual")
    if chosen == "plain":
        raise ConfigError(f"--plain: {weights.path} has projections, so its network is residual. Drop --plain.")
    return Known("kind", "residual", "tensors", "projections")


def _from_tensors(form: Form, kind: str | float) -> Iterator[Known]:
    """The properties that the tensors determine."""
    layout = "3 stages, a 3x3 stem" if form.layout == "cifar" else "4 stages, a 7x7 stem"
    yield Known("layout", form.layout, "tensors", layout)
    num_layers = facts_of(form.block, form.interventions.get("span", DEFAULT_SPAN)).num_layers
    yield Known("blocks", form.block, "tensors", f"{_NUMBERS[num_layers]} convolutions each")
    yield Known("depth", form.depth, "tensors", "number of blocks")
    yield Known("width", form.width, "tensors", "filters of the stem")
    yield Known("classes", form.num_classes, "tensors", "rows of the final layer")
    if kind == "residual":
        evidence = {"A": "no projections", "B": "projections where shapes change", "C": "projections in every block"}
        yield Known("shortcuts", form.shortcut, "tensors", evidence[form.shortcut])


def dataset(weights: Weights, form: Form, chosen: FileDataset | None) -> Known:
    """The data set of a file: the one in its metadata, else the one with the same number of classes.

    A chosen folder may differ from the one in the metadata.
    """
    about = weights.about
    if about is not None and (chosen is None or (chosen == about.data.dataset and not about.data.facts.is_folder)):
        return Known("images", about.data.dataset, "metadata")
    if chosen is not None:
        return Known("images", chosen, "option")
    if form.layout == "imagenet":
        return Known("images", "folder", "tensors", f"{form.num_classes:,} classes, 7x7 stem")
    return Known("images", with_classes(form.num_classes) or "folder", "tensors", f"{form.num_classes:,} classes")


def facts(dataset: Known) -> DatasetFacts:
    """The entry of a data set in the table of data sets."""
    return DATASETS[str(dataset.value)]


def image_size(weights: Weights, form: Form, chosen: int | None, dataset: Known) -> Known | None:
    """Input size for the images of a folder, in pixels a side; None for other data sets. Raises ConfigError."""
    sizes = facts(dataset).sizes
    if sizes is not None:
        if chosen is not None:
            side = sizes.image_size
            raise ConfigError(f"--image-size: images of {dataset.value} are always {side}x{side}. Drop it.")
        return None
    if chosen is not None:
        return Known("image size", chosen, "option")
    if weights.about is not None and weights.about.data.facts.is_folder:
        return Known("image size", weights.about.data.image_size, "metadata")
    return Known("image size", 224 if form.layout == "imagenet" else 32, "assumed", "--image-size N")


def views(chosen: int | None, dataset: Known) -> Known | None:
    """Number of crops per test image of a folder; None for other data sets. Raises ConfigError."""
    if not facts(dataset).is_folder:
        if chosen not in (None, 1):
            raise ConfigError(f"--views: images of {dataset.value} are no larger than the network's input. Drop it.")
        return None
    return Known("views", 1, "usual", "--views 10") if chosen is None else Known("views", chosen, "option")


def normalisation(weights: Weights, chosen: Normalisation | None, dataset: Known) -> Known:
    """How pixels are normalised. Raises ConfigError for `channel` with the images of a folder."""
    of_folder = facts(dataset).is_folder
    if of_folder and chosen == "channel":
        raise ConfigError("--normalisation channel is only for CIFAR: choose per-pixel or imagenet for a folder of images.")
    values = [value for value in get_args(Normalisation) if not (of_folder and value == "channel")]
    metadata = None if weights.about is None else "per-pixel"
    return _choice("normalisation", "--normalisation", values, chosen, metadata, "per-pixel" if weights.are_ours else "imagenet")


def _choice(name: str, option: str, values: Sequence[str], chosen: str | None, metadata: str | None, default: str) -> Known:
    """A property from the user's choice, else from the metadata, else the default, with the option that changes it.

    Raises ConfigError if the choice contradicts the metadata.
    """
    flag = option if option == "--" else f"{option} "
    if None not in (chosen, metadata) and chosen != metadata:
        raise ConfigError(f"According to the file's metadata, its {name} is {metadata}: drop {flag}{chosen}.")
    candidates: tuple[tuple[str | None, Source], ...] = ((chosen, "option"), (metadata, "metadata"), (default, "assumed"))
    value, source = next((value, source) for value, source in candidates if value is not None)
    alternatives = " or ".join(other for other in values if other != value)
    return Known(name, value, source, f"{flag}{alternatives}")
