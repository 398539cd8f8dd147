"""A conventional PyTorch script for one network on CIFAR-10, such as a user would otherwise write or download.

It uses torchvision's CIFAR10 and transforms, a DataLoader with four workers, an eager network in NCHW and `loss.item()` in
every step, and evaluates with the same kind of DataLoader. The recipe is that of the `paper` preset, so that both sides do the
same arithmetic. This is the baseline of the other benchmarks; it can also be run on its own:

    python benchmarks/conventional.py --data data --depth 20 --steps 100

Prints one JSON object: images per second of the training steps, seconds of training, of evaluation and in total, and the errors.
"""

import argparse
import json
import time

import torch
import torchvision
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Subset
from torchvision import transforms


class Block(nn.Module):
    """Two 3x3 convolutions; `residual` adds the input, subsampled and zero-padded where shapes change (option A)."""

    def __init__(self, in_planes: int, planes: int, stride: int, residual: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_planes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride=1, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.stride, self.pad, self.residual = stride, planes - in_planes, residual

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = functional.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.residual:
            if self.stride != 1 or self.pad:
                x = functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.pad))
            out = out + x
        return functional.relu(out)


class Net(nn.Module):
    """The network of 6n+2 layers with 16, 32 and 64 filters."""

    def __init__(self, depth: int, residual: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        blocks, planes = [], 16
        for stage in range(3):
            for block in range((depth - 2) // 6):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(Block(planes, 16 * 2**stage, stride, residual))
                planes = 16 * 2**stage
        self.blocks = nn.Sequential(*blocks)
        self.linear = nn.Linear(64, 10)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.blocks(functional.relu(self.bn1(self.conv1(x))))
        return self.linear(functional.avg_pool2d(out, out.size(3)).flatten(1))


def error_of(net: nn.Module, loader: DataLoader, device: str) -> float:
    """Classification error in evaluation mode, as a fraction."""
    net.eval()
    wrong = total = 0
    with torch.no_grad():
        for images, labels in loader:
            wrong += (net(images.to(device)).argmax(1) != labels.to(device)).sum().item()
            total += len(labels)
    net.train()
    return wrong / total


def loaders(args: argparse.Namespace) -> tuple[DataLoader, DataLoader, DataLoader, DataLoader]:
    """Loaders for training, and for evaluation: training images during and after training, and test images."""
    normalise = transforms.Normalize((0.4914, 0.4822, 0.4465), (1, 1, 1))
    plain = transforms.Compose([transforms.ToTensor(), normalise])
    augmented = transforms.Compose([transforms.RandomCrop(32, 4), transforms.RandomHorizontalFlip(), plain])
    train_set = torchvision.datasets.CIFAR10(args.data, train=True, transform=augmented)
    clean_set = torchvision.datasets.CIFAR10(args.data, train=True, transform=plain)
    test_set = torchvision.datasets.CIFAR10(args.data, train=False, transform=plain)
    if args.train_images < len(train_set):
        train_set = Subset(train_set, range(args.train_images))
    to_evaluate = (
        Subset(clean_set, range(args.eval_train_images)),
        Subset(clean_set, range(args.final_train_images)),
        Subset(test_set, range(args.test_images)),
    )
    workers = {"num_workers": args.workers, "pin_memory": args.device != "cpu"}
    train = DataLoader(train_set, batch_size=args.batch_size, shuffle=True, **workers)
    return train, *(DataLoader(part, batch_size=args.batch_size, **workers) for part in to_evaluate)


def main() -> None:
    """Train, evaluate, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder that holds cifar-10-batches-py")
    parser.add_argument("--depth", type=int, default=20)
    parser.add_argument("--kind", choices=("plain", "residual"), default="plain")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--train-images", type=int, default=50_000)
    parser.add_argument("--eval-every", type=int, default=1_000)
    parser.add_argument("--eval-train-images", type=int, default=5_000, help="during training")
    parser.add_argument("--final-train-images", type=int, default=50_000)
    parser.add_argument("--test-images", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--no-evaluation", action="store_true", help="time the training steps alone")
    args = parser.parse_args()

    begin = time.perf_counter()
    train_loader, eval_loader, final_loader, test_loader = loaders(args)
    net = Net(args.depth, args.kind == "residual").to(args.device)
    optimizer = torch.optim.SGD(net.parameters(), lr=args.lr, momentum=0.9, weight_decay=1e-4)
    step, train_seconds, eval_seconds, step_seconds = 0, 0.0, 0.0, []
    errors: tuple[float, float] | None = None
    previous = time.perf_counter()
    while step < args.steps:
        for batch in train_loader:
            images, labels = (part.to(args.device) for part in batch)
            loss = functional.cross_entropy(net(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()
            step += 1
            now = time.perf_counter()
            step_seconds.append((now - previous) / len(labels))
            train_seconds += now - previous
            final = step == args.steps
            if not args.no_evaluation and (final or step % args.eval_every == 0):
                errors = (
                    error_of(net, final_loader if final else eval_loader, args.device),
                    error_of(net, test_loader, args.device),
                )
                eval_seconds += time.perf_counter() - now
            previous = time.perf_counter()
            if final:
                break
    steady = sorted(step_seconds[3:] or step_seconds)
    print(
        json.dumps(
            {
                "images_per_second": 1 / steady[len(steady) // 2],
                "training_seconds": train_seconds,
                "evaluation_seconds": eval_seconds,
                "seconds": time.perf_counter() - begin,
                "train_error": errors and errors[0],
                "test_error": errors and errors[1],
            }
        )
    )


if __name__ == "__main__":
    main()
