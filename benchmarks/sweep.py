"""Claim: a sweep of four runs takes at most half the time of the same four runs one after another by a conventional script.

Depth 20, plain and residual, two seeds, 400 steps of 128 images, and at the end the error on all 50,000 training and 10,000 test
images. Wall time of the whole command on both sides, start-up included. Also printed: how much of the machine's limit (the
multiply-adds of a training image at the speed of matrix products, measured by `resnet-lab bench`) the sweep's training reaches.

    python benchmarks/sweep.py --data data
"""

import json
import statistics

from common import arguments, conventional, folder, lab, middle, print_table


def ours(depth: int, steps: int, data: str, device: str) -> tuple[float, float, float]:
    """Wall seconds of `resnet-lab sweep`, its images per second while training, and its seconds of evaluation."""
    with folder() as runs:
        settings = [f"sweep.depths=[{depth}]", "sweep.seeds=[0,1]", f"recipe.steps={steps}", "recipe.schedule.milestones=[]"]
        sets = ["--device", device, *(word for setting in settings for word in ("--set", setting))]
        done = lab("sweep", "paper", "--runs", runs, "--data-dir", data, *sets)
        lines = [line for path in runs.glob("*/*/metrics.jsonl") for line in path.read_text().splitlines()]
        jobs = json.loads(lab("sweep", "paper", "--runs", runs, "--data-dir", data, *sets, "--dry-run", "--json").out)["jobs"]
    records = list(map(json.loads, lines))
    train = [record for record in records if record["type"] == "train"]
    speed = jobs * sum(record["images"] for record in train) / sum(record["seconds"] for record in train)
    return done.seconds, speed, sum(record["seconds"] for record in records if record["type"] == "eval") / jobs


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__, repeats=1)
    parser.add_argument("--depth", type=int, default=20)
    parser.add_argument("--steps", type=int, default=400)
    args = parser.parse_args()
    theirs, mine, parts, trained, limits = [], [], [], [], []
    for _ in range(args.repeats):
        wall, speed, evaluation = ours(args.depth, args.steps, args.data, args.device)
        mine.append(wall)
        trained.append(speed)
        bench = lab(
            "bench", "paper", "--depth", args.depth, "--plain", "--no-compile", "--device", args.device, "--seconds", 10, "--json"
        ).out
        limits.append(json.loads(bench)["matrix_product_flops"] / (6 * json.loads(bench)["multiply_adds"]))
        one_after_another = [
            conventional(
                "--kind", kind, "--depth", args.depth, "--steps", args.steps, "--data", args.data, "--device", args.device
            )
            for kind in ("plain", "residual", "plain", "residual")
        ]
        theirs.append(sum(run["wall_seconds"] for run in one_after_another))
        parts.append((sum(run["evaluation_seconds"] for run in one_after_another), evaluation))
    ratio = statistics.median(theirs) / statistics.median(mine)
    rows = [
        ("conventional, one after another", middle(theirs), middle([theirs for theirs, _ in parts]), "1.00"),
        ("`resnet-lab sweep`", middle(mine), middle([mine for _, mine in parts]), f"{ratio:.2f}"),
    ]
    print_table(("four runs", "wall time, s", "of it evaluation, s", "ratio"), rows)
    fraction = statistics.median(trained) / statistics.median(limits)
    print(f"While training: {middle(trained)} images/s together, {fraction:.2f} of the limit of {middle(limits)} images/s.")


if __name__ == "__main__":
    main()
