"""Gradient norms by layer, to check He et al. 2015, Sec. 4.1: with BN, the gradients of plain networks have healthy norms."""

import copy
import itertools
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence

from torch import Tensor, nn
from torch.nn import functional

from resnet_lab.analysis.catalogue.gradients import GradientNorm, Gradients
from resnet_lab.analysis.subject import Subject, require_finite
from resnet_lab.data.load import training_batches
from resnet_lab.models.blocks import Block

BATCHES, FAST_BATCHES = 16, 4


def gradients(subject: Subject, num_batches: int = BATCHES) -> Gradients:
    """Norms of the gradients of the training loss with respect to each convolution's weight and each block's output.

    Over the first `num_batches` batches of the run's training (augmented, in training mode), which are the same for every
    checkpoint and for both members of a matched pair. The loss excludes weight decay. Raises ConfigError if a norm is not finite.
    """
    recipe = subject.config.recipe
    batches = training_batches(subject.data, recipe.batch_size, subject.config.seed)
    weights, blocks = gradient_norms(subject.net, (batches(step) for step in range(num_batches)))
    require_finite(itertools.chain(*weights.values(), *blocks.values()), subject, "gradients")
    return Gradients(
        step=subject.step,
        batches=num_batches,
        batch_size=recipe.batch_size,
        weights=_summaries(weights),
        blocks=_summaries(blocks),
    )


def gradient_norms(
    net: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Euclidean norms of the mean loss's gradients, one per batch: by convolution weight, and by block output `(N, C, H, W)`.

    Works on a copy in training mode, so that the network's moving averages do not change.
    """
    net = copy.deepcopy(net).train()
    convolutions = {name: module for name, module in net.named_modules() if isinstance(module, nn.Conv2d)}
    weights: dict[str, list[float]] = {name: [] for name in convolutions}
    blocks: dict[str, list[float]] = {name: [] for name, module in net.named_modules() if isinstance(module, Block)}

    def _watch(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        return lambda module, inputs, output: _record_norm(output, blocks[name])

    for name in blocks:
        net.get_submodule(name).register_forward_hook(_watch(name))
    for images, labels in batches:
        net.zero_grad()
        functional.cross_entropy(net(images), labels).backward()  # type: ignore[no-untyped-call]
        for name, module in convolutions.items():
            assert module.weight.grad is not None
            weights[name].append(module.weight.grad.norm().item())
    return weights, blocks


def _record_norm(output: Tensor, norms: list[float]) -> None:
    output.register_hook(lambda gradient: norms.append(gradient.norm().item()))  # type: ignore[no-untyped-call]


def _summaries(norms: Mapping[str, Sequence[float]]) -> tuple[GradientNorm, ...]:
    return tuple(
        GradientNorm(name=name, norm=statistics.fmean(values), deviation=statistics.stdev(values) if len(values) > 1 else None)
        for name, values in norms.items()
    )
