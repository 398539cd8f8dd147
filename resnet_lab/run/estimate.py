"""Estimates of a run's duration on this machine, from a few timed steps of a throwaway copy of its network."""

import itertools
import math
import statistics
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from resnet_lab.config.schema import Plateau, RunConfig
from resnet_lab.data.batches import Batches, clean_batches
from resnet_lab.data.images import ImageSet
from resnet_lab.models.cost import Cost
from resnet_lab.models.fold import folded
from resnet_lab.rng import generator
from resnet_lab.run.compute import initial_state
from resnet_lab.run.device import synchronize
from resnet_lab.train.evaluate import evaluate
from resnet_lab.train.loop import update

PARTS = ("data", "forward", "backward", "optimizer")
_MAX_STEPS, _MAX_SECONDS = 5, 3.0
_NUM_IMAGES, _EVAL_IMAGES = 10_000, 500  # of 32x32 pixels; fewer larger ones, with as many pixels in total
_MAX_BACKGROUND_THREADS = 7  # with more, contention for the GIL would distort the measurement


@dataclass(frozen=True)
class Speed:
    """Measured seconds per training step, by part, and per evaluated image."""

    parts: Mapping[str, float]
    eval_image_seconds: float

    @property
    def step_seconds(self) -> float:
        """Seconds per training step, the sum of all parts."""
        return sum(self.parts.values())

    def scaled(self, factor: float) -> "Speed":
        """The estimated speed of a network with `factor` times the multiply-adds; the time for data does not change."""
        parts = {part: seconds * (1 if part == "data" else factor) for part, seconds in self.parts.items()}
        return Speed(parts, self.eval_image_seconds * factor)


UNMEASURED = Speed({}, 0.0)


@dataclass(frozen=True)
class Forecast:
    """A run's size and its expected duration from `from_step`, including evaluations.

    `images_per_second` and `seconds` are 0 if the speed has not been measured.
    """

    config: RunConfig
    parameters: int
    multiply_adds: int
    images_per_second: float
    from_step: int
    seconds: float


def measure(config: RunConfig, device: torch.device) -> Speed:
    """Median speed of this network on random images: after one warm-up step, up to five steps or three seconds."""
    samples = sample(config, device)
    speeds: list[Speed] = []
    while len(speeds) < _MAX_STEPS and sum(speed.step_seconds for speed in speeds) < _MAX_SECONDS:
        speeds.append(next(samples))
    return median(speeds)


def measuring_seconds(speed: Speed) -> float:
    """The seconds that `measure` takes for a network of this speed."""
    step = speed.step_seconds
    steps = min(_MAX_STEPS, math.ceil(_MAX_SECONDS / step)) if step else _MAX_STEPS
    return (1 + steps) * step + 2 * _EVAL_IMAGES * speed.eval_image_seconds


def sample(config: RunConfig, device: torch.device) -> Iterator[Speed]:
    """Time training steps on random images, without end; a first warm-up step is not reported.

    Images are in memory, so that decoding a folder's images is not included. The evaluation is timed at every fifth step; other
    steps repeat the last value.
    """
    state = initial_state(config, device)
    source = generator(0, "estimate")
    size = config.data.image_size
    pixel_ratio = (size / 32) ** 2
    num_images = max(min(config.data.num_train, int(_NUM_IMAGES / pixel_ratio)), config.recipe.batch_size)
    images = torch.randint(0, 256, (num_images, 3, size, size), dtype=torch.uint8, generator=source).to(device)
    train = ImageSet(images, torch.randint(0, config.data.num_classes, (num_images,), generator=source).to(device))
    mean = torch.full((3, size, size), 0.5, device=device)
    batches = Batches(train, mean, config.recipe.batch_size, 0)
    evaluated = train.pick(torch.arange(min(num_images, max(1, int(_EVAL_IMAGES / pixel_ratio))), device=device))
    state.net.train()
    eval_seconds = 0.0
    for step in itertools.count(-1):
        parts: dict[str, float] = {}
        begin = time.perf_counter()

        def _done(part: str) -> None:
            nonlocal begin
            synchronize(device)
            now = time.perf_counter()
            parts[part] = parts.get(part, 0.0) + now - begin  # noqa: B023  # called only within this iteration
            begin = now

        batch = batches(max(step, 0) % (num_images // config.recipe.batch_size))
        _done("data")
        update(state, batch, config.recipe.lr, config.compute.precision, _done)
        if step < 0 or step % 5 == 0:
            net, start = folded(state.net), time.perf_counter()
            evaluate(net, clean_batches(evaluated, mean), config.compute.precision)
            eval_seconds = (time.perf_counter() - start) / len(evaluated)
        if step >= 0:
            yield Speed(parts, eval_seconds)


@contextmanager
def background_training(config: RunConfig, device: torch.device, num_networks: int) -> Iterator[None]:
    """Train copies of this network in threads, to measure under the load of a sweep, whose runs share caches and memory."""
    stop = threading.Event()

    def _train() -> None:
        for _ in sample(config, device):
            if stop.is_set():
                return

    threads = [threading.Thread(target=_train, daemon=True) for _ in range(min(num_networks, _MAX_BACKGROUND_THREADS))]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def median(speeds: list[Speed]) -> Speed:
    """The speed whose parts are the medians over `speeds`."""
    parts = {part: statistics.median(speed.parts[part] for speed in speeds) for part in PARTS}
    return Speed(parts, statistics.median(speed.eval_image_seconds for speed in speeds))


def forecast(config: RunConfig, cost: Cost, speed: Speed, from_step: int = 0) -> Forecast:
    """The forecast for the rest of a run from `from_step`, at this speed."""
    steps = config.recipe.steps - from_step
    seconds = steps * speed.step_seconds + evaluated_images(config, from_step) * speed.eval_image_seconds
    images_per_second = config.recipe.batch_size / speed.step_seconds if speed.step_seconds else 0.0
    return Forecast(config, cost.parameters, cost.multiply_adds, images_per_second, from_step, seconds)


def evaluated_images(config: RunConfig, from_step: int = 0) -> int:
    """The number of images evaluated after `from_step`, in evaluations and plateau checks."""
    steps, data, settings = config.recipe.steps, config.data, config.evaluation
    held_out = data.validation_images + data.test_images
    during = max(0, (steps - 1) // settings.every - from_step // settings.every)
    final = data.num_train if settings.final_train_images == "all" else settings.final_train_images
    total = during * (min(settings.train_images, data.num_train) + held_out) + min(final, data.num_train) + held_out
    if isinstance(config.recipe.schedule, Plateau):
        every = config.recipe.schedule.every
        total += (steps // every - from_step // every) * data.validation_images
    return total
