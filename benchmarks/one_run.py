"""Claim: one training run is at least 1.5 times as fast as a conventional PyTorch script.

The same network, batch size and fp32 arithmetic, full training steps on CIFAR-10 with augmentation, all threads. Both sides
alternate; each repetition is summarised by the median over its steps (conventional) or records of ten steps (ours), so that the
start of workers and processes does not count for either.

    python benchmarks/one_run.py --data data
"""

import json
import statistics

from common import arguments, conventional, folder, lab, middle, print_table


def ours(kind: str, depth: int, steps: int, data: str, device: str) -> float:
    """Images per second of `resnet-lab train`."""
    with folder() as runs:
        settings = [f"recipe.steps={steps}", "log.every=10", "recipe.schedule.milestones=[]", "data.test_images=128"]
        settings += ["evaluation.final_train_images=128", f"evaluation.every={steps}"]
        sets = [word for setting in settings for word in ("--set", setting)]
        lab(
            "train",
            "--config",
            "paper",
            "--depth",
            depth,
            f"--{kind}",
            "--runs",
            runs,
            "--data-dir",
            data,
            "--device",
            device,
            *sets,
        )
        lines = next(runs.glob("*/*/metrics.jsonl")).read_text().splitlines()
    records = [record for record in map(json.loads, lines) if record["type"] == "train"]
    return statistics.median(record["images"] / record["seconds"] for record in records)


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__, repeats=3)
    parser.add_argument("--depth", type=int, default=20)
    parser.add_argument("--steps", type=int, default=60)
    args = parser.parse_args()
    rows = []
    for kind in ("plain", "residual"):
        theirs, mine = [], []
        for _ in range(args.repeats):
            options = [
                "--kind",
                kind,
                "--depth",
                args.depth,
                "--steps",
                args.steps,
                "--data",
                args.data,
                "--no-evaluation",
                "--device",
                args.device,
            ]
            theirs.append(conventional(*options)["images_per_second"])
            mine.append(ours(kind, args.depth, args.steps, args.data, args.device))
        ratio = statistics.median(mine) / statistics.median(theirs)
        rows.append((f"{kind}-{args.depth}", middle(theirs), middle(mine), f"{ratio:.2f}"))
    print_table(("run", "conventional, images/s", "resnet-lab, images/s", "ratio"), rows)


if __name__ == "__main__":
    main()
