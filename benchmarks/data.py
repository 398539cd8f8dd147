"""Claim: the data pipeline alone is at least 20 times as fast as a DataLoader, and takes under 2 % of a step.

Random crops and flips of CIFAR-10 in batches of 128, normalised: ours with one thread and with all, versus torchvision's
CIFAR10 and transforms in a DataLoader with 0, 2 and 4 workers. The share of a step is measured for plain-20 by `resnet-lab
bench`.

    python benchmarks/data.py --data data
"""

import json
import statistics
import time
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
import torchvision
from common import arguments, lab, middle, print_table
from torch.utils.data import DataLoader
from torchvision import transforms

from resnet_lab.config.schema import DataConfig
from resnet_lab.data.batches import Batches
from resnet_lab.data.load import load
from resnet_lab.run.device import synchronize

BATCH_SIZE = 128


def speed(batches: Iterable[tuple[torch.Tensor, torch.Tensor]], count: int, device: torch.device) -> float:
    """Images per second over `count` batches moved to the device, after a first batch that includes the start of workers."""
    iterator = ((images.to(device), labels.to(device)) for images, labels in batches)
    next(iterator)
    synchronize(device)
    begin, images = time.perf_counter(), 0
    for _ in range(count):
        images += len(next(iterator)[1])
    synchronize(device)
    return images / (time.perf_counter() - begin)


def ours(batches: Batches) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield the batches of successive steps."""
    step = 0
    while True:
        yield batches(step)
        step += 1


def main() -> None:
    """Measure and print."""
    args = arguments(__doc__, repeats=5).parse_args()
    warnings.simplefilter("ignore")
    all_threads = torch.get_num_threads()
    device = torch.device(args.device)
    data = load(DataConfig(validation_images=0), Path(args.data), 0).to(device)
    steps = transforms.Compose(
        [
            transforms.RandomCrop(32, 4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize((0.49, 0.48, 0.45), (1, 1, 1)),
        ]
    )
    images = torchvision.datasets.CIFAR10(args.data, train=True, transform=steps)
    speeds: dict[str, list[float]] = {}
    for _ in range(args.repeats):
        for workers in (0, 2, 4):
            loader = DataLoader(images, batch_size=BATCH_SIZE, shuffle=True, num_workers=workers)
            speeds.setdefault(f"DataLoader, {workers} workers", []).append(speed(loader, 60, device))
        for threads in sorted({1, all_threads}):
            torch.set_num_threads(threads)
            batches = Batches(data.train, data.mean, BATCH_SIZE, 0)
            speeds.setdefault(f"resnet-lab, {threads} thread{'s' if threads > 1 else ''}", []).append(
                speed(ours(batches), 300, device)
            )
        torch.set_num_threads(all_threads)
    base = statistics.median(speeds["DataLoader, 4 workers"])
    rows = [(name, middle(values), f"{statistics.median(values) / base:.1f}") for name, values in speeds.items()]
    print_table(("pipeline", "images/s", "relative to 4 workers"), rows)
    parts = json.loads(
        lab("bench", "paper", "--plain", "--depth", 20, "--no-compile", "--device", args.device, "--seconds", 10, "--json").out
    )
    print(f"Share of a step of plain-20: {100 * parts['parts']['data'] / parts['step_seconds']:.2f} %.")


if __name__ == "__main__":
    main()
