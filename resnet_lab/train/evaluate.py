"""Error and loss of a network in evaluation mode: moving BN averages, no gradients."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Precision = Literal["fp32", "bf16"]
Sums = tuple[float, float, float]  # over the images of a batch: misclassified ones, losses, and their number


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Autocast to bf16 in convolutions and matrix products if requested; parameters, BN statistics and the loss stay fp32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


@torch.inference_mode()
def evaluate(
    net: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    precision: Precision = "fp32",
    in_turn: Callable[[Sequence[Sums]], Sequence[Sums]] = lambda sums: sums,
) -> tuple[float, float]:
    """Error (a fraction) and mean loss over all images of `batches`; leaves the network and its mode unchanged.

    `in_turn` gives the sums of the batches of all processes in order, if several processes share them.
    Inputs are `(N, 3, H, W)`, or `(N, V, 3, H, W)` with V views per image, over which probabilities are averaged; labels `(N,)`.
    """
    was_training = net.training
    net.eval()
    try:
        sums: list[tuple[Tensor, Tensor, int]] = []
        for inputs, labels in batches:
            with autocast(inputs.device, precision):
                logits = net(inputs).float() if inputs.ndim == 4 else _over_views(net, inputs)
            wrong = (logits.argmax(1) != labels).sum()
            sums.append((wrong, functional.cross_entropy(logits, labels, reduction="sum"), len(labels)))
    finally:
        net.train(was_training)
    wrong, losses, sizes = zip(*in_turn([(wrong.item(), loss_sum.item(), size) for wrong, loss_sum, size in sums]), strict=True)
    return sum(wrong) / sum(sizes), sum(losses) / sum(sizes)


def _over_views(net: nn.Module, inputs: Tensor) -> Tensor:
    """Log-probabilities `(N, num_classes)` of inputs `(N, V, 3, H, W)`: the logarithm of the mean probability over views."""
    images, views = inputs.flatten(0, 1).contiguous(memory_format=torch.channels_last), inputs.shape[1]
    per_view = net(images).float().log_softmax(1).unflatten(0, (-1, views))  # (N, V, num_classes)
    mean: Tensor = per_view.logsumexp(1) - math.log(views)
    return mean
