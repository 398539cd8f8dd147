"""How long a run will take here: a few steps of the network itself, timed on a throwaway copy, and arithmetic."""

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
from resnet_lab.run.device import wait
from resnet_lab.train.evaluate import evaluate
from resnet_lab.train.loop import update

PARTS = ("data", "forward", "backward", "optimizer")
_MAX_STEPS, _MAX_SECONDS = 5, 3.0
_NUM_IMAGES, _EVAL_IMAGES = 10_000, 500  # of 32x32 pixels; as many pixels of larger ones
_MAX_NEIGHBOURS = 7  # threads of one process, which take turns in Python: more would measure that


@dataclass(frozen=True)
class Speed:
    """Measured seconds of one training step, by part, and of one evaluated image."""

    parts: Mapping[str, float]
    eval_image_seconds: float

    @property
    def step_seconds(self) -> float:
        """All parts of a step."""
        return sum(self.parts.values())

    def scaled(self, factor: float) -> "Speed":
        """The speed of a network with `factor` times the multiply-adds, to first order; the data's part stays."""
        parts = {part: seconds * (1 if part == "data" else factor) for part, seconds in self.parts.items()}
        return Speed(parts, self.eval_image_seconds * factor)


UNMEASURED = Speed({}, 0.0)


@dataclass(frozen=True)
class Forecast:
    """What is about to be trained and how long it will take, evaluations included; at a speed not measured both say 0."""

    config: RunConfig
    parameters: int
    multiply_adds: int
    images_per_second: float
    from_step: int
    seconds: float


def measure(config: RunConfig, device: torch.device) -> Speed:
    """Time steps of this network on made-up images: one unmeasured, then at most five, or three seconds' worth."""
    samples = sample(config, device)
    taken: list[Speed] = []
    while len(taken) < _MAX_STEPS and sum(speed.step_seconds for speed in taken) < _MAX_SECONDS:
        taken.append(next(samples))
    return median(taken)


def measuring_seconds(speed: Speed) -> float:
    """How long `measure` takes for a network of this speed."""
    step = speed.step_seconds
    steps = min(_MAX_STEPS, math.ceil(_MAX_SECONDS / step)) if step else _MAX_STEPS
    return (1 + steps) * step + 2 * _EVAL_IMAGES * speed.eval_image_seconds


def sample(config: RunConfig, device: torch.device) -> Iterator[Speed]:
    """Take one step after another on made-up images for as long as it is asked; the first is unmeasured.

    They are in memory: the time that a folder's images take to decode, beside the steps, is no part of this.
    Some images are evaluated at every fifth step; in between the last such time stands.
    """
    state = initial_state(config, device)
    source = generator(0, "estimate")
    size = config.data.image_size
    fewer = (size / 32) ** 2
    num_images = max(min(config.data.num_train, int(_NUM_IMAGES / fewer)), config.recipe.batch_size)
    images = torch.randint(0, 256, (num_images, 3, size, size), dtype=torch.uint8, generator=source).to(device)
    train = ImageSet(images, torch.randint(0, config.data.num_classes, (num_images,), generator=source).to(device))
    mean = torch.full((3, size, size), 0.5, device=device)
    batches = Batches(train, mean, config.recipe.batch_size, 0)
    evaluated = train.pick(torch.arange(min(num_images, int(_EVAL_IMAGES / fewer)), device=device))
    state.net.train()
    eval_seconds = 0.0
    for step in itertools.count(-1):
        parts: dict[str, float] = {}
        begin = time.perf_counter()

        def _done(part: str) -> None:
            nonlocal begin
            wait(device)
            now = time.perf_counter()
            parts[part] = now - begin  # noqa: B023  # called within this very step
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
def neighbours(config: RunConfig, device: torch.device, number: int) -> Iterator[None]:
    """Train as many copies of this network beside what is measured, as a sweep's other runs do: cores share caches and memory."""
    stop = threading.Event()

    def _train() -> None:
        for _ in sample(config, device):
            if stop.is_set():
                return

    threads = [threading.Thread(target=_train, daemon=True) for _ in range(min(number, _MAX_NEIGHBOURS))]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def median(taken: list[Speed]) -> Speed:
    """The median of every part."""
    parts = {part: statistics.median(speed.parts[part] for speed in taken) for part in PARTS}
    return Speed(parts, statistics.median(speed.eval_image_seconds for speed in taken))


def forecast(config: RunConfig, cost: Cost, speed: Speed, from_step: int = 0) -> Forecast:
    """What is left of a run at this speed."""
    steps = config.recipe.steps - from_step
    seconds = steps * speed.step_seconds + evaluated_images(config, from_step) * speed.eval_image_seconds
    images_per_second = config.recipe.batch_size / speed.step_seconds if speed.step_seconds else 0.0
    return Forecast(config, cost.parameters, cost.multiply_adds, images_per_second, from_step, seconds)


def evaluated_images(config: RunConfig, from_step: int = 0) -> int:
    """Images that are evaluated after `from_step`, in evaluations and in plateau checks."""
    steps, data, settings = config.recipe.steps, config.data, config.evaluation
    held_out = data.validation_images + data.test_images
    during = max(0, (steps - 1) // settings.every - from_step // settings.every)
    final = data.num_train if settings.final_train_images == "all" else settings.final_train_images
    total = during * (min(settings.train_images, data.num_train) + held_out) + min(final, data.num_train) + held_out
    if isinstance(config.recipe.schedule, Plateau):
        every = config.recipe.schedule.every
        total += (steps // every - from_step // every) * data.validation_images
    return total
