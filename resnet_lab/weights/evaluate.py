"""The error of a trained network, from a file of weights or a run's checkpoint, on the images that it was trained to classify."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from resnet_lab.config.compute import ComputeConfig
from resnet_lab.config.datasets import DATASETS, fixed_sizes, with_classes
from resnet_lab.config.model import ModelConfig
from resnet_lab.config.schema import DataConfig
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
from resnet_lab.weights.read import About, Form, Weights, network, read, recognise

# Statistics of ImageNet's training images, RGB in 0..1. Most CIFAR-10 repositories use them, after PyTorch's ImageNet example.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Inputs(NamedTuple):
    """Images and their normalisation: a network's input is (RGB / 255 - mean) / std, without the division if `std` is None.

    Mean and standard deviation are `(3, S, S)` or `(3, 1, 1)`, in 0..1, on the images' device. `train` is None if the training
    images were not requested and are not needed for the mean.
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
    """A network to evaluate, in fp32, and its images on the same device. `known` lists its properties for display."""

    name: str
    net: ResNet
    model: ModelConfig
    num_classes: int
    known: tuple[Known, ...]
    inputs: Inputs
    views: int = 1
    precision: Precision = "fp32"

    @property
    def is_stand_in(self) -> bool:
        """Whether the images are the synthetic stand-in."""
        return DATASETS[str(self.value("images"))].is_stand_in

    def value(self, name: str) -> str | float | None:
        """The value of a property; None if the network has no such property."""
        return next((known.value for known in self.known if known.name == name), None)


@dataclass(frozen=True)
class Measured:
    """The error (a fraction), the number of misclassified images, the number of images, and the mean loss per image."""

    error: float
    wrong: int
    images: int
    loss: float


def measure(candidate: Candidate, images: Images, views: int = 1) -> Measured:
    """Evaluate the network on these images, as a run's evaluations do: in evaluation mode and without augmentation.

    With ten views, scores are averaged over ten crops of each image.
    """
    error, loss = evaluate(folded(candidate.net), candidate.inputs.batches(images, views), candidate.precision)
    return Measured(error, round(error * len(images)), len(images), loss)


def from_run(folder: RunFolder, at: int | None, views: int | None, resources: Resources) -> Candidate:
    """A run's network at step `at` (default: the newest checkpoint), with the run's own data.

    `views` is the number of crops per test image (default: as in the run's last evaluation). Raises CheckpointError, ConfigError,
    DataError.
    """
    trained = load_trained([folder], at, resources)[0]
    config, model = trained.config, trained.config.model
    residual, of_folder = model.kind == "residual", config.data.facts.is_folder
    chosen_views = None if views is None else known.views(views, Known("images", config.data.dataset, "run"))
    num_views = config.evaluation.final_test_views if views is None else views
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
        **{name.replace("_", " "): value for name, value in model.interventions.items()},
        "images": config.data.dataset,
        "image size": config.data.image_size if of_folder else None,
        "views": num_views if of_folder and chosen_views is None else None,
        "normalisation": "per-pixel",
    }
    properties = [Known(name, value, "run") for name, value in values.items() if value is not None]
    data = load_data(trained, data_root(resources.data_dir))
    return Candidate(
        name=f"{folder.path} at step {trained.step:,}",
        net=trained.net,
        model=model,
        num_classes=config.data.num_classes,
        known=(*properties, *([chosen_views] if chosen_views else [])),
        inputs=Inputs(data.test, data.train, data.mean),
        views=num_views,
        precision=config.compute.precision,
    )


def from_weights(path: Path, choices: Choices, resources: Resources, *, train: bool = False) -> Candidate:
    """The network in a file of weights, with the test images of its data set; with `train` the training images too.

    A property that the tensors do not determine is taken from `choices`, else from the file's metadata, else assumed to be what
    is usual for files with such names. Raises ConfigError if a choice contradicts the file or does not apply to it, DataError if
    the file or the images are damaged or missing.
    """
    weights = read(path)
    form = recognise(weights)
    model, properties = known.network(weights, form, choices)
    dataset = known.dataset(weights, form, choices.dataset)
    size = known.image_size(weights, form, choices.image_size, dataset)
    views = known.views(choices.views, dataset)
    normalisation = known.normalisation(weights, choices.normalisation, dataset)
    net = network(weights, model, form.num_classes)
    device = pick_device(resources.device)
    set_up(ComputeConfig(), device, resources.threads)
    properties += [item for item in (dataset, size, views, normalisation) if item is not None]
    root, side = data_root(resources.data_dir), _side(dataset, size)
    if normalisation.value == "imagenet" and known.facts(dataset).is_folder and dataset.source != "metadata" and not train:
        test = _test_images(weights, form, dataset, side, root).to(device)
        inputs = Inputs(test, None, *_imagenet_statistics(device))
    else:
        inputs = normalised(_data(weights, form, dataset, side, root).to(device), str(normalisation.value))
    return Candidate(
        name=str(path),
        net=net.move(device),
        model=model,
        num_classes=form.num_classes,
        known=tuple(properties),
        inputs=inputs,
        views=1 if views is None else int(views.value),
    )


def _side(dataset: Known, size: Known | None) -> int:
    """The side of the network's input, in pixels."""
    sizes = known.facts(dataset).sizes
    if sizes is not None:
        return sizes.image_size
    assert size is not None, "a folder's images have a known size"
    return int(size.value)


def normalised(data: Data, normalisation: str) -> Inputs:
    """The images of a data set and how they are normalised: `per-pixel`, `imagenet`, or `channel`, which is not for folders."""
    if normalisation == "per-pixel":
        return Inputs(data.test, data.train, data.mean)
    if normalisation == "imagenet":
        return Inputs(data.test, data.train, *_imagenet_statistics(data.mean.device))
    assert isinstance(data.train, ImageSet)
    mean, std = (values.view(3, 1, 1).to(data.mean.device) for values in _channel_statistics(data.train.images))
    return Inputs(data.test, data.train, mean, std)


def _data(weights: Weights, form: Form, dataset: Known, size: int, root: Path) -> Data:
    """The data that the file's metadata name, with its split, else all images of the data set.

    Raises ConfigError and DataError.
    """
    about = weights.about
    if about is not None and about.data.dataset == dataset.value:
        try:
            return _training_data(weights.path, about, size, root)
        except DataError:
            if dataset.source == "metadata":
                raise  # otherwise the user has chosen another folder
    if known.facts(dataset).is_folder:
        test = _test_images(weights, form, dataset, size, root)
        train, _ = image_folder.find_part(root, image_folder.TRAIN, size)
        counts = {"num_classes": form.num_classes, "train_images": len(train), "test_images": len(test)}
        return load(DataConfig(dataset="folder", image_size=size, validation_images=0, **counts), root, 0)
    config = DataConfig.model_validate({"dataset": dataset.value, "validation_images": 0})
    _check_classes(weights, form, config.num_classes, config.dataset)
    return load(config, root, 0)


def _test_images(weights: Weights, form: Form, dataset: Known, size: int, root: Path) -> FolderSet:
    try:
        test, classes = image_folder.find_part(root, image_folder.TEST, size)
    except DataError as error:
        other = with_classes(form.num_classes)
        if dataset.source == "option" or other is None:
            raise
        raise DataError(f"{error} If {weights.path} is for other images, choose them, such as --dataset {other}.") from error
    _check_classes(weights, form, len(classes), str(root))
    return test


def _training_data(path: Path, about: About, size: int, root: Path) -> Data:
    """The data that a file's metadata name. Raises DataError if `root` has another folder of images, with another mean."""
    config = about.data.model_copy(update={"image_size": size})
    message = (
        f"{root} is not the image folder that {path} was trained on, whose mean image it needs: give that folder with "
        "--data-dir, or use this one and its own mean with --dataset folder."
    )
    try:
        data = load(config, root, about.seed)
    except ConfigError as error:  # the numbers of images or classes differ
        raise DataError(message) from error
    if about.images is not None and (data.digests is None or about.images != data.digests.files):
        raise DataError(message)
    return data


def _check_classes(weights: Weights, form: Form, num_classes: int, source: str) -> None:
    if form.num_classes != num_classes:
        raise ConfigError(
            f"{weights.path} has {form.num_classes:,} classes, but {source} has {num_classes:,}: choose the images that it was "
            f"trained on with --dataset {', '.join(fixed_sizes())}, or folder with --data-dir."
        )


def _imagenet_statistics(device: torch.device) -> Iterator[Tensor]:
    return (torch.tensor(values, device=device).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))


def _channel_statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation by channel of uint8 `(N, 3, H, W)`, float32 `(3,)` in 0..1, summed exactly in integers."""
    sums, squares = torch.zeros(2, 3, dtype=torch.int64, device=images.device)
    for chunk in torch.split(images, 1_000):
        integers = chunk.to(torch.int64)
        sums += integers.sum(dim=(0, 2, 3))
        squares += integers.square().sum(dim=(0, 2, 3))
    count = images.numel() // 3
    mean = sums.cpu().double() / count
    std = (squares.cpu().double() / count - mean.square()).sqrt()
    return (mean / 255).float(), (std / 255).float()
