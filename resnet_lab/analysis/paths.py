"""Removal of blocks, to see whether a residual network behaves like an ensemble of shallow paths.

Veit, Wilber and Belongie 2016, arXiv 1605.06431.
"""

import copy
import math
from collections.abc import Collection, Iterator

import torch
from torch import Tensor, nn

from resnet_lab.analysis.catalogue.paths import Paths, Removal, RemovedBlock, removal_numbers
from resnet_lab.analysis.subject import Subject, subset
from resnet_lab.config.terms import Padding
from resnet_lab.data.batches import clean_batches
from resnet_lab.models.blocks import Block
from resnet_lab.models.fold import folded
from resnet_lab.models.shortcuts import Identity
from resnet_lab.rng import generator
from resnet_lab.train.evaluate import evaluate

IMAGES, DRAWS = 2_000, 5
FAST_IMAGES, FAST_DRAWS = 500, 2


class Removed(nn.Module):
    """The replacement of a removed block: the block without its branch.

    In the paper's networks these are the shortcut and the final ReLU, which does not change non-negative inputs.

    A plain block is replaced by the shortcut of its residual counterpart, so that both members of a pair lose the same layers:
    the identity, or option A (subsampling, and zero channels at the position `pad`) where the shape changes.
    """

    def __init__(self, block: Block, pad: Padding = "end") -> None:
        super().__init__()
        layers = [convolution(layer) for layer in block.layers]
        stride = math.prod(layer.stride[0] for layer in layers)
        self.block = block
        self.scale = 1.0 if block.shortcut is None else block.shortcut_scale
        self.shortcut = block.shortcut or Identity(layers[0].in_channels, layers[-1].out_channels, stride, pad)

    def forward(self, x: Tensor) -> Tensor:
        """`(N, C_in, H, W)` to `(N, C_out, H / stride, W / stride)`."""
        return self.block.finish(self.shortcut(self.block.enter(x)) * self.scale)


def convolution(layer: nn.Module) -> nn.Conv2d:
    """The convolution of a layer, with or without BN folded into it."""
    return next(module for module in layer.modules() if isinstance(module, nn.Conv2d))


def without(net: nn.Module, blocks: Collection[str], pad: Padding = "end") -> nn.Module:
    """A copy of the network with the blocks of these names, such as `stages.0.1`, removed."""
    removed = {id(net.get_submodule(name)): Removed(net.get_submodule(name), pad) for name in blocks}  # type: ignore[arg-type]
    return copy.deepcopy(net, removed)


def block_names(net: nn.Module) -> list[str]:
    """The names of the blocks in forward order."""
    return [name for name, module in net.named_modules() if isinstance(module, Block)]


def paths(subject: Subject, num_images: int | None = IMAGES, num_draws: int = DRAWS) -> Paths:
    """Test error in evaluation mode without each block in turn, and without k random blocks for increasing k.

    Uses `num_images` test images (None: all). The draws depend only on k and on their index, so networks of equal depth lose the
    same blocks.
    """
    images = subset(subject.data.test, num_images, "test")
    net = folded(subject.net)
    names = block_names(net)

    def _error(blocks: Collection[str]) -> float:
        return evaluate(without(net, blocks, subject.config.model.pad_channels), clean_batches(images, subject.data.mean))[0]

    return Paths(
        step=subject.step,
        images=len(images),
        baseline=_error(()),
        blocks=tuple(RemovedBlock(name=name, error=_error([name])) for name in names),
        removals=tuple(
            Removal(number=number, errors=tuple(_error([names[index] for index in draw]) for draw in draws))
            for number, draws in random_removals(len(names), num_draws)
        ),
    )


def random_removals(num_blocks: int, num_draws: int) -> Iterator[tuple[int, list[list[int]]]]:
    """Yield k and `num_draws` draws of k distinct block indices, for every k of `removal_numbers`."""
    for number in removal_numbers(num_blocks):
        sources = (generator(0, f"analysis/paths/{number}", draw) for draw in range(num_draws))
        yield number, [sorted(torch.randperm(num_blocks, generator=source)[:number].tolist()) for source in sources]
