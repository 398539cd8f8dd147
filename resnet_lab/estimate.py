"""How long a run will take here: a few steps of the network itself, timed on a throwaway copy, and arithmetic."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from resnet_lab.config import Plateau, RunConfig
from resnet_lab.models.cost import Cost
from resnet_lab.models.resnet import build
from resnet_lab.rng import generator
from resnet_lab.train.evaluate import evaluate
from resnet_lab.train.loop import update
from resnet_lab.train.state import new_state

_MAX_STEPS, _MAX_SECONDS = 5, 3.0
_EVAL_IMAGES = 500


@dataclass(frozen=True)
class Speed:
    """Measured seconds of one training step and of one evaluated image."""

    step_seconds: float
    eval_image_seconds: float

    def scaled(self, factor: float) -> "Speed":
        """The speed of a network with `factor` times the multiply-adds, to first order."""
        return Speed(self.step_seconds * factor, self.eval_image_seconds * factor)


@dataclass(frozen=True)
class Forecast:
    """What is about to be trained and how long it will take, evaluations included."""

    config: RunConfig
    parameters: int
    multiply_adds: int
    images_per_second: float
    from_step: int
    seconds: float


def measure(config: RunConfig, device: torch.device) -> Speed:
    """Time steps of this network on made-up images: one unmeasured, then at most five, or three seconds' worth."""
    state = new_state(build(config.model, config.seed, device), config.recipe, config.model.depth)
    size = min(config.recipe.batch_size, config.data.num_train)
    source = generator(0, "estimate")
    images = torch.randn(max(size, _EVAL_IMAGES), 3, 32, 32, generator=source).to(device, memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (len(images),), generator=source).to(device)
    state.net.train()

    def step() -> None:
        update(state, (images[:size], labels[:size]), config.recipe.lr, config.compute.precision)
        state.found_inf.item()  # waits for the device

    def evaluation() -> None:
        evaluate(state.net, [(images[:_EVAL_IMAGES], labels[:_EVAL_IMAGES])], config.compute.precision)

    step()
    step_seconds: list[float] = []
    while len(step_seconds) < _MAX_STEPS and sum(step_seconds) < _MAX_SECONDS:
        step_seconds.append(_timed(step))
    evaluation_seconds = min(_timed(evaluation), _timed(evaluation))
    return Speed(statistics.median(step_seconds), evaluation_seconds / _EVAL_IMAGES)


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


def _timed(action: Callable[[], None]) -> float:
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin
