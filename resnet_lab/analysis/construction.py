"""The existence argument of He et al. 2015, Sec. 1: a deeper network that computes the same function as a trained shallower one.

Blocks are added at the end of each stage, where shapes do not change. In a plain network an added block has Dirac kernels,
each followed by an identity BN; its ReLUs change nothing, since their inputs are already non-negative. In a residual network an
added block has a zero branch and an identity shortcut; a projection shortcut (option C) is set to the identity in the same way as
the layers of a plain block.
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
from resnet_lab.models.blocks import Block
from resnet_lab.models.layers import ConvNorm
from resnet_lab.models.resnet import ResNet, build

Batch = tuple[Tensor, Tensor]
Statistics = tuple[Tensor, Tensor]  # mean and variance by channel, each `(C,)`


def deepened(config: RunConfig, depth: int) -> RunConfig:
    """The config of the deeper network. Raises ConfigError if `depth` is invalid or not deeper, or if no construction exists."""
    model, reason = config.model, config.model.block_facts.why_not_identity
    if model.kind == "plain" and reason is not None:
        raise ConfigError(
            f"No construction exists for {config.name}: a plain {model.block} block cannot be the identity, because {reason}."
        )
    others = [f"model.{name} = {value}" for name, value in model.interventions.items() if name not in ("init", "span")]
    if others:
        raise ConfigError(f"No construction exists for {config.name} with {', '.join(others)}: only for the paper's networks.")
    if depth <= model.depth:
        raise ConfigError(
            f"--depth {depth} is not deeper than {config.name}: the construction goes from a shallower network to a deeper one."
        )
    settings = config.model_dump(mode="json")
    settings["model"]["depth"] = depth
    return load_run(json.dumps(settings), f"--depth {depth}")


def construct(shallow: ResNet, config: RunConfig, depth: int) -> ResNet:
    """Build the network of `depth` layers that computes the same function as `shallow` in evaluation mode, on the same device.

    `config` is the config of the shallower run. The branch of an added residual block is initialised as usual with the run's
    seed; only its last BN weight is zero. Raises ConfigError as `deepened` does.
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
    """Make a block the exact identity on non-negative inputs in evaluation mode."""
    if block.shortcut is not None:
        norm = block.layers[-1].get_submodule("norm")
        assert isinstance(norm, nn.BatchNorm2d)
        nn.init.zeros_(norm.weight)
    for layer in _identity_layers(block):
        nn.init.dirac_(layer.conv.weight)
        assert layer.norm.running_var is not None
        layer.norm.running_var.fill_(1 - layer.norm.eps)


def _identity_layers(block: Block) -> list[ConvNorm]:
    """The layers of an added block that must be the identity: all layers of a plain block, the projection of a residual one."""
    layers = block.layers if block.shortcut is None else (block.shortcut,)
    return [layer for layer in layers if isinstance(layer, ConvNorm)]


def added_blocks(deep: ResNet, shallow: ResNet) -> list[tuple[int, Block]]:
    """The blocks of `deep` that `shallow` lacks, each with the index of its stage."""
    return [
        (stage, block)
        for stage, (new, old) in enumerate(zip(deep.stages, shallow.stages, strict=True))
        for block in itertools.islice(new.children(), len(list(old.children())), None)
        if isinstance(block, Block)
    ]


@torch.no_grad()
def ready_to_train(deep: ResNet, shallow: ResNet, batches: Iterable[Batch]) -> ResNet:
    """A copy of the construction whose function hardly changes when it is switched to training mode.

    In training mode BN uses batch statistics, so an added plain block or projection would no longer be the identity. Its BN's
    weight and bias are therefore set to the standard deviation and mean of its input by channel, and so are the moving averages.
    They are measured on `batches` `(N, 3, H, W)` with the shallower network in training mode. The block is then the identity up
    to rounding in evaluation mode, and up to the deviation of the batch statistics in training mode. A residual block needs no
    change: its branch is zero and its shortcut (option A or B) the identity in both modes.
    """
    deep = copy.deepcopy(deep)
    norms = [(stage, layer.norm) for stage, block in added_blocks(deep, shallow) for layer in _identity_layers(block)]
    statistics = stage_statistics(shallow, batches) if norms else []
    for stage, norm in norms:
        mean, variance = statistics[stage]
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.bias.copy_(mean)
        norm.weight.copy_((variance + norm.eps).sqrt())
    return deep


@torch.no_grad()
def stage_statistics(net: ResNet, batches: Iterable[Batch]) -> list[Statistics]:
    """Mean and variance by channel of each stage's output in training mode, over all batches. Works on a copy of the network."""
    net = copy.deepcopy(net).train()
    outputs: list[Tensor] = []
    for module in net.stages:
        module.register_forward_hook(lambda module, inputs, output: outputs.append(output))
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
    """Compare the logits of two networks in training mode on the same batches. Works on copies of the networks.

    Raises ConfigError if they are not finite.
    """
    shallow, deep = copy.deepcopy(shallow).train(), copy.deepcopy(deep).train()
    rows = []
    for images, labels in batches:
        shallow_logits, deep_logits = in_float64(shallow(images)), in_float64(deep(images))
        difference, classes = shallow_logits - deep_logits, labels.to(shallow_logits.device)
        rows.append(
            torch.stack([
                difference.square().mean(), shallow_logits.square().mean(), difference.abs().max(),
                functional.cross_entropy(shallow_logits, classes), functional.cross_entropy(deep_logits, classes),
            ])
        )  # fmt: skip
    values = torch.stack(rows)
    if not values.isfinite().all():
        raise ConfigError("In training mode, the logits are not finite: analyse another run, or another step (--at).")
    squares, logits, _, shallow_loss, deep_loss = values.mean(0).tolist()
    return BatchNoise(
        batches=len(rows),
        rms_difference=squares**0.5,
        rms_logits=logits**0.5,
        max_difference=values[:, 2].max().item(),
        shallow_loss=shallow_loss,
        constructed_loss=deep_loss,
    )


@dataclass(frozen=True)
class Agreement:
    """Two networks compared on the same images in evaluation mode.

    Counts of images, of errors of each network, and of predictions that differ; and the largest absolute difference of a logit.
    """

    images: int = 0
    wrong_left: int = 0
    wrong_right: int = 0
    changed: int = 0
    max_difference: float = 0.0


@torch.inference_mode()
def agreement(left: nn.Module, right: nn.Module, batches: Iterable[Batch]) -> Agreement:
    """Compare the logits `(N, num_classes)` of two networks. Works on copies of the networks."""
    left, right = copy.deepcopy(left).eval(), copy.deepcopy(right).eval()
    total = Agreement()
    for images, labels in batches:
        left_logits, right_logits = left(images), right(images)
        left_class, right_class = left_logits.argmax(1), right_logits.argmax(1)
        total = Agreement(
            images=total.images + len(labels),
            wrong_left=total.wrong_left + int((left_class != labels).sum()),
            wrong_right=total.wrong_right + int((right_class != labels).sum()),
            changed=total.changed + int((left_class != right_class).sum()),
            max_difference=float((left_logits - right_logits).abs().max().clamp(min=total.max_difference)),  # NaN remains
        )
    return total
