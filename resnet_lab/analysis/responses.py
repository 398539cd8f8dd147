"""How strongly the layers respond, as in Fig. 7 of He et al. 2015.

The paper: residual functions have generally smaller responses than non-residual ones, and the smaller the deeper the network.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from resnet_lab.analysis.catalogue.responses import LayerResponse, Responses
from resnet_lab.analysis.subject import Subject, in_float64, some
from resnet_lab.data.batches import clean_batches
from resnet_lab.models.blocks import Block
from resnet_lab.models.resnet import ResNet

FAST_IMAGES = 1_000


class Moments:
    """Mean and standard deviation of all numbers seen, in one pass and exact to the two-pass value.

    Batches are merged in float64 by their counts, means and sums of squared deviations (Chan, Golub and LeVeque 1979), so no
    large sums of squares are subtracted.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = 0.0
        self._squares = 0.0

    def add(self, values: Tensor) -> None:
        """All elements of a tensor, whatever its shape."""
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
    """Standard deviation of the output of each layer after BN and before the ReLU or the addition (Fig. 7).

    In evaluation mode, over all test images (or `num_images` of them), channels and positions of a layer at once: one number a
    layer. Layers are in the order in which they are applied, the stem first; projections, of shortcuts, are none of them.
    """
    images = some(subject.data.test, num_images, "test")
    layers = layer_moments(subject.net, lambda net: [net(batch) for batch, _ in clean_batches(images, subject.data.mean)])
    found = tuple(LayerResponse(name=name, mean=each.mean, std=each.std) for name, each in layers.items())
    return Responses(step=subject.step, images=len(images), layers=found)


@torch.inference_mode()
def layer_moments(net: ResNet, feed: Callable[[ResNet], object]) -> dict[str, Moments]:
    """Moments of what the stem and every layer of the branches give while `feed(net)` runs the network in evaluation mode.

    The mode it had is restored.
    """
    layers = {net.stem, *(layer for block in net.modules() if isinstance(block, Block) for layer in block.layers)}
    moments = {name: Moments() for name, module in net.named_modules() if module in layers}

    def _watch(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        return lambda module, inputs, output: moments[name].add(output)  # before the ReLU, which works in place

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
