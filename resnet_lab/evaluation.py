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
from resnet_lab.data import folder as image_folder
from resnet_lab.data.batches import clean_batches
from resnet_lab.data.images import Data, Images, ImageSet
from resnet_lab.data.load import data_root, load
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
Files = Literal["cifar10", "cifar100", "folder"]
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
    dataset: Files | None = None


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
    views: int = 1
    precision: Precision = "fp32"

    @property
    def is_stand_in(self) -> bool:
        """Whether the images are the synthetic stand-in."""
        return self.value("images") == "synthetic"

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


def measure(candidate: Candidate, images: Images, views: int = 1) -> Measured:
    """In evaluation mode and without augmentation, as in a run's evaluations; with ten views over ten crops of each image."""
    error, loss = evaluate(folded(candidate.net), _batches(candidate, images, views), candidate.precision)
    return Measured(error, round(error * len(images)), len(images), loss)


def _batches(candidate: Candidate, images: Images, views: int = 1) -> Iterator[tuple[Tensor, Tensor]]:
    for inputs, labels in clean_batches(images, candidate.mean, views=views):
        yield (inputs if candidate.std is None else inputs.div_(candidate.std)), labels


def from_run(folder: RunFolder, at: int | None, views: int | None, resources: Resources) -> Candidate:
    """A run's network at step `at`, at its newest checkpoint if not given, with the run's own data.

    Test images are seen in so many views, as in the run's last evaluation if not given.

    Raises CheckpointError, ConfigError, DataError.
    """
    subject = subjects([folder], at, resources)[0]
    config, model = subject.config, subject.config.model
    residual = model.kind == "residual"
    views = _views(views or config.evaluation.final_test_views, config.data)
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
        "views": views if config.data.dataset == "folder" else None,
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
        views=views,
        precision=config.compute.precision,
    )


def from_weights(path: Path, choices: Choices, views: int | None, resources: Resources) -> Candidate:
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
    root = data_root(resources.data_dir)
    config, seed, images = _data_of(weights, found, choices.dataset, root)
    views = _views(views or 1, config)
    data = load(config, root, seed).to(device)
    normalisation = _normalisation(weights, choices.normalisation)
    mean, std = _statistics(data, normalisation.value)
    seen = [Known("views", views, "option", "--views 1 or 10")] if config.dataset == "folder" else []
    return Candidate(
        name=str(path),
        net=net.to(device),
        model=model,
        num_classes=found.num_classes,
        known=(*known, images, *seen, normalisation),
        data=data,
        mean=mean,
        std=std,
        views=views,
    )


def _data_of(weights: Weights, found: Form, chosen: Files | None, root: Path) -> tuple[DataConfig, int, Known]:
    """The data set of a file, the seed of its split, and how it is known. Raises ConfigError and DataError.

    It is the one that our metadata names, with its split, else that with as many classes, and all of its training images.
    """
    about = weights.about
    if about is not None and chosen in (None, about.data.dataset):
        return about.data, about.seed, Known("images", about.data.dataset, "metadata", "")
    of_cifar: dict[int, Files] = {10: "cifar10", 100: "cifar100"}
    dataset = chosen or (of_cifar.get(found.num_classes, "folder") if found.layout == "cifar" else "folder")
    source: Source = "tensors" if chosen is None else "option"
    known = Known(
        "images", dataset, source, f"{found.num_classes:,} classes" + (", 7x7 stem" if found.layout == "imagenet" else "")
    )
    if dataset == "folder":
        size = 224 if found.layout == "imagenet" else 32
        train, test, classes = image_folder.find(root, size)
        _match(weights, found, len(classes), str(root))
        counts = {"train_images": len(train), "test_images": len(test), "num_classes": len(classes)}
        return DataConfig(dataset="folder", image_size=size, validation_images=0, **counts), 0, known
    config = DataConfig(dataset=dataset, validation_images=0)
    _match(weights, found, config.num_classes, dataset)
    return config, 0, known


def _match(weights: Weights, found: Form, num_classes: int, where: str) -> None:
    if found.num_classes != num_classes:
        raise ConfigError(
            f"{weights.path} tells {found.num_classes:,} classes apart, and {where} has {num_classes:,}: name the images that it "
            "is for, --dataset cifar10, cifar100, or folder with --data-dir."
        )


def _views(views: int, config: DataConfig) -> int:
    if views != 1 and config.dataset != "folder":
        raise ConfigError(f"--views: the images of {config.dataset} are no larger than what the network sees: leave it out.")
    return views


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
    elif isinstance(data.train, ImageSet):
        pair = by_channel(data.train.images)
    else:
        raise ConfigError("--normalisation channel is for CIFAR; images of a folder take per-pixel or imagenet.")
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
