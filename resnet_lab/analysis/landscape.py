"""Slices of the loss around a trained network (Li, Xu, Taylor, Studer, Goldstein 2018, arXiv 1712.09913), and between two."""

import copy
import hashlib
import json
import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from resnet_lab.analysis.catalogue.landscape import Landscape
from resnet_lab.analysis.catalogue.line import Line
from resnet_lab.analysis.subject import Subject, some
from resnet_lab.data.batches import clean_batches
from resnet_lab.data.images import Images
from resnet_lab.errors import ConfigError
from resnet_lab.models.fold import folded
from resnet_lab.record.files import append_line, read_lines
from resnet_lab.rng import generator
from resnet_lab.train.evaluate import evaluate

BatchNorm = Literal["moving", "batch"]
Reading = tuple[float | None, float]  # loss, None where it is not finite, and error
BATCH_SIZE = 250  # in which batches normalise themselves, on every device
_TIMED_IMAGES = 250


@dataclass(frozen=True)
class Slice:
    """Which slice: `points` along each of `dims` directions, from -reach to reach, on so many training images.

    `bn`: "moving" keeps the moving averages of the network in the middle, as published; "batch" lets each batch normalise itself.
    """

    dims: int = 2
    points: int = 21
    reach: float = 1.0
    images: int = 1_000
    bn: BatchNorm = "moving"
    seed: int = 0

    @property
    def coordinates(self) -> tuple[float, ...]:
        """Places along a direction; an odd number of points has the network itself in the middle, at exactly 0."""
        middle = (self.points - 1) / 2
        return tuple(self.reach * (index - middle) / middle for index in range(self.points))


FAST = Slice(points=9, images=200)
LINE_POINTS, FAST_LINE_POINTS = 31, 7


def landscape(subject: Subject, what: Slice) -> Iterator[tuple[int, int] | Landscape]:
    """Loss and error at every point of a slice: yields how many points of how many are done, and at last the result.

    The training images are clean and the same for all networks. Every point is kept as soon as it is measured, so that the same
    call goes on where another was stopped. A loss that is not finite is None.
    """
    images = some(subject.data.train, what.images, "train")
    axes = [direction(subject.net, what.seed, axis) for axis in range(what.dims)]
    grid = [(x, y) for y in (what.coordinates if what.dims == 2 else (0.0,)) for x in what.coordinates]

    def _at(index: int) -> Reading:
        net = displaced(subject.net, axes, grid[index][: what.dims])
        return _measure(net, images, subject.data.mean, what.bn)

    aside = _aside(subject, "landscape", asdict(what), subject.net)
    readings = yield from _resumable(aside, len(grid), _at)
    width = what.points
    rows = [readings[start : start + width] for start in range(0, len(grid), width)]
    yield Landscape(
        step=subject.step,
        dims=what.dims,
        bn=what.bn,
        seed=what.seed,
        images=len(images),
        coordinates=what.coordinates,
        losses=tuple(tuple(loss for loss, _ in row) for row in rows),
        errors=tuple(tuple(error for _, error in row) for row in rows),
    )
    aside.unlink(missing_ok=True)


def line(
    subject: Subject, net: nn.Module, other: str, other_step: int, *, points: int, images: int, bn: BatchNorm
) -> Iterator[tuple[int, int] | Line]:
    """Loss and error along (1 - t) of the subject's network and t of `net`, t from -0.25 to 1.25, on training and test images.

    Yields as `landscape` does. `other` and `other_step` say what `net` is. Raises ConfigError where the two have other shapes.
    """
    ours, theirs = subject.net.state_dict(), net.state_dict()
    if {name: value.shape for name, value in ours.items()} != {name: value.shape for name, value in theirs.items()}:
        raise ConfigError(f"There is no straight line from {subject.name} to {other}: their parameters have other shapes.")
    train, test = some(subject.data.train, images, "train"), some(subject.data.test, images, "test")
    positions = tuple(-0.25 + 1.5 * index / (points - 1) for index in range(points))

    def _at(index: int) -> Reading:
        between = interpolated(subject.net, theirs, positions[index // 2])
        return _measure(between, test if index % 2 else train, subject.data.mean, bn)

    aside = _aside(subject, f"line-{other}-{other_step}", {"points": points, "images": images, "bn": bn}, subject.net, net)
    readings = yield from _resumable(aside, 2 * points, _at)
    yield Line(
        step=subject.step,
        other=other,
        other_step=other_step,
        bn=bn,
        train_images=len(train),
        test_images=len(test),
        positions=positions,
        train_losses=tuple(loss for loss, _ in readings[::2]),
        train_errors=tuple(error for _, error in readings[::2]),
        test_losses=tuple(loss for loss, _ in readings[1::2]),
        test_errors=tuple(error for _, error in readings[1::2]),
    )
    aside.unlink(missing_ok=True)


def direction(net: nn.Module, seed: int, axis: int) -> dict[str, Tensor]:
    """A random direction, filter-normalised: Gaussian, each filter scaled to the norm of the network's own (Li et al., Sec. 4).

    For the weights of convolutions `(C_out, C_in, k, k)` and of the head `(num_classes, C)`, whose rows count as filters; BN and
    biases are not displaced. Drawn by parameter name, so before the scaling it is the same for nets with the same shapes.
    """
    found = {}
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            weight = module.weight.detach()
            drawn = torch.randn(weight.shape, generator=generator(seed, f"landscape/{name}", axis)).to(weight)
            dims = tuple(range(1, weight.dim()))
            ours, theirs = (torch.linalg.vector_norm(each, dim=dims, keepdim=True) for each in (weight, drawn))
            found[f"{name}.weight"] = drawn * (ours / theirs)
    return found


@torch.no_grad()
def displaced(net: nn.Module, axes: list[dict[str, Tensor]], places: tuple[float, ...]) -> nn.Module:
    """A copy of the network, moved along each direction by its place."""
    moved = copy.deepcopy(net)
    for axis, place in zip(axes, places, strict=True):
        for name, shift in axis.items():
            moved.get_parameter(name).add_(shift, alpha=place)
    return moved


@torch.no_grad()
def interpolated(net: nn.Module, other: Mapping[str, Tensor], position: float) -> nn.Module:
    """A copy with all parameters and moving averages at (1 - t) of its own and t of the other's; variances are not below 0."""
    between = copy.deepcopy(net)
    for name, value in between.state_dict().items():
        if value.is_floating_point():
            value.copy_((1 - position) * value + position * other[name])
            if name.endswith("running_var"):
                value.clamp_(min=0)
    return between


def point_seconds(subject: Subject, images: int, bn: BatchNorm) -> float:
    """How long a point takes here, measured on a few images."""
    few = some(subject.data.train, min(images, _TIMED_IMAGES), "train")
    _measure(subject.net, few, subject.data.mean, bn)
    begin = time.perf_counter()
    _measure(subject.net, few, subject.data.mean, bn)
    return (time.perf_counter() - begin) * min(images, len(subject.data.train)) / len(few)


def _measure(net: nn.Module, images: Images, mean: Tensor, bn: BatchNorm) -> Reading:
    ready = folded(net) if bn == "moving" else normalising_itself(net)
    error, loss = evaluate(ready, clean_batches(images, mean, BATCH_SIZE if bn == "batch" else None))
    return (loss if math.isfinite(loss) else None), error


def normalising_itself(net: nn.Module) -> nn.Module:
    """A copy whose BN takes mean and variance from each batch, in evaluation mode too."""
    net = copy.deepcopy(net)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = module.running_var = None
    return net


def _aside(subject: Subject, name: str, settings: Mapping[str, object], *nets: nn.Module) -> Path:
    """Where points are kept until all are there; other settings or weights have another file, whatever the runs are called."""
    subject.folder.make_analysis()
    identity = hashlib.sha256(json.dumps([subject.config.digest(), subject.step, settings], sort_keys=True).encode())
    for net in nets:
        for value in net.state_dict().values():
            identity.update(value.detach().cpu().contiguous().numpy().tobytes())
    return subject.folder.analysis / f"{name}-{identity.hexdigest()[:12]}.part.jsonl"


def _resumable(aside: Path, number: int, measure: Callable[[int], Reading]) -> Generator[tuple[int, int], None, list[Reading]]:
    """Measure the points that the file does not have, adding each to it; returns all of them in order."""
    found = _kept(aside)
    for index in range(number):
        if index not in found:
            found[index] = measure(index)
            append_line(aside, json.dumps([index, *found[index]]) + "\n")
        yield index + 1, number
    return [found[index] for index in range(number)]


def _kept(aside: Path) -> dict[int, Reading]:
    """The readable points of a file; a torn last line is none."""
    found: dict[int, Reading] = {}
    for text in read_lines(aside):
        try:
            index, loss, error = json.loads(text)
            found[int(index)] = (None if loss is None else float(loss), float(error))
        except (ValueError, TypeError):
            continue
    return found
