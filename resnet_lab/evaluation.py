"""The error of a network that is there already, in a file of weights or a run's checkpoint, and what had to be assumed for it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor

from resnet_lab.analysis.subject import subjects
from resnet_lab.compute import set_up
from resnet_lab.config import ComputeConfig, DataConfig, Kind, ModelConfig, Padding
from resnet_lab.data import cifar10
from resnet_lab.data.batches import clean_batches
from resnet_lab.data.images import Data, ImageSet
from resnet_lab.data.load import load
from resnet_lab.errors import ConfigError
from resnet_lab.experiment import Resources
from resnet_lab.models.fold import folded
from resnet_lab.models.resnet import ResNet
from resnet_lab.models.weights import Form, Weights, form, network, read
from resnet_lab.record.store import RunFolder
from resnet_lab.train.evaluate import Precision, evaluate
from resnet_lab.train.world import pick_device

Normalisation = Literal["per-pixel", "imagenet", "channel"]
StrideOn = Literal["1x1", "3x3"]
Source = Literal["tensors", "metadata", "option", "assumed", "run"]
# Of ImageNet's training images, RGB in 0..1; most repositories for CIFAR-10 have them from PyTorch's ImageNet example.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Choices:
    """What the user says of a file that does not say it itself; None where nothing is said. `depth` is checked, no more."""

    kind: Kind | None = None
    depth: int | None = None
    padding: Padding | None = None
    stride_on: StrideOn | None = None
    normalisation: Normalisation | None = None


@dataclass(frozen=True)
class Known:
    """A property of the network or its images, where it is known from, and how: what shows it, or the option that changes it."""

    name: str
    value: str | int
    source: Source
    how: str


@dataclass(frozen=True)
class Candidate:
    """A network in fp32 on the data's device, and the images it is for: (RGB / 255 - mean) / std; no std: no division."""

    name: str
    net: ResNet
    model: ModelConfig
    num_classes: int
    known: tuple[Known, ...]
    data: Data
    mean: Tensor
    std: Tensor | None = None
    precision: Precision = "fp32"
    is_stand_in: bool = False

    def value(self, name: str) -> str | int | None:
        """The value of a property; None where the network has no such property."""
        return next((each.value for each in self.known if each.name == name), None)


@dataclass(frozen=True)
class Measured:
    """Error (a fraction), how many of how many images are taken for another class, and the mean loss."""

    error: float
    wrong: int
    images: int
    loss: float


def measure(candidate: Candidate, images: ImageSet) -> Measured:
    """In evaluation mode and without augmentation, as in a run's evaluations."""
    error, loss = evaluate(folded(candidate.net), _batches(candidate, images), candidate.precision)
    return Measured(error, round(error * len(images)), len(images), loss)


def _batches(candidate: Candidate, images: ImageSet) -> Iterator[tuple[Tensor, Tensor]]:
    for inputs, labels in clean_batches(images, candidate.mean):
        yield (inputs if candidate.std is None else inputs.div_(candidate.std)), labels


def from_run(folder: RunFolder, at: int | None, resources: Resources) -> Candidate:
    """A run's network at step `at`, at its newest checkpoint if not given, with the run's own data.

    Raises CheckpointError, ConfigError, DataError.
    """
    subject = subjects([folder], at, resources)[0]
    config, model = subject.config, subject.config.model
    residual = model.kind == "residual"
    known = {
        "kind": model.kind,
        "layout": model.layout,
        "blocks": model.block,
        "depth": model.depth,
        "width": model.width,
        "classes": config.data.num_classes,
        "shortcuts": model.shortcut if residual else None,
        "padding": model.pad_channels if residual and model.shortcut == "A" else None,
        "stride on": model.stride_on if model.block == "bottleneck" else None,
        "images": config.data.dataset,
        "normalisation": "per-pixel",
    }
    return Candidate(
        name=f"{folder.path} at step {subject.step:,}",
        net=subject.net,
        model=model,
        num_classes=config.data.num_classes,
        known=tuple(Known(name, value, "run", "") for name, value in known.items() if value is not None),
        data=subject.data,
        mean=subject.data.mean,
        precision=config.compute.precision,
        is_stand_in=config.data.dataset != "cifar10",
    )


def from_weights(path: Path, choices: Choices, resources: Resources) -> Candidate:
    """The network in a file of weights, with the images that it tells apart.

    What its tensors do not show is as its metadata says, or as usual with names like its own, unless it is chosen here.
    Raises ConfigError where a choice contradicts the file or has no meaning for it, DataError where file or images are not whole.
    """
    weights = read(path)
    found = form(weights)
    model, known = _described(weights, found, choices)
    net = network(weights, model, found.num_classes)
    device = pick_device(resources.device)
    set_up(ComputeConfig(), device, resources.threads)
    config, seed, images = _data_of(weights, found.num_classes)
    data = load(config, cifar10.data_dir(resources.data_dir), seed).to(device)
    normalisation = _normalisation(weights, choices.normalisation)
    mean, std = _statistics(data, normalisation.value)
    return Candidate(
        name=str(path),
        net=net.to(device),
        model=model,
        num_classes=found.num_classes,
        known=(*known, images, normalisation),
        data=data,
        mean=mean,
        std=std,
        is_stand_in=config.dataset != "cifar10",
    )


def _data_of(weights: Weights, num_classes: int) -> tuple[DataConfig, int, Known]:
    """The data set of a file, the seed of its split, and how it is known. Raises ConfigError where it has other classes.

    It is the one that our metadata names, with its split, else CIFAR-10 with all training images.
    """
    about = weights.about
    config = DataConfig(dataset="cifar10", validation_images=0) if about is None else about.data
    if config.num_classes != num_classes:
        raise ConfigError(
            f"{weights.path} tells {num_classes:,} classes apart, and CIFAR-10 has 10: name a file of a network for CIFAR-10."
        )
    if about is None:
        return config, 0, Known("images", config.dataset, "tensors", f"{num_classes} classes")
    return config, about.seed, Known("images", config.dataset, "metadata", "")


def _described(weights: Weights, found: Form, choices: Choices) -> tuple[ModelConfig, list[Known]]:
    """The file's network, and where each of its properties is known from. Raises ConfigError."""
    if choices.depth not in (None, found.depth):
        raise ConfigError(f"{weights.path} holds a network of depth {found.depth}, not {choices.depth}: leave --depth out.")
    told = {} if weights.about is None else weights.about.model.model_dump()
    kind = _kind(weights, found, choices.kind, told.get("kind"))
    known = [kind, *_shown(found, kind.value)]
    untold = {"kind": kind.value}
    if kind.value == "residual" and found.shortcut == "A":
        padding = _choice("padding", choices.padding, told.get("pad_channels"), "end" if weights.are_ours else "both")
        known.append(padding)
        untold["pad_channels"] = padding.value
    elif choices.padding is not None:
        why = "a plain network has no shortcuts" if kind.value == "plain" else "projections widen without zeros"
        raise ConfigError(f"--padding: {weights.path} has no channels to pad, {why}: leave it out.")
    if found.block == "bottleneck":
        stride_on = _choice("stride on", choices.stride_on, told.get("stride_on"), "1x1" if weights.are_ours else "3x3")
        known.append(stride_on)
        untold["stride_on"] = stride_on.value
    elif choices.stride_on is not None:
        raise ConfigError(f"--stride-on: {weights.path} has basic blocks, with no 1x1 layer to choose: leave it out.")
    return found.config(**untold), known


def _kind(weights: Weights, found: Form, chosen: Kind | None, told: str | None) -> Known:
    if found.shortcut == "A":
        return _choice("kind", chosen, told, "residual")
    if chosen == "plain":
        raise ConfigError(f"--plain: {weights.path} has projections, so the network is residual: leave it out.")
    return Known("kind", "residual", "tensors", "projections")


def _shown(found: Form, kind: str | int) -> Iterator[Known]:
    """What the tensors show."""
    layout = "3 stages, a 3x3 stem" if found.layout == "cifar" else "4 stages, a 7x7 stem"
    layers = "three convolutions each" if found.block == "bottleneck" else "two convolutions each"
    yield Known("layout", found.layout, "tensors", layout)
    yield Known("blocks", found.block, "tensors", layers)
    yield Known("depth", found.depth, "tensors", "number of blocks")
    yield Known("width", found.width, "tensors", "filters of the stem")
    yield Known("classes", found.num_classes, "tensors", "rows of the final layer")
    if kind == "residual":
        where = {"A": "no projections", "B": "projections where shapes change", "C": "projections in every block"}
        yield Known("shortcuts", found.shortcut, "tensors", where[found.shortcut])


def _normalisation(weights: Weights, chosen: Normalisation | None) -> Known:
    told = None if weights.about is None else "per-pixel"
    return _choice("normalisation", chosen, told, "per-pixel" if weights.are_ours else "imagenet")


# The option of each choice, up to its value.
_OPTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "kind": ("--", get_args(Kind)),
    "padding": ("--padding ", get_args(Padding)),
    "stride on": ("--stride-on ", get_args(StrideOn)),
    "normalisation": ("--normalisation ", get_args(Normalisation)),
}


def _choice(name: str, chosen: str | None, told: str | None, usual: str) -> Known:
    """What is chosen, else what the metadata says, else what is usual; and the option that changes it."""
    option, values = _OPTIONS[name]
    ways: tuple[tuple[str | None, Source], ...] = ((chosen, "option"), (told, "metadata"))
    value, source = next(((value, source) for value, source in ways if value is not None), (usual, "assumed"))
    return Known(name, value, source, option + " or ".join(each for each in values if each != value))


def _statistics(data: Data, normalisation: object) -> tuple[Tensor, Tensor | None]:
    """Mean and standard deviation in 0..1, `(3, 32, 32)` or `(3, 1, 1)`, on the data's device."""
    if normalisation == "per-pixel":
        return data.mean, None
    if normalisation == "imagenet":
        pair = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    else:
        pair = by_channel(data.train.images)
    mean, std = (each.view(3, 1, 1).to(data.mean.device) for each in pair)
    return mean, std


def by_channel(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of uint8 `(N, 3, H, W)` by channel, float32 `(3,)` in 0..1, summed exactly in integers."""
    totals, squares = torch.zeros(2, 3, dtype=torch.int64, device=images.device)
    for chunk in torch.split(images, 1_000):
        whole = chunk.to(torch.int64)
        totals += whole.sum(dim=(0, 2, 3))
        squares += whole.square().sum(dim=(0, 2, 3))
    number = images.numel() // 3
    mean = totals.cpu().double() / number
    std = (squares.cpu().double() / number - mean.square()).sqrt()
    return (mean / 255).float(), (std / 255).float()
