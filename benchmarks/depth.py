"""Claim: the cost of a deeper network is that of its additional arithmetic, and nothing else.

For each depth, in separate processes: the median time of a training step of 128 images, and per multiply-add relative to depth
20; the time to the first compiled step with an empty and with a warm cache; and the peak resident memory of a `resnet-lab
train` process on CIFAR-10, including libraries and data set but not GPU memory.

    python benchmarks/depth.py --data data
"""

import json
import statistics
import time
from pathlib import Path

import torch
from common import arguments, folder, lab, middle, print_table, process

from resnet_lab.config.schema import RunConfig, with_compile
from resnet_lab.models.cost import count as count_cost
from resnet_lab.run.compute import initial_state
from resnet_lab.run.device import synchronize
from resnet_lab.train.loop import update

DEPTHS = (8, 20, 32, 44, 56, 110)


def steps(depth: int, kind: str, count: int, *, compiled: bool, device: str) -> None:
    """Time some training steps, and print the seconds of the first and of the others. Runs in a separate process."""
    config = with_compile(RunConfig.model_validate({"model": {"kind": kind, "depth": depth}}), compiled)
    place = torch.device(device)
    state = initial_state(config, place)
    images = torch.randn(128, 3, 32, 32, device=place).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (128,), device=place)
    state.net.train()
    times = []
    for _ in range(count + 1):
        begin = time.perf_counter()
        update(state, (images, labels), 0.01, "fp32")
        synchronize(place)
        times.append(time.perf_counter() - begin)
    print(json.dumps({"first": times[0], "steps": times[1:], "multiply_adds": count_cost(config.model).multiply_adds}))


def measure(depth: int, kind: str, count: int, *, compiled: bool, cache: Path, device: str) -> dict:
    """Run `steps` in a new process and return its output."""
    code = f"import depth; depth.steps({depth}, {kind!r}, {count}, compiled={compiled}, device={device!r})"
    environment = {"PYTHONPATH": str(Path(__file__).parent), "TORCHINDUCTOR_CACHE_DIR": str(cache)}
    return json.loads(process("-c", code, **environment).out)


def peak(depth: int, kind: str, data: str, device: str) -> float:
    """Peak resident memory of a run of three steps with an evaluation, in MiB."""
    with folder() as runs:
        settings = ["recipe.steps=3", "recipe.schedule.milestones=[]", "evaluation.final_train_images=500"]
        sets = ["--device", device, *(word for setting in settings for word in ("--set", setting))]
        return lab(
            "train", "--config", "paper", "--depth", depth, f"--{kind}", "--runs", runs, "--data-dir", data, *sets
        ).peak_mib


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__, repeats=3)
    parser.add_argument("--kind", choices=("plain", "residual"), default="plain")
    parser.add_argument("--depths", type=int, nargs="+", default=DEPTHS)
    parser.add_argument("--no-compile", action="store_true", help="do not measure compile times")
    args = parser.parse_args()
    times: dict[int, list[float]] = {depth: [] for depth in args.depths}
    cost = {}
    with folder() as cache:
        for _ in range(args.repeats):
            for depth in args.depths:
                measured = measure(depth, args.kind, 5, compiled=False, cache=cache, device=args.device)
                times[depth].append(statistics.median(measured["steps"]))
                cost[depth] = measured["multiply_adds"]
    per_unit = {depth: statistics.median(times[depth]) / cost[depth] for depth in args.depths}
    base = per_unit[20] if 20 in per_unit else per_unit[args.depths[0]]
    rows = []
    for depth in args.depths:
        cold = warm = "-"
        if not args.no_compile:
            with folder() as cache:
                cold, warm = (
                    f"{measure(depth, args.kind, 1, compiled=True, cache=cache, device=args.device)['first']:.1f}"
                    for _ in ("cold", "warm")
                )
        seconds = middle([1e3 * value for value in times[depth]])
        relative = f"{per_unit[depth] / base:.2f}"
        rows.append(
            (
                depth,
                f"{cost[depth] / 1e6:.1f} M",
                seconds,
                relative,
                cold,
                warm,
                f"{peak(depth, args.kind, args.data, args.device):,.0f}",
            )
        )
    header = ("depth", "multiply-adds", "step, ms", "per multiply-add", "compile cold, s", "warm, s", "peak memory, MiB")
    print_table(header, rows)


if __name__ == "__main__":
    main()
