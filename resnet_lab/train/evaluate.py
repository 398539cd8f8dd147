"""Error and loss of a network in evaluation mode: moving BN statistics, no augmentation, no gradients."""

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
    """Error (a fraction) and mean loss over all images of `batches`; changes nothing, the mode included."""
    was_training = net.training
    net.eval()
    try:
        readings: list[tuple[Tensor, Tensor, int]] = []
        for inputs, labels in batches:
            with autocast(inputs.device, precision):
                logits = net(inputs).float()
            wrong = (logits.argmax(1) != labels).sum()
            readings.append((wrong, functional.cross_entropy(logits, labels, reduction="sum"), len(labels)))
    finally:
        net.train(was_training)
    num_images = sum(size for _, _, size in readings)
    return (
        sum(wrong.item() for wrong, _, _ in readings) / num_images,
        sum(loss_sum.item() for _, loss_sum, _ in readings) / num_images,
    )
