"""The existence argument of He et al. 2015, Sec. 1: a deeper network that computes what a trained shallower one does.

The added blocks go at the end of each stage, where the shapes do not change. In a plain network an added block is two Dirac
kernels, each followed by a BN that changes nothing; its ReLUs do no harm, since what comes in has been through one already. In a
residual network an added block's branch is zero, and its shortcut is the identity; a projection (option C) is made one as the
kernels of a plain block are.
"""

import copy
import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from resnet_lab.analysis.catalogue.identity import BatchNoise
from resnet_lab.analysis.subject import in_float64
from resnet_lab.config.files import load_run
from resnet_lab.config.schema import RunConfig
from resnet_lab.errors import ConfigError
from resnet_lab.models.blocks import Block, ConvNorm
from resnet_lab.models.resnet import ResNet, build

Batch = tuple[Tensor, Tensor]
Statistics = tuple[Tensor, Tensor]  # mean and variance by channel, each `(C,)`


def deepened(config: RunConfig, depth: int) -> RunConfig:
    """The config of the deeper counterpart. Raises ConfigError where `depth` is not deeper, or where there is no such network."""
    model, reason = config.model, config.model.block_facts.why_not_identity
    if model.kind == "plain" and reason is not None:
        raise ConfigError(
            f"There is no construction for {config.name}: a plain {model.block} block cannot be the identity, since {reason}."
        )
    if depth <= model.depth:
        raise ConfigError(
            f"The construction goes from a shallower network to a deeper one: --depth {depth} is not deeper than {config.name}."
        )
    settings = config.model_dump(mode="json")
    settings["model"]["depth"] = depth
    return load_run(json.dumps(settings), f"--depth {depth}")


def construct(shallow: ResNet, config: RunConfig, depth: int) -> ResNet:
    """The network of `depth` layers that computes the same function as `shallow` in evaluation mode; on the same device.

    `config` is the shallower run's. What an added residual block's zero branch would compute is initialised as in a network of
    that depth with this seed, and only its last BN weight is zero. Raises ConfigError where `depth` is not deeper.
    """
    deep = build(deepened(config, depth).model, config.seed, num_classes=shallow.head.out_features)
    deep.stem.load_state_dict(shallow.stem.state_dict())
    deep.head.load_state_dict(shallow.head.state_dict())
    for old, new in zip(shallow.stages, deep.stages, strict=True):
        assert isinstance(old, nn.Sequential)
        assert isinstance(new, nn.Sequential)
        for index, block in enumerate(new):
            assert isinstance(block, Block)
            if index < len(old):
                block.load_state_dict(old[index].state_dict())
            else:
                _make_identity(block)
    return deep.move(next(shallow.parameters()).device)


@torch.no_grad()
def _make_identity(block: Block) -> None:
    """Make a block the identity on inputs that are not negative, exactly, in evaluation mode."""
    if block.shortcut is not None:
        norm = block.layers[-1].get_submodule("norm")
        assert isinstance(norm, nn.BatchNorm2d)
        nn.init.zeros_(norm.weight)
    for layer in _passing_on(block):
        nn.init.dirac_(layer.conv.weight)
        assert layer.norm.running_var is not None
        layer.norm.running_var.fill_(1 - layer.norm.eps)


def _passing_on(block: Block) -> list[ConvNorm]:
    """The layers of an added block that have to be the identity: all of a plain block's, the projection of a residual one's."""
    layers = block.layers if block.shortcut is None else (block.shortcut,)
    return [layer for layer in layers if isinstance(layer, ConvNorm)]


def added_blocks(deep: ResNet, shallow: ResNet) -> list[tuple[int, Block]]:
    """The blocks that `deep` has and `shallow` has not, each with the index of its stage."""
    return [
        (stage, block)
        for stage, (new, old) in enumerate(zip(deep.stages, shallow.stages, strict=True))
        for block in itertools.islice(new.children(), len(list(old.children())), None)
        if isinstance(block, Block)
    ]


@torch.no_grad()
def ready_to_train(deep: ResNet, shallow: ResNet, batches: Iterable[Batch]) -> ResNet:
    """A copy of the construction whose function hardly changes when it is switched to training mode.

    There BN normalises by the batch, and an added plain block, or projection, would be no identity. So its BN's weight and bias
    are set to standard deviation and mean of what it normalises, channel by channel, measured on `batches` while the shallower
    network is in training mode, and the moving averages to the same: in evaluation mode it is the identity up to rounding, in
    training mode up to how far a batch's statistics are from the measured ones. A residual block's branch is zero in both modes,
    and its shortcut of option A or B is the identity in both.
    """
    deep = copy.deepcopy(deep)
    added = [(stage, layer.norm) for stage, block in added_blocks(deep, shallow) for layer in _passing_on(block)]
    measured = stage_statistics(shallow, batches) if added else []
    for stage, norm in added:
        mean, variance = measured[stage]
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.bias.copy_(mean)
        norm.weight.copy_((variance + norm.eps).sqrt())
    return deep


@torch.no_grad()
def stage_statistics(net: ResNet, batches: Iterable[Batch]) -> list[Statistics]:
    """Mean and variance by channel of each stage's output in training mode, over all batches; the network is left as it is."""
    net = copy.deepcopy(net).train()
    outputs: list[Tensor] = []
    for each in net.stages:
        each.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    sums = [(torch.zeros(()).double(), torch.zeros(()).double()) for _ in net.stages]
    count = 0
    for images, _ in batches:
        outputs.clear()
        net(images)
        for stage, output in enumerate(map(in_float64, outputs)):
            mean, square = output.mean((0, 2, 3)), output.square().mean((0, 2, 3))
            sums[stage] = sums[stage][0] + len(images) * mean, sums[stage][1] + len(images) * square
        count += len(images)
    return [
        ((total / count).float(), (squares / count - (total / count).square()).clamp(min=0).float()) for total, squares in sums
    ]


@torch.no_grad()
def batch_noise(shallow: ResNet, deep: ResNet, batches: Iterable[Batch]) -> BatchNoise:
    """How far two networks are apart in training mode on the same batches; neither is changed."""
    shallow, deep = copy.deepcopy(shallow).train(), copy.deepcopy(deep).train()
    readings = []
    for images, labels in batches:
        ours, theirs = shallow(images), deep(images)
        ours, theirs = in_float64(ours), in_float64(theirs)
        difference, classes = ours - theirs, labels.to(ours.device)
        readings.append(
            torch.stack([
                difference.square().mean(), ours.square().mean(), difference.abs().max(),
                functional.cross_entropy(ours, classes), functional.cross_entropy(theirs, classes),
            ])
        )  # fmt: skip
    found = torch.stack(readings)
    squares, logits, _, shallow_loss, deep_loss = found.mean(0).tolist()
    return BatchNoise(
        batches=len(readings),
        rms_difference=squares**0.5,
        rms_logits=logits**0.5,
        max_difference=found[:, 2].max().item(),
        shallow_loss=shallow_loss,
        constructed_loss=deep_loss,
    )


@dataclass(frozen=True)
class Agreement:
    """Two networks on the same images in evaluation mode: numbers of images, and the largest difference of a logit."""

    images: int = 0
    wrong_left: int = 0
    wrong_right: int = 0
    changed: int = 0
    max_difference: float = 0.0


@torch.inference_mode()
def agreement(left: nn.Module, right: nn.Module, batches: Iterable[Batch]) -> Agreement:
    """Compare the logits `(N, num_classes)` of two networks, neither of which is changed."""
    left, right = copy.deepcopy(left).eval(), copy.deepcopy(right).eval()
    found = Agreement()
    for images, labels in batches:
        ours, theirs = left(images), right(images)
        ours_class, theirs_class = ours.argmax(1), theirs.argmax(1)
        found = Agreement(
            images=found.images + len(labels),
            wrong_left=found.wrong_left + int((ours_class != labels).sum()),
            wrong_right=found.wrong_right + int((theirs_class != labels).sum()),
            changed=found.changed + int((ours_class != theirs_class).sum()),
            max_difference=max(found.max_difference, float((ours - theirs).abs().max())),
        )
    return found
