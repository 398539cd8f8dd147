"""Standard deviations of layer responses, as in Fig. 7 of He et al. 2015.

According to the paper, residual functions generally have smaller responses than non-residual ones, and these decrease with depth.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from resnet_lab.analysis.catalogue.responses import LayerResponse, Responses
from resnet_lab.analysis.subject import Subject, in_float64, require_finite, subset
from resnet_lab.data.batches import clean_batches
from resnet_lab.models.blocks import Block
from resnet_lab.models.resnet import ResNet

FAST_IMAGES = 1_000


class Moments:
    """Mean and standard deviation in one pass, as accurate as in two passes.

    Batches are merged in float64 by count, mean and sum of squared deviations (Chan, Golub and LeVeque 1979), which avoids
    subtracting large sums of squares.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = 0.0
        self._squares = 0.0

    def add(self, values: Tensor) -> None:
        """Add all elements of a tensor of any shape."""
        variance, mean = torch.var_mean(in_float64(values), correction=0)
        count, total = values.numel(), self.count + values.numel()
        difference = mean.item() - self.mean
        self._squares += variance.item() * count + difference**2 * self.count * count / total
        self.mean += difference * count / total
        self.count = total

    @property
    def std(self) -> float:
        """The population standard deviation (divided by n)."""
        return float((self._squares / self.count) ** 0.5) if self.count else 0.0


def responses(subject: Subject, num_images: int | None = None) -> Responses:
    """Standard deviation of the output of each layer, after BN and before the ReLU or the addition (Fig. 7).

    Computed in evaluation mode over `num_images` test images (None: all), channels and positions: one number per layer. Layers
    are in forward order, beginning with the stem; projection shortcuts are excluded. Raises ConfigError if one is not finite.
    """
    images = subset(subject.data.test, num_images, "test")
    layers = layer_moments(subject.net, lambda net: [net(batch) for batch, _ in clean_batches(images, subject.data.mean)])
    require_finite((number for moments in layers.values() for number in (moments.mean, moments.std)), subject, "responses")
    measured = tuple(LayerResponse(name=name, mean=moments.mean, std=moments.std) for name, moments in layers.items())
    return Responses(step=subject.step, images=len(images), layers=measured)


@torch.inference_mode()
def layer_moments(net: ResNet, feed: Callable[[ResNet], object]) -> dict[str, Moments]:
    """Moments of the outputs of the stem and of all branch layers while `feed(net)` runs the network in evaluation mode.

    Afterwards the network is back in its previous mode.
    """
    layers = {net.stem, *(layer for block in net.modules() if isinstance(block, Block) for layer in block.layers)}
    moments = {name: Moments() for name, module in net.named_modules() if module in layers}

    def _watch(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        return lambda module, inputs, output: moments[name].add(output)  # before the in-place ReLU

    hooks = [module.register_forward_hook(_watch(name)) for name, module in net.named_modules() if name in moments]
    was_training = net.training
    net.eval()
    try:
        feed(net)
    finally:
        net.train(was_training)
        for hook in hooks:
            hook.remove()
    return moments
