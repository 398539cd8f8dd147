"""The paper's training recipes, and the departures of a config from them.

He et al. 2015, *Deep Residual Learning for Image Recognition*, arXiv 1512.03385.
"""

from collections.abc import Iterator
from typing import NamedTuple

from resnet_lab.config.blocks import BLOCKS, BlockType
from resnet_lab.config.model import ModelConfig
from resnet_lab.config.schema import Milestones, RecipeConfig, RunConfig


class Recipe(NamedTuple):
    """The paper's recipe for a data set; `milestones` is None if the lr is divided when the error plateaus."""

    section: str
    networks: str
    layout: str
    blocks: tuple[BlockType, ...]
    width: int
    train_images: int
    test_images: int
    steps: int
    batch_size: int
    milestones: tuple[int, ...] | None
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4


CIFAR10 = Recipe("Sec. 4.2", "CIFAR", "cifar", ("basic",), 16, 50_000, 10_000, 64_000, 128, (32_000, 48_000))
IMAGENET = Recipe("Sec. 3.4", "ImageNet", "imagenet", ("basic", "bottleneck"), 64, 1_281_167, 50_000, 600_000, 256, None)


# Settings of a recipe whose departures are described by sentences of their own.
_DESCRIBED = ("steps", "batch_size", "lr", "lr_factor", "optimizer", "momentum", "weight_decay", "schedule", "warmup")


def recipe_for(config: RunConfig) -> Recipe:
    """The paper's recipe to compare a config with: ImageNet's for a folder of images, else CIFAR-10's."""
    return IMAGENET if config.data.facts.is_folder else CIFAR10


_FINAL_LAYER = (
    "Weights of the final layer are drawn uniformly from +-1 / sqrt(fan-in) and its biases are zero; the paper does not specify "
    "this initialisation."
)
# Departures of every run, whatever its config.
ALWAYS = (
    "BN statistics for evaluation are moving averages (momentum 0.1); the authors' released models average over a large batch "
    "after training.",
    "Pixels are divided by 255 before the per-pixel mean is subtracted; the paper does not state a scale.",
    "Batch normalisation follows the first layer, so the scale of the pixels affects only the scale of that layer's weights.",
    _FINAL_LAYER,
)
# Further departures of runs on a folder of images.
ON_FOLDERS = (
    "The per-pixel mean and the principal components of colour are estimated from 1,000 training images; the paper does not "
    "state how many it uses.",
    "Colours are shifted along their principal components by 0.1 standard deviations (the square roots of the eigenvalues); the "
    "source cited by the paper (Krizhevsky et al. 2012, Sec. 4.1) multiplies by the eigenvalues themselves, and does not state "
    "the scale of its pixels.",
    "The lr is divided according to the error on images held out from the training set; the paper does not state which images "
    "it uses.",
)
_ON_NORM = ("BN statistics", "Batch normalisation")  # how the sentences on batch normalisation begin


def always(config: RunConfig) -> tuple[str, ...]:
    """The departures of every run on images of this kind, one sentence each."""
    paper = recipe_for(config)
    sentences = (*_bn_statistics(config, paper), *(ON_FOLDERS if paper is IMAGENET else ()), *ALWAYS)
    if config.model.norm == "none":
        sentences = tuple(sentence for sentence in sentences if not sentence.startswith(_ON_NORM))
    return tuple(sentence for sentence in sentences if not (config.model.uses_fixup and sentence == _FINAL_LAYER))


def _bn_statistics(config: RunConfig, paper: Recipe) -> Iterator[str]:
    """The paper trains on CIFAR-10 with a mini-batch size of 128 on two GPUs (Sec. 4.2), so with BN statistics over 64 images."""
    batch_size, parts = config.recipe.batch_size, config.compute.statistics_parts
    num_images = batch_size // parts
    ours = (
        "BN statistics are computed over the whole batch"
        if parts == 1
        else f"BN statistics are computed over {num_images} of the batch's {batch_size} images"
    )
    if paper is IMAGENET:
        yield f"{ours}; the paper does not state over how many GPUs it splits its {paper.batch_size} images."
    elif num_images != 64:
        yield f"{ours}; the paper splits its {paper.batch_size} images over two GPUs, so its BN statistics are over 64 images."


def departures(config: RunConfig) -> list[str]:
    """The departures of a config from the paper's recipe for its data, one sentence each, without those of `always`."""
    paper = recipe_for(config)
    return [*_images(config, paper), *_optimisation(config, paper), *_network(config.model, paper), *_warmup(config, paper)]


def _images(config: RunConfig, paper: Recipe) -> Iterator[str]:
    data, of_imagenet = config.data, paper is IMAGENET
    if data.facts.departure is not None:
        yield data.facts.departure
    size = 224 if of_imagenet else 32
    if data.image_size != size:
        yield f"The network's input has {data.image_size}x{data.image_size} pixels; the paper's has {size}x{size}."
    if data.num_train != paper.train_images:
        theirs = f"{paper.train_images:,} of ImageNet" if of_imagenet else f"all {paper.train_images:,}"
        yield f"{data.num_train:,} images are used for training; the paper's final runs use {theirs}."
    if data.test_images != paper.test_images:
        yield f"The test error is measured on {data.test_images:,} images; the paper's is measured on {paper.test_images:,}."
    if of_imagenet and config.evaluation.final_test_views != 10:
        yield "The test error is measured on the centre crop; the paper's tables report ten-crop testing."


def _optimisation(config: RunConfig, paper: Recipe) -> Iterator[str]:
    recipe = config.recipe
    if recipe.steps != paper.steps:
        yield f"Training takes {recipe.steps:,} steps; the paper's takes {paper.steps:,}."
    if recipe.batch_size != paper.batch_size:
        yield f"The batch has {recipe.batch_size} images; the paper's has {paper.batch_size}."
    if recipe.optimizer != "sgd":
        name = {"adamw": "AdamW", "muon": "Muon, with AdamW for all parameters but convolutions"}[recipe.optimizer]
        yield f"The optimiser is {name}, with decoupled weight decay; the paper's is SGD with momentum."
    if recipe.lr != paper.lr:
        yield f"The lr starts at {recipe.lr:g}; the paper's starts at {paper.lr:g}."
    yield from _schedule(recipe, paper)
    if recipe.lr_factor != 0.1:
        yield f"Each drop multiplies the lr by {recipe.lr_factor:g}; the paper's divides it by 10."
    if recipe.momentum != paper.momentum:
        yield f"Momentum is {recipe.momentum:g}; the paper's is {paper.momentum:g}."
    if recipe.weight_decay != paper.weight_decay:
        yield f"Weight decay is {recipe.weight_decay:g}; the paper's is {paper.weight_decay:g}."
    yield from _undescribed(recipe)
    if config.compute.precision != "fp32":
        yield f"Arithmetic is {config.compute.precision}; the paper's is fp32."


def _undescribed(recipe: RecipeConfig) -> Iterator[str]:
    """A generic sentence for every other setting that differs from its default, so that no new setting goes unreported."""
    for key, field in type(recipe).model_fields.items():
        value = getattr(recipe, key)
        if key not in _DESCRIBED and value != field.default:
            yield f"recipe.{key} is {value}; the paper's recipe has {field.default}."


def _schedule(recipe: RecipeConfig, paper: Recipe) -> Iterator[str]:
    schedule = recipe.schedule
    theirs = (
        "the paper's is divided when the error plateaus"
        if paper.milestones is None
        else f"the paper's is divided by 10 at {' and '.join(f'{step:,}' for step in paper.milestones)} steps"
    )
    if isinstance(schedule, Milestones):
        if schedule.milestones != paper.milestones:
            drops = " and ".join(f"{step:,}" for step in schedule.milestones)
            ours = f"The lr is multiplied by {recipe.lr_factor:g} at step {drops}" if drops else "The lr is constant"
            yield f"{ours}; {theirs}."
    elif paper.milestones is not None:
        yield (
            f"The lr is divided when the validation error has not improved for {schedule.patience} checks, at most "
            f"{schedule.max_drops} times; {theirs}."
        )


def _network(model: ModelConfig, paper: Recipe) -> Iterator[str]:
    if model.layout != paper.layout:
        yield (
            "The network has the CIFAR layout (Sec. 4.2); the paper's ImageNet networks have that of Table 1."
            if paper is IMAGENET
            else "The network has the ImageNet layout (Table 1); the paper's CIFAR networks have that of Sec. 4.2."
        )
    elif model.width != paper.width:
        yield f"The stem has {model.width} filters; the paper's has {paper.width}."
    yield from _interventions(model)
    if model.block not in paper.blocks:
        theirs = " or ".join(BLOCKS[block].plural for block in paper.blocks)
        yield f"Blocks are {model.block_facts.plural}; the paper's {paper.networks} networks use {theirs}."
    if paper is IMAGENET:
        yield from _imagenet_network(model) if model.layout == paper.layout else ()
        return
    if model.shortcut != "A":
        yield f"Shortcuts are option {model.shortcut}; the paper's CIFAR networks use option A."


def _interventions(model: ModelConfig) -> Iterator[str]:
    """Settings that change the paper's network; see docs/interventions.md."""
    num_blocks = sum(model.stages)
    branch_scale = {
        1: "",
        "1/sqrt(blocks)": f"1 / sqrt({num_blocks}), with {num_blocks} the number of blocks",
        "learnable": "a learnable scalar that starts at 0, one more parameter per block",
    }[model.branch_scale]
    order = {
        "original": "",
        "preactivation": "Batch normalisation and ReLU precede each convolution of a block",
        "bn-after-addition": "The last batch normalisation of a block follows the addition",
        "relu-before-addition": "The last ReLU of a block precedes the addition",
    }[model.order]
    fixup = ", and initial weights are rescaled as in Fixup" if model.uses_fixup else ""
    init = {
        "he": "",
        "dirac": "the identity where they keep the shape, and from He initialisation elsewhere",
        "orthogonal": "orthogonal matrices at the centre of their kernels (delta-orthogonal)",
    }[model.init]
    sentences = {
        "shortcut_scale": f"Shortcuts are multiplied by {model.shortcut_scale:g}; the paper's are not scaled.",
        "branch_scale": f"The branch of each block is multiplied by {branch_scale}; the paper's are not scaled.",
        "order": f"{order} (He et al. 2016); in the paper, each convolution is followed by batch normalisation, the addition and "
        "ReLU, in this order.",
        "span": f"Blocks have {model.span} layer{'s' if model.span > 1 else ''}; the paper's have 2.",
        "init": f"Convolutions start from {init}; the paper's start from He initialisation.",
        "norm": f"There is no batch normalisation, but learnable scalars{fixup}; the paper's networks have batch normalisation.",
        "activation_slope": f"The activation is leaky ReLU with slope {model.activation_slope:g}; the paper's is ReLU.",
    }
    return (sentences[name] for name in model.interventions)


def _imagenet_network(model: ModelConfig) -> Iterator[str]:
    """Tables 2 and 3: option A at depth 18, all options at 34, option B with bottlenecks, which are always residual."""
    if model.block == "bottleneck":
        if model.kind == "plain":
            yield "Blocks are bottlenecks without shortcuts; the paper's plain networks use basic blocks."
        elif model.shortcut != "B":
            yield f"Shortcuts are option {model.shortcut}; the paper's bottleneck networks use option B."
        if model.stride_on != "1x1":
            yield "Bottlenecks have the stride on the 3x3 layer; the authors' released models have it on the first 1x1 layer."
    elif model.depth < 34 and model.shortcut != "A":
        yield f"Shortcuts are option {model.shortcut}; the paper's 18-layer network uses option A."


def _warmup(config: RunConfig, paper: Recipe) -> Iterator[str]:
    warmup, depth = config.recipe.warmup, config.model.depth
    if paper is IMAGENET:
        if depth >= warmup.from_depth:
            yield (
                f"Networks of depth {warmup.from_depth} and above are warmed up at lr {warmup.lr:g}; the paper warms up only "
                "CIFAR networks."
            )
        return
    if depth >= warmup.from_depth and (warmup.lr, warmup.until_error) != (0.01, 0.8):
        until = f"{100 * warmup.until_error:g} %"
        yield f"Warm-up uses lr {warmup.lr:g} until the training error is below {until}; the paper uses 0.01 and 80 %."
    if depth >= warmup.from_depth and warmup.lr > config.recipe.lr:
        yield f"Warm-up raises the lr, from {config.recipe.lr:g} to {warmup.lr:g}; the paper's lowers it from 0.1 to 0.01."
    if (depth >= warmup.from_depth) != (depth >= 110):
        yield f"Warm-up applies from depth {warmup.from_depth}; the paper's applies to depth 110."
