"""Beyond one machine: what a launcher adds to each run, what ranks cost, and how long the full study takes.

    python benchmarks/scale.py overhead                               # of each launcher that is installed here
    python benchmarks/scale.py ranks --data data                      # depth 56: two ranks of one thread, one process of two
    python benchmarks/scale.py simulation --images-per-second 10000   # the full study on 1, 8 and 64 GPUs

`overhead` trains runs of a few steps one after another, by a sweep with each launcher and by `resnet-lab train` alone. The ray
launcher starts its own cluster unless $RAY_ADDRESS is set; the slurm launcher needs `sbatch`.

`simulation` measures nothing. It computes the times of 50 runs of 64,000 steps (depth 20, 32, 44, 56 and 110, two kinds, five
seeds), with their evaluations, from the images per second of one GPU at depth 20, which `resnet-lab bench paper --depth 20
--plain` measures. The time of a step is proportional to the network's multiply-adds. Runs start longest first.
"""

import argparse
import importlib.util
import shutil
import time
from pathlib import Path

from common import arguments, folder, lab, middle, print_markdown, print_table, process
from simulation import Preemptions, lower_bound, simulate

from resnet_lab.config.files import load_study
from resnet_lab.models.cost import count_run
from resnet_lab.record.store import RunFolder
from resnet_lab.run.estimate import Speed, forecast
from resnet_lab.sweep.grid import expand

GPUS = (1, 8, 64)
LAUNCHERS = {
    "local": ["--threads", 1, "--jobs", 1, "--device", "cpu"],
    "ray": ["--launcher", "ray", "--jobs", 1],
    "slurm": ["--launcher", "slurm", "--at-once", 1],
}
TIMEOUT_SECONDS = 900


def installed() -> list[str]:
    """The launchers whose parts are installed here."""
    found = {"local": True, "ray": importlib.util.find_spec("ray"), "slurm": shutil.which("sbatch")}
    return [name for name in LAUNCHERS if found[name]]


def sweep_seconds(launcher: str, runs: Path, num_runs: int) -> float:
    """Seconds of a sweep of tiny runs, until the last one has ended."""
    sets = [f"sweep.seeds={list(range(num_runs))}", "sweep.depths=[8]", 'sweep.kinds=["plain"]', "compute.compile=false"]
    begin = time.perf_counter()
    lab("sweep", "smoke", "--runs", runs, *(word for text in sets for word in ("--set", text)), *LAUNCHERS[launcher])
    while sum(RunFolder(path).ending() is not None for path in runs.glob("smoke/*")) < num_runs:
        if time.perf_counter() - begin > TIMEOUT_SECONDS:
            raise RuntimeError(f"the runs that {launcher} has started did not end in {TIMEOUT_SECONDS} s")
        time.sleep(0.1)
    return time.perf_counter() - begin


def alone_seconds(runs: Path, num_runs: int) -> float:
    """Seconds of the same runs, each started by `resnet-lab train`; of finished ones if they are in `runs`."""
    fixed = ["--config", "smoke", "--plain", "--depth", 8, "--no-compile", "--no-forecast", "--threads", 1, "--device", "cpu"]
    return sum(lab("train", *fixed, "--seed", seed, "--runs", runs).seconds for seed in range(num_runs))


def overhead(args: argparse.Namespace) -> None:
    """Print what each launcher adds to a run."""
    first, again = ({name: [] for name in ("train", *args.launchers)} for _ in range(2))
    for _ in range(args.repeats):
        for name in first:
            with folder() as runs:
                seconds = alone_seconds if name == "train" else lambda *where, name=name: sweep_seconds(name, *where)
                first[name].append(seconds(runs, args.runs) / args.runs)
                again[name].append(seconds(runs, args.runs) / args.runs)
    rows = [
        (
            "`resnet-lab train`" if name == "train" else name,
            middle(first[name], 2),
            "-"
            if name == "train"
            else middle([ours - alone for ours, alone in zip(first[name], first["train"], strict=True)], 2),
            middle(again[name], 2),
        )
        for name in first
    ]
    print_table(("started by", "seconds per run", "of which overhead", "seconds per finished run"), rows)


def images_per_second(args: argparse.Namespace, runs: Path, *options: object, ranks: int = 1) -> float:
    """The speed of a short run of depth 56, without its first steps."""
    sets = [
        f"recipe.steps={args.steps}", "recipe.schedule.milestones=[]", "log.every=5", "data.test_images=500",
        "evaluation.final_train_images=500",
    ]  # fmt: skip
    fixed = ["train", "--config", "paper", "--depth", 56, "--residual", "--no-compile", "--no-forecast"]
    argv = [*fixed, "--runs", runs, "--data-dir", args.data, *(word for text in sets for word in ("--set", text)), *options]
    if ranks == 1:
        lab(*argv)
    else:
        process("-m", "torch.distributed.run", "--nproc-per-node", ranks, "-m", "resnet_lab", *argv, OMP_NUM_THREADS="1")
    [path] = runs.glob("paper/*")
    records = RunFolder(path).read().train[1:]
    return sum(record.images for record in records) / sum(record.seconds for record in records)


def ranks(args: argparse.Namespace) -> None:
    """Print the speed of two ranks of one thread and of one process of two threads."""
    replicas = ["--set", "compute.replicas=2"]
    ways = {
        "one process of 2 threads": (["--threads", 2], 1),
        "one process of 2 threads, 2 replicas": (["--threads", 2, *replicas], 1),
        "2 ranks of 1 thread, 2 replicas": (["--threads", 1, *replicas], 2),
    }
    speeds = {name: [] for name in ways}
    for _ in range(args.repeats):
        for name, (options, number) in ways.items():
            with folder() as runs:
                speeds[name].append(images_per_second(args, runs, *options, ranks=number))
    base = speeds["one process of 2 threads"]
    ratios = {name: [ours / theirs for ours, theirs in zip(values, base, strict=True)] for name, values in speeds.items()}
    rows = [(name, middle(speeds[name]), middle(ratios[name], 2)) for name in ways]
    print_table(("residual-56", "images/s", "ratio"), rows)


def study_work(speed: float) -> list[float]:
    """The seconds of each run of the full study on a GPU with this many images per second at depth 20."""
    configs = expand(load_study("paper", ["sweep.seeds=[0,1,2,3,4]"]))
    reference = min(count_run(config).multiply_adds for config in configs)
    seconds = []
    for config in configs:
        cost = count_run(config)
        at_20 = Speed({"forward": config.recipe.batch_size / speed}, 1 / (3 * speed))  # a backward pass costs two forward passes
        seconds.append(forecast(config, cost, at_20.scaled(cost.multiply_adds / reference)).seconds)
    return seconds


def simulation(args: argparse.Namespace) -> None:
    """Print the simulated time of the full study."""
    if args.images_per_second is None:
        raise SystemExit("simulation needs --images-per-second: the speed of one GPU at depth 20")
    work = [seconds * args.packed / args.packed_speed for seconds in study_work(args.images_per_second)]
    rows = []
    for gpus in GPUS:
        bound = lower_bound(work, gpus * args.packed)
        plain = simulate(work, gpus, args.packed)
        preempted = simulate(work, gpus, args.packed, Preemptions(restart=args.restart), args.seed)
        rows.append((
            gpus, hours(bound), hours(plain.makespan), f"{plain.makespan / bound:.2f}", hours(preempted.makespan),
            f"{preempted.makespan / bound:.2f}", preempted.interruptions, hours(preempted.lost),
        ))  # fmt: skip
    print(f"Simulation: {len(work)} runs, {args.images_per_second:,.0f} images/s at depth 20, {args.packed} per GPU.\n")
    header = (
        "GPUs", "lower bound, h", "time, h", "ratio", "with preemptions, h", "ratio", "interruptions", "training lost, h",
    )  # fmt: skip
    print_markdown(header, rows)


def hours(seconds: float) -> str:
    """Seconds as hours."""
    return f"{seconds / 3600:,.1f}"


def main() -> None:
    """Measure or simulate, and print."""
    parser = arguments(__doc__, repeats=3)
    parser.add_argument("part", choices=("overhead", "ranks", "simulation"))
    parser.add_argument(
        "--launchers", nargs="+", choices=LAUNCHERS, default=installed(), help="overhead: default: those installed"
    )
    parser.add_argument("--runs", type=int, default=6, help="overhead: number of runs")
    parser.add_argument("--steps", type=int, default=30, help="ranks: number of steps")
    parser.add_argument("--images-per-second", type=float, help="simulation: of one GPU that trains one network of depth 20")
    parser.add_argument("--packed", type=int, default=1, help="simulation: number of runs that share a GPU")
    parser.add_argument("--packed-speed", type=float, default=1.0, help="simulation: their speed in total, relative to one run's")
    parser.add_argument(
        "--restart", type=float, default=60.0, help="simulation: seconds from a preemption until a run trains again"
    )
    parser.add_argument("--seed", type=int, default=0, help="simulation: of the times of the preemptions")
    args = parser.parse_args()
    {"overhead": overhead, "ranks": ranks, "simulation": simulation}[args.part](args)


if __name__ == "__main__":
    main()
