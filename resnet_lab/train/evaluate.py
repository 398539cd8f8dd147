"""Error and loss of a network in evaluation mode: moving BN statistics, no augmentation, no gradients."""

import math
from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Precision = Literal["fp32", "bf16"]


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """bf16 arithmetic in convolutions and products where asked for; parameters, BN statistics and the loss stay fp32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


@torch.inference_mode()
def evaluate(net: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], precision: Precision = "fp32") -> tuple[float, float]:
    """Error (a fraction) and mean loss over all images of `batches`; changes nothing, the mode included.

    Inputs are `(N, 3, H, W)`, or `(N, V, 3, H, W)` where each image has V views, whose probabilities are averaged.
    """
    was_training = net.training
    net.eval()
    try:
        readings: list[tuple[Tensor, Tensor, int]] = []
        for inputs, labels in batches:
            with autocast(inputs.device, precision):
                logits = net(inputs).float() if inputs.ndim == 4 else _over_views(net, inputs)
            wrong = (logits.argmax(1) != labels).sum()
            readings.append((wrong, functional.cross_entropy(logits, labels, reduction="sum"), len(labels)))
    finally:
        net.train(was_training)
    num_images = sum(size for _, _, size in readings)
    return (
        sum(wrong.item() for wrong, _, _ in readings) / num_images,
        sum(loss_sum.item() for _, loss_sum, _ in readings) / num_images,
    )


def _over_views(net: nn.Module, inputs: Tensor) -> Tensor:
    """Logarithms `(N, num_classes)` of the mean over views `(N, V, 3, H, W)` of the probabilities."""
    images, views = inputs.flatten(0, 1).contiguous(memory_format=torch.channels_last), inputs.shape[1]
    each = net(images).float().log_softmax(1).unflatten(0, (-1, views))
    mean: Tensor = each.logsumexp(1) - math.log(views)
    return mean
