"""Claim: a sweep of four runs takes at most half the time of the same four runs in sequence with a conventional script.

Depth 20, plain and residual, two seeds, 400 steps of 128 images, and a final evaluation on all 50,000 training and 10,000 test
images. Measured is the wall time of the whole command on both sides, including start-up. Also printed is the share of the
machine's limit that the sweep's training reaches (the multiply-adds of training at the speed of matrix products, measured by
`resnet-lab bench`).

    python benchmarks/sweep.py --data data
"""

import json
import statistics

from common import arguments, conventional, folder, lab, middle, print_table


def ours(depth: int, steps: int, data: str, device: str) -> tuple[float, float, float]:
    """Wall time of `resnet-lab sweep` in seconds, its images per second while training, and its evaluation time in seconds."""
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
        in_sequence = [
            conventional(
                "--kind", kind, "--depth", args.depth, "--steps", args.steps, "--data", args.data, "--device", args.device
            )
            for kind in ("plain", "residual", "plain", "residual")
        ]
        theirs.append(sum(run["wall_seconds"] for run in in_sequence))
        parts.append((sum(run["evaluation_seconds"] for run in in_sequence), evaluation))
    ratio = statistics.median(theirs) / statistics.median(mine)
    rows = [
        ("conventional, in sequence", middle(theirs), middle([theirs for theirs, _ in parts]), "1.00"),
        ("`resnet-lab sweep`", middle(mine), middle([mine for _, mine in parts]), f"{ratio:.2f}"),
    ]
    print_table(("four runs", "wall time, s", "of which evaluation, s", "ratio"), rows)
    fraction = statistics.median(trained) / statistics.median(limits)
    print(f"While training: {middle(trained)} images/s in total, {fraction:.2f} of the limit of {middle(limits)} images/s.")


if __name__ == "__main__":
    main()
