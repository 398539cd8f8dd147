"""The error of a network that is there already, in a file of weights or a run's checkpoint, on the images it is for."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from resnet_lab.config.datasets import DATASETS, fixed_sizes, with_classes
from resnet_lab.config.schema import ComputeConfig, DataConfig, ModelConfig
from resnet_lab.data import folder as image_folder
from resnet_lab.data.batches import clean_batches
from resnet_lab.data.folder import FolderSet
from resnet_lab.data.images import Data, Images, ImageSet
from resnet_lab.data.load import data_root, load
from resnet_lab.errors import ConfigError, DataError
from resnet_lab.models.fold import folded
from resnet_lab.models.resnet import ResNet
from resnet_lab.record.store import RunFolder
from resnet_lab.run.compute import set_up
from resnet_lab.run.device import Resources, pick_device
from resnet_lab.run.trained import load_data, load_trained
from resnet_lab.train.evaluate import Precision, evaluate
from resnet_lab.weights import known
from resnet_lab.weights.known import Choices, Known
from resnet_lab.weights.read import About, Form, Weights, form, network, read

# Of ImageNet's training images, RGB in 0..1; most repositories for CIFAR-10 have them from PyTorch's ImageNet example.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Seen(NamedTuple):
    """What a network sees: images, of which its input is (RGB / 255 - mean) / std; no std: no division.

    Mean and standard deviation are `(3, S, S)` or `(3, 1, 1)`, in 0..1, on the images' device. `train` is None where the
    training images were not asked for and need not be there.
    """

    test: Images
    train: Images | None
    mean: Tensor
    std: Tensor | None = None

    def batches(self, images: Images, views: int = 1) -> Iterator[tuple[Tensor, Tensor]]:
        """The network's inputs, normalised as said above, and their labels; shapes are those of `data.batches.clean_batches`."""
        for inputs, labels in clean_batches(images, self.mean, views=views):
            yield (inputs if self.std is None else inputs.div_(self.std)), labels


@dataclass(frozen=True)
class Candidate:
    """A network in fp32 on the device of the images that it is for."""

    name: str
    net: ResNet
    model: ModelConfig
    num_classes: int
    known: tuple[Known, ...]
    seen: Seen
    views: int = 1
    precision: Precision = "fp32"

    @property
    def is_stand_in(self) -> bool:
        """Whether the images are the synthetic stand-in."""
        return DATASETS[str(self.value("images"))].is_stand_in

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
    error, loss = evaluate(folded(candidate.net), candidate.seen.batches(images, views), candidate.precision)
    return Measured(error, round(error * len(images)), len(images), loss)


def from_run(folder: RunFolder, at: int | None, views: int | None, resources: Resources) -> Candidate:
    """A run's network at step `at`, at its newest checkpoint if not given, with the run's own data.

    Test images are seen in so many views, as in the run's last evaluation if not given.

    Raises CheckpointError, ConfigError, DataError.
    """
    trained = load_trained([folder], at, resources)[0]
    config, model = trained.config, trained.config.model
    residual, of_folder = model.kind == "residual", config.data.facts.is_folder
    chosen = None if views is None else known.views(views, Known("images", config.data.dataset, "run"))
    number = config.evaluation.final_test_views if views is None else views
    values = {
        "kind": model.kind,
        "layout": model.layout,
        "blocks": model.block,
        "depth": model.depth,
        "width": model.width,
        "classes": config.data.num_classes,
        "shortcuts": model.shortcut if residual else None,
        "padding": model.pad_channels if residual and model.shortcut == "A" else None,
        "stride on": model.stride_on if model.block_facts.chooses_stride else None,
        "images": config.data.dataset,
        "image size": config.data.image_size if of_folder else None,
        "views": number if of_folder and chosen is None else None,
        "normalisation": "per-pixel",
    }
    told = [Known(name, value, "run") for name, value in values.items() if value is not None]
    data = load_data(trained, data_root(resources.data_dir))
    return Candidate(
        name=f"{folder.path} at step {trained.step:,}",
        net=trained.net,
        model=model,
        num_classes=config.data.num_classes,
        known=(*told, *([chosen] if chosen else [])),
        seen=Seen(data.test, data.train, data.mean),
        views=number,
        precision=config.compute.precision,
    )


def from_weights(path: Path, choices: Choices, resources: Resources, *, train: bool = False) -> Candidate:
    """The network in a file of weights, with the images that it tells apart; `train`: the training images too.

    What its tensors do not show is as its metadata says, or as usual with names like its own, unless it is chosen here.
    Raises ConfigError where a choice contradicts the file or has no meaning for it, DataError where file or images are not whole.
    """
    weights = read(path)
    found = form(weights)
    model, properties = known.network(weights, found, choices)
    dataset = known.dataset(weights, found, choices.dataset)
    size = known.image_size(weights, found, choices.image_size, dataset)
    views = known.views(choices.views, dataset)
    normalisation = known.normalisation(weights, choices.normalisation, dataset)
    net = network(weights, model, found.num_classes)
    device = pick_device(resources.device)
    set_up(ComputeConfig(), device, resources.threads)
    told = [each for each in (*properties, dataset, size, views, normalisation) if each is not None]
    root, side = data_root(resources.data_dir), _side(dataset, size)
    if normalisation.value == "imagenet" and known.facts(dataset).is_folder and dataset.source != "metadata" and not train:
        test = _test_images(weights, found, dataset, side, root).to(device)
        seen = Seen(test, None, *_imagenet(device))
    else:
        seen = normalised(_data(weights, found, dataset, side, root).to(device), str(normalisation.value))
    return Candidate(
        name=str(path),
        net=net.move(device),
        model=model,
        num_classes=found.num_classes,
        known=tuple(told),
        seen=seen,
        views=1 if views is None else int(views.value),
    )


def _side(dataset: Known, size: Known | None) -> int:
    """The side of what the network sees, in pixels."""
    sizes = known.facts(dataset).sizes
    if sizes is not None:
        return sizes.image_size
    assert size is not None, "it is known of a folder's images"
    return int(size.value)


def normalised(data: Data, normalisation: str) -> Seen:
    """The images of a data set and how they are normalised: `per-pixel`, `imagenet`, or `channel`, which is not for folders."""
    if normalisation == "per-pixel":
        return Seen(data.test, data.train, data.mean)
    if normalisation == "imagenet":
        return Seen(data.test, data.train, *_imagenet(data.mean.device))
    assert isinstance(data.train, ImageSet)
    mean, std = (each.view(3, 1, 1).to(data.mean.device) for each in by_channel(data.train.images))
    return Seen(data.test, data.train, mean, std)


def _data(weights: Weights, found: Form, dataset: Known, size: int, root: Path) -> Data:
    """The data that our metadata names, with its split; else all images of the data set. Raises ConfigError and DataError."""
    about = weights.about
    if about is not None and about.data.dataset == dataset.value:
        try:
            return _its_own(weights.path, about, size, root)
        except DataError:
            if dataset.source == "metadata":
                raise  # else it was asked for another folder
    if known.facts(dataset).is_folder:
        test = _test_images(weights, found, dataset, size, root)
        train, _ = image_folder.find_part(root, image_folder.TRAIN, size)
        counts = {"num_classes": found.num_classes, "train_images": len(train), "test_images": len(test)}
        return load(DataConfig(dataset="folder", image_size=size, validation_images=0, **counts), root, 0)
    config = DataConfig.model_validate({"dataset": dataset.value, "validation_images": 0})
    _match(weights, found, config.num_classes, config.dataset)
    return load(config, root, 0)


def _test_images(weights: Weights, found: Form, dataset: Known, size: int, root: Path) -> FolderSet:
    try:
        test, classes = image_folder.find_part(root, image_folder.TEST, size)
    except DataError as error:
        other = with_classes(found.num_classes)
        if dataset.source == "option" or other is None:
            raise
        raise DataError(f"{error} If {weights.path} is for other images, --dataset {other} says so.") from error
    _match(weights, found, len(classes), str(root))
    return test


def _its_own(path: Path, about: About, size: int, root: Path) -> Data:
    """The data that our metadata names. Raises DataError where a folder is another one, with another mean."""
    config = about.data.model_copy(update={"image_size": size})
    other = (
        f"{root} is not the folder of images that {path} was trained on, the mean of which belongs to it: name that one with "
        "--data-dir, or take this one with its own mean, --dataset folder."
    )
    try:
        data = load(config, root, about.seed)
    except ConfigError as error:  # of other numbers
        raise DataError(other) from error
    if about.images is not None and (data.digests is None or about.images != data.digests.files):
        raise DataError(other)
    return data


def _match(weights: Weights, found: Form, num_classes: int, where: str) -> None:
    if found.num_classes != num_classes:
        raise ConfigError(
            f"{weights.path} tells {found.num_classes:,} classes apart, and {where} has {num_classes:,}: name the images that it "
            f"is for, --dataset {', '.join(fixed_sizes())}, or folder with --data-dir."
        )


def _imagenet(device: torch.device) -> Iterator[Tensor]:
    return (torch.tensor(each, device=device).view(3, 1, 1) for each in (IMAGENET_MEAN, IMAGENET_STD))


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
