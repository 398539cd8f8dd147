"""Gradients by layer, to check the remark of He et al. 2015, Sec. 4.1: with BN, plain networks' gradients have healthy norms."""

import copy
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence

from torch import Tensor, nn
from torch.nn import functional

from resnet_lab.analysis.catalogue.gradients import GradientNorm, Gradients
from resnet_lab.analysis.subject import Subject
from resnet_lab.data.load import training_batches
from resnet_lab.models.blocks import Block

BATCHES, FAST_BATCHES = 16, 4


def gradients(subject: Subject, num_batches: int = BATCHES) -> Gradients:
    """Norms of the gradient of the training loss by each convolution's weight and by each block's output.

    Over the first `num_batches` batches of the run's own training (augmented, in training mode), the same for every checkpoint
    and for both members of a matched pair. Weight decay is no part of the loss here.
    """
    recipe = subject.config.recipe
    batches = training_batches(subject.data, recipe.batch_size, subject.config.seed)
    weights, blocks = gradient_norms(subject.net, (batches(step) for step in range(num_batches)))
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
    """For each convolution's weight and each block's output `(N, C, H, W)`: the Euclidean norm of d(mean loss), batch by batch.

    In training mode, on a copy: the network's moving averages stay as they are.
    """
    net = copy.deepcopy(net).train()
    convolutions = {name: module for name, module in net.named_modules() if isinstance(module, nn.Conv2d)}
    weights: dict[str, list[float]] = {name: [] for name in convolutions}
    blocks: dict[str, list[float]] = {name: [] for name, module in net.named_modules() if isinstance(module, Block)}

    def _watch(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        return lambda module, inputs, output: _when_known(output, blocks[name])

    for name in blocks:
        net.get_submodule(name).register_forward_hook(_watch(name))
    for images, labels in batches:
        net.zero_grad()
        functional.cross_entropy(net(images), labels).backward()  # type: ignore[no-untyped-call]
        for name, module in convolutions.items():
            assert module.weight.grad is not None
            weights[name].append(module.weight.grad.norm().item())
    return weights, blocks


def _when_known(output: Tensor, norms: list[float]) -> None:
    output.register_hook(lambda gradient: norms.append(gradient.norm().item()))  # type: ignore[no-untyped-call]


def _summaries(norms: Mapping[str, Sequence[float]]) -> tuple[GradientNorm, ...]:
    return tuple(
        GradientNorm(name=name, norm=statistics.fmean(each), deviation=statistics.stdev(each) if len(each) > 1 else None)
        for name, each in norms.items()
    )
