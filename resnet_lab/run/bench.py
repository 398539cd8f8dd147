"""How fast this machine trains a network, and how close that is to what the machine can do."""

import statistics
import time
from dataclasses import dataclass

import torch

from resnet_lab.config.schema import RunConfig, with_compile
from resnet_lab.models.compile import why_not
from resnet_lab.models.cost import count_run
from resnet_lab.run.device import wait
from resnet_lab.run.estimate import Speed, evaluated_images, measure, median, sample

_PRODUCT_SIZE = 2_048
_FLOPS_PER_MULTIPLY_ADD = 6  # a multiplication and an addition, in the forward pass and twice in the backward pass


@dataclass(frozen=True)
class Bench:
    """What was measured; all seconds are medians.

    `flops` are the floating-point operations per second of a matrix product of 2,048-cubes in the run's precision, taken in turn
    with the steps. `compiled` is the speed with compiled blocks after `compile_seconds`, or None with the reason in `fault`.
    """

    config: RunConfig
    device: torch.device
    threads: int
    multiply_adds: int
    speed: Speed
    flops: float
    num_steps: int
    compiled: Speed | None
    compile_seconds: float | None
    fault: str | None

    @property
    def images_per_second(self) -> float:
        """Of full training steps, uncompiled."""
        return self.config.recipe.batch_size / self.speed.step_seconds

    @property
    def limit(self) -> float:
        """Images per second if a step took only its multiply-adds at the speed of a matrix product."""
        return self.flops / (_FLOPS_PER_MULTIPLY_ADD * self.multiply_adds)

    @property
    def evaluation_share(self) -> float:
        """The part of the run's time that goes into evaluations and plateau checks."""
        evaluation = evaluated_images(self.config) * self.speed.eval_image_seconds
        training = self.config.recipe.steps * self.speed.step_seconds
        return evaluation / (evaluation + training)


def bench(config: RunConfig, device: torch.device, threads: int, seconds: float) -> Bench:
    """Measure for about so many seconds, and then the time to compile where the config does not rule that out."""
    eager = with_compile(config, False)
    samples = sample(eager, device)
    products, taken = [_product_seconds(config, device)], [next(samples)]
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds:
        products.append(_product_seconds(config, device))
        taken.append(next(samples))
    fault, compiled, compile_seconds = None, None, None
    if config.compute.compile is not False:
        begin = time.perf_counter()
        fault = why_not(device)
        if fault is None:
            compiled = measure(with_compile(config, True), device)
            compile_seconds = time.perf_counter() - begin
    return Bench(
        config,
        device,
        threads,
        count_run(config).multiply_adds,
        median(taken),
        2 * _PRODUCT_SIZE**3 / statistics.median(products),
        len(taken),
        compiled,
        compile_seconds,
        fault,
    )


def _product_seconds(config: RunConfig, device: torch.device) -> float:
    dtype = torch.bfloat16 if config.compute.precision == "bf16" else torch.float32
    left = torch.ones(_PRODUCT_SIZE, _PRODUCT_SIZE, device=device, dtype=dtype)
    wait(device)
    begin = time.perf_counter()
    _ = left @ left
    wait(device)
    return time.perf_counter() - begin
