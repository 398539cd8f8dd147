"""Training throughput on this machine, compared with the machine's limit."""

import statistics
import time
from dataclasses import dataclass

import torch

from resnet_lab.config.schema import RunConfig, with_compile
from resnet_lab.models.compile import compile_problem
from resnet_lab.models.cost import count_run
from resnet_lab.run.device import synchronize
from resnet_lab.run.estimate import Speed, evaluated_images, measure, median, sample

_PRODUCT_SIZE = 2_048
_FLOPS_PER_MULTIPLY_ADD = 6  # a multiplication and an addition, in the forward pass and twice in the backward pass


@dataclass(frozen=True)
class Bench:
    """The results of a benchmark; all times are medians.

    `flops`: floating-point operations per second of a 2,048 x 2,048 matrix product in the run's precision, timed alternately with
    training steps. `compiled`: the speed with compiled blocks, for which compiling and measuring took `compile_seconds`; if None,
    `fault` is the reason, or None if compiling was ruled out.
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
        """Training throughput without compiled blocks."""
        return self.config.recipe.batch_size / self.speed.step_seconds

    @property
    def limit(self) -> float:
        """Throughput limit in images per second: a step's multiply-adds at the speed of the matrix product."""
        return self.flops / (_FLOPS_PER_MULTIPLY_ADD * self.multiply_adds)

    @property
    def evaluation_share(self) -> float:
        """The fraction of the run's time spent in evaluations and plateau checks."""
        evaluation = evaluated_images(self.config) * self.speed.eval_image_seconds
        training = self.config.recipe.steps * self.speed.step_seconds
        return evaluation / (evaluation + training)


def bench(config: RunConfig, device: torch.device, threads: int, seconds: float) -> Bench:
    """Measure for about `seconds` seconds, then also with compiled blocks unless the config rules them out."""
    eager = with_compile(config, False)
    samples = sample(eager, device)
    products, steps = [_product_seconds(config, device)], [next(samples)]
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds:
        products.append(_product_seconds(config, device))
        steps.append(next(samples))
    fault, compiled, compile_seconds = None, None, None
    if config.compute.compile is not False:
        begin = time.perf_counter()
        fault = compile_problem(device)
        if fault is None:
            compiled = measure(with_compile(config, True), device)
            compile_seconds = time.perf_counter() - begin
    return Bench(
        config,
        device,
        threads,
        count_run(config).multiply_adds,
        median(steps),
        2 * _PRODUCT_SIZE**3 / statistics.median(products),
        len(steps),
        compiled,
        compile_seconds,
        fault,
    )


def _product_seconds(config: RunConfig, device: torch.device) -> float:
    dtype = torch.bfloat16 if config.compute.precision == "bf16" else torch.float32
    left = torch.ones(_PRODUCT_SIZE, _PRODUCT_SIZE, device=device, dtype=dtype)
    synchronize(device)
    begin = time.perf_counter()
    _ = left @ left
    synchronize(device)
    return time.perf_counter() - begin
