"""How fast a CUDA GPU makes training steps, and how much of the time it computes.

For each depth, in this process: the time of an update of the residual network with 128 images, uncompiled and in IEEE fp32, and
the time of its kernels according to torch's profiler. The batch is fixed, random and in GPU memory, so augmentation, evaluation
and checkpoints are not included. The host waits for the GPU after every 20 steps.

    python benchmarks/gpu.py
"""

import argparse
import statistics
import time

import torch
from common import middle, print_table

from resnet_lab.config.schema import RunConfig, with_compile
from resnet_lab.run.compute import initial_state, set_up
from resnet_lab.train.loop import update

BATCH_SIZE = 128
QUEUED = 20  # steps between waits
PROFILED = 5


def measure(depth: int, seconds: float) -> tuple[list[float], float]:
    """Seconds per step, for each group of queued steps, and seconds of the kernels of a step."""
    config = with_compile(RunConfig.model_validate({"model": {"kind": "residual", "depth": depth}}), False)
    device = torch.device("cuda")
    set_up(config.compute, device, threads=2)
    state = initial_state(config, device)
    state.net.train()
    images = torch.randn(BATCH_SIZE, 3, 32, 32, device=device).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (BATCH_SIZE,), device=device)

    def steps(count: int) -> float:
        begin = time.perf_counter()
        for _ in range(count):
            update(state, (images, labels), 0.01, "fp32")
        torch.cuda.synchronize()
        return (time.perf_counter() - begin) / count

    steps(QUEUED)  # cuDNN chooses its algorithms
    times, begin = [], time.perf_counter()
    while time.perf_counter() - begin < seconds:
        times.append(steps(QUEUED))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        steps(PROFILED)
    microseconds = sum(event.self_device_time_total for event in profile.key_averages())
    return times, microseconds / 1e6 / PROFILED


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depths", type=int, nargs="+", default=(20, 56, 110))
    parser.add_argument("--seconds", type=float, default=6, help="duration for each depth")
    args = parser.parse_args()
    rows = []
    for depth in args.depths:
        times, kernels = measure(depth, args.seconds)
        step = statistics.median(times)
        milliseconds = middle([1e3 * each for each in times], 1)
        rows.append((depth, milliseconds, f"{BATCH_SIZE / step:,.0f}", f"{1e3 * kernels:.1f}", f"{100 * kernels / step:.0f} %"))
    print(torch.cuda.get_device_name())
    print_table(("depth", "step, ms", "images/s", "kernels, ms", "busy"), rows)


if __name__ == "__main__":
    main()
