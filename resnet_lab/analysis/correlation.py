"""Autocorrelation of the input gradient along straight lines between images (Balduzzi et al. 2017, arXiv 1702.08591)."""

import copy
import statistics
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from resnet_lab.analysis.catalogue.correlation import Correlation
from resnet_lab.analysis.subject import Subject, require_finite, subset
from resnet_lab.data.batches import clean_batches
from resnet_lab.data.load import training_batches
from resnet_lab.errors import ConfigError

LINES, FAST_LINES = 8, 2
POINTS, LAGS = 33, 16  # so that each lag has at least half as many pairs as there are points
_BATCHES = 4  # over which BN's statistics are measured
_TINY = 1e-30  # a norm below which a gradient counts as zero


def correlation(subject: Subject, num_lines: int = LINES) -> Correlation:
    """Autocorrelation of the gradient of the first logit with respect to the input, the mean over `num_lines` lines.

    A line consists of POINTS images at equal distances on the straight line between two training images, without augmentation.
    BN has the statistics of the run's first training batches, as in training: those of an initial network's moving averages
    would make it the identity. Raises ConfigError if a gradient is not finite.
    """
    images = subset(subject.data.train, 2 * num_lines, "correlation")
    ends = torch.cat([batch for batch, _ in clean_batches(images, subject.data.mean)])
    batches = training_batches(subject.data, subject.config.recipe.batch_size, subject.config.seed)
    net = with_measured_statistics(subject.net, (batches(step)[0] for step in range(_BATCHES)))
    lines = zip(ends[::2], ends[1::2], strict=False)
    gradients = [input_gradients(net, line(start, end)) for start, end in lines]
    if any(not rows.any(dim=1).all() for rows in gradients):
        raise ConfigError(
            f"The first logit of {subject.name} at step {subject.step:,} does not depend on the input, as with a final layer of "
            "zeros, so its gradients have no direction: use --at with a later step."
        )
    by_line = [autocorrelation(rows) for rows in gradients]
    values = tuple(statistics.fmean(at_lag) for at_lag in zip(*by_line, strict=True))
    require_finite(values, subject, "input gradients")
    return Correlation(step=subject.step, lines=len(by_line), points=POINTS, correlations=values)


def line(start: Tensor, end: Tensor) -> Tensor:
    """POINTS images `(POINTS, 3, H, W)` at equal distances from `start` to `end` `(3, H, W)`."""
    shares = torch.linspace(0, 1, POINTS, device=start.device)[:, None, None, None]
    return start + shares * (end - start)


def input_gradients(net: nn.Module, images: Tensor) -> Tensor:
    """The gradient of the first logit of each image `(N, 3, H, W)` with respect to that image, as rows `(N, 3 H W)`."""
    images = images.clone().requires_grad_()
    [gradient] = torch.autograd.grad(net(images)[:, 0].sum(), images)
    return gradient.flatten(1)


def autocorrelation(gradients: Tensor) -> list[float]:
    """The mean cosine of the rows `(N, D)` with those 1, 2, ..., LAGS further on; the cosine with a zero row is zero."""
    unit = functional.normalize(gradients, dim=1, eps=_TINY)
    return [(unit[:-lag] * unit[lag:]).sum(1).mean().item() for lag in range(1, LAGS + 1)]


@torch.no_grad()
def with_measured_statistics(net: nn.Module, batches: Iterable[Tensor]) -> nn.Module:
    """A copy of a network in evaluation mode, whose BN has the mean of the statistics of these batches `(N, 3, H, W)`."""
    net = copy.deepcopy(net).train().requires_grad_(False)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # the mean over batches
    for images in batches:
        net(images)
    return net.eval()
