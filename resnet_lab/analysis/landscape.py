"""The loss around a trained network (Li, Xu, Taylor, Studer, Goldstein 2018, arXiv 1712.09913) and on a line between two."""

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
from resnet_lab.analysis.subject import Subject, subset
from resnet_lab.data.batches import clean_batches
from resnet_lab.data.images import Images
from resnet_lab.errors import ConfigError
from resnet_lab.models.fold import folded
from resnet_lab.record.files import append_line, read_lines
from resnet_lab.rng import generator
from resnet_lab.train.evaluate import evaluate

BatchNorm = Literal["moving", "batch"]
Reading = tuple[float | None, float]  # loss, None where it is not finite, and error
BATCH_SIZE = 250  # for BN by batch statistics, the same on every device
_TIMED_IMAGES = 250


@dataclass(frozen=True)
class Slice:
    """The settings of a slice: `points` along each of `dims` directions, from -reach to reach, on `images` training images.

    `bn`: "moving" uses the moving averages of the network at the centre, as in the paper; "batch" uses batch statistics.
    """

    dims: int = 2
    points: int = 21
    reach: float = 1.0
    images: int = 1_000
    bn: BatchNorm = "moving"
    seed: int = 0

    @property
    def coordinates(self) -> tuple[float, ...]:
        """Coordinates along a direction; with an odd number of points the network itself is at the centre, at exactly 0."""
        middle = (self.points - 1) / 2
        return tuple(self.reach * (index - middle) / middle for index in range(self.points))


FAST = Slice(points=9, images=200)
LINE_POINTS, FAST_LINE_POINTS = 31, 7


def landscape(subject: Subject, settings: Slice) -> Iterator[tuple[int, int] | Landscape]:
    """Loss and error at every point of a slice. Yields (points done, number of points) after each point, finally the result.

    The training images are clean and the same for all networks. Every point is saved as soon as it is measured, so that the same
    call resumes an interrupted one. A loss that is not finite is None.
    """
    images = subset(subject.data.train, settings.images, "train")
    axes = [direction(subject.net, settings.seed, axis) for axis in range(settings.dims)]
    grid = [(x, y) for y in (settings.coordinates if settings.dims == 2 else (0.0,)) for x in settings.coordinates]

    def _at(index: int) -> Reading:
        net = displaced(subject.net, axes, grid[index][: settings.dims])
        return _measure(net, images, subject.data.mean, settings.bn)

    partial_file = _partial_file(subject, "landscape", asdict(settings), subject.net)
    readings = yield from _resumable(partial_file, len(grid), _at)
    width = settings.points
    rows = [readings[start : start + width] for start in range(0, len(grid), width)]
    yield Landscape(
        step=subject.step,
        dims=settings.dims,
        bn=settings.bn,
        seed=settings.seed,
        images=len(images),
        coordinates=settings.coordinates,
        losses=tuple(tuple(loss for loss, _ in row) for row in rows),
        errors=tuple(tuple(error for _, error in row) for row in rows),
    )
    partial_file.unlink(missing_ok=True)


def line(
    subject: Subject, net: nn.Module, other: str, other_step: int, *, points: int, images: int, bn: BatchNorm
) -> Iterator[tuple[int, int] | Line]:
    """Training and test loss and error of (1 - t) a + t b, t from -0.25 to 1.25, where a is the subject's network and b is `net`.

    Yields like `landscape`. `other` and `other_step` are the run and the step of `net`. Raises ConfigError if shapes differ.
    """
    start, end = subject.net.state_dict(), net.state_dict()
    if {name: value.shape for name, value in start.items()} != {name: value.shape for name, value in end.items()}:
        raise ConfigError(f"There is no straight line from {subject.name} to {other}: their parameters have different shapes.")
    train, test = subset(subject.data.train, images, "train"), subset(subject.data.test, images, "test")
    positions = tuple(-0.25 + 1.5 * index / (points - 1) for index in range(points))

    def _at(index: int) -> Reading:
        between = interpolated(subject.net, end, positions[index // 2])
        return _measure(between, test if index % 2 else train, subject.data.mean, bn)

    settings = {"points": points, "images": images, "bn": bn}
    partial_file = _partial_file(subject, f"line-{other}-{other_step}", settings, subject.net, net)
    readings = yield from _resumable(partial_file, 2 * points, _at)
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
    partial_file.unlink(missing_ok=True)


def direction(net: nn.Module, seed: int, axis: int) -> dict[str, Tensor]:
    """A random filter-normalised direction: Gaussian, each filter scaled to the norm of the network's filter (Li et al., Sec. 4).

    Covers the weights of convolutions `(C_out, C_in, k, k)` and of the head `(num_classes, C)`, whose rows count as filters; BN
    and biases are not displaced. Drawn by parameter name, so before scaling it is the same for all networks with these shapes.
    """
    shifts = {}
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            weight = module.weight.detach()
            noise = torch.randn(weight.shape, generator=generator(seed, f"landscape/{name}", axis)).to(weight)
            dims = tuple(range(1, weight.dim()))
            weight_norm, noise_norm = (torch.linalg.vector_norm(tensor, dim=dims, keepdim=True) for tensor in (weight, noise))
            shifts[f"{name}.weight"] = noise * (weight_norm / noise_norm)
    return shifts


@torch.no_grad()
def displaced(net: nn.Module, axes: list[dict[str, Tensor]], coordinates: tuple[float, ...]) -> nn.Module:
    """A copy of the network, displaced along each direction by its coordinate."""
    moved = copy.deepcopy(net)
    for axis, coordinate in zip(axes, coordinates, strict=True):
        for name, shift in axis.items():
            moved.get_parameter(name).add_(shift, alpha=coordinate)
    return moved


@torch.no_grad()
def interpolated(net: nn.Module, other: Mapping[str, Tensor], position: float) -> nn.Module:
    """A copy with parameters and moving averages (1 - t) times its own plus t times the other's; variances are clamped at 0."""
    between = copy.deepcopy(net)
    for name, value in between.state_dict().items():
        if value.is_floating_point():
            value.copy_((1 - position) * value + position * other[name])
            if name.endswith("running_var"):
                value.clamp_(min=0)
    return between


def point_seconds(subject: Subject, images: int, bn: BatchNorm) -> float:
    """Seconds per point on this machine, measured on a few images."""
    sample = subset(subject.data.train, min(images, _TIMED_IMAGES), "train")
    _measure(subject.net, sample, subject.data.mean, bn)
    begin = time.perf_counter()
    _measure(subject.net, sample, subject.data.mean, bn)
    return (time.perf_counter() - begin) * min(images, len(subject.data.train)) / len(sample)


def _measure(net: nn.Module, images: Images, mean: Tensor, bn: BatchNorm) -> Reading:
    net = folded(net) if bn == "moving" else with_batch_statistics(net)
    error, loss = evaluate(net, clean_batches(images, mean, BATCH_SIZE if bn == "batch" else None))
    return (loss if math.isfinite(loss) else None), error


def with_batch_statistics(net: nn.Module) -> nn.Module:
    """A copy whose BN uses batch statistics in evaluation mode too."""
    net = copy.deepcopy(net)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = module.running_var = None
    return net


def _partial_file(subject: Subject, name: str, settings: Mapping[str, object], *nets: nn.Module) -> Path:
    """The file of the points measured so far; its name has a hash of settings and weights, so that no points are mixed up."""
    subject.folder.make_analysis()
    identity = hashlib.sha256(json.dumps([subject.config.digest(), subject.step, settings], sort_keys=True).encode())
    for net in nets:
        for value in net.state_dict().values():
            identity.update(value.detach().cpu().contiguous().numpy().tobytes())
    return subject.folder.analysis / f"{name}-{identity.hexdigest()[:12]}.part.jsonl"


def _resumable(path: Path, number: int, measure: Callable[[int], Reading]) -> Generator[tuple[int, int], None, list[Reading]]:
    """Measure the points missing from a partial file, appending each to it; return all of them in order."""
    readings = _read_partial(path)
    for index in range(number):
        if index not in readings:
            readings[index] = measure(index)
            append_line(path, json.dumps([index, *readings[index]]) + "\n")
        yield index + 1, number
    return [readings[index] for index in range(number)]


def _read_partial(path: Path) -> dict[int, Reading]:
    """The readable points of a partial file; a torn last line is skipped."""
    readings: dict[int, Reading] = {}
    for text in read_lines(path):
        try:
            index, loss, error = json.loads(text)
            readings[int(index)] = (None if loss is None else float(loss), float(error))
        except (ValueError, TypeError):
            continue
    return readings
