"""The paper's recipe with its places, and how a config departs from it.

He et al. 2015, *Deep Residual Learning for Image Recognition*, arXiv 1512.03385.
"""

from collections.abc import Iterator
from typing import NamedTuple

from resnet_lab.config.blocks import BLOCKS, BlockType
from resnet_lab.config.schema import Milestones, ModelConfig, RecipeConfig, RunConfig


class Recipe(NamedTuple):
    """What the paper does on a data set; `milestones` is None where the lr is divided when the error plateaus."""

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


# Settings of a recipe whose departures have sentences of their own.
_WITH_A_SENTENCE = ("steps", "batch_size", "lr", "lr_factor", "momentum", "weight_decay", "schedule", "warmup")


def recipe_for(config: RunConfig) -> Recipe:
    """The paper's recipe that a config is to be compared with: that for ImageNet where the images are a folder's."""
    return IMAGENET if config.data.facts.is_folder else CIFAR10


# What every run here does in its own way, whatever its config.
ALWAYS = (
    "BN statistics for evaluation are moving averages (momentum 0.1); the authors' released models average over a large batch "
    "after training.",
    "Pixels are divided by 255 before the per-pixel mean is subtracted; the paper does not state a scale. The first layer is "
    "batch-normalised, so only the size of its weights is concerned.",
    "Weights of the final layer are drawn uniformly from +-1 / sqrt(fan-in), its biases are zero; the paper does not say.",
)
# And every run on images of 32x32 pixels, and every run on a folder of images.
ON_CIFAR = (
    "One process computes a whole batch; the paper splits its 128 images over two GPUs, so BN statistics there came from 64.",
)
ON_FOLDERS = (
    "One process computes a whole batch, and BN statistics come from all of it; the paper does not say over how many GPUs it "
    "splits its 256 images.",
    "The per-pixel mean and the principal components of colours are taken from 1,000 training images; the paper does not say "
    "from how many.",
    "Colours are shifted along their principal components by 0.1 of the standard deviation along each, the root of the "
    "eigenvalue; the source that the paper names (Krizhevsky et al. 2012, Sec. 4.1) multiplies by the eigenvalue itself, of "
    "pixels whose scale it does not say.",
    "When the lr is divided is decided by images held out of the training images; the paper does not say on which images.",
)


def always(config: RunConfig) -> tuple[str, ...]:
    """What every run on such images does in its own way."""
    return (ON_FOLDERS if recipe_for(config) is IMAGENET else ON_CIFAR) + ALWAYS


def departures(config: RunConfig) -> list[str]:
    """Where a config differs from the paper's recipe for its data, one sentence each; not those of `always`."""
    paper = recipe_for(config)
    return [*_images(config, paper), *_optimisation(config, paper), *_network(config.model, paper), *_low_lr_start(config, paper)]


def _images(config: RunConfig, paper: Recipe) -> Iterator[str]:
    data, of_imagenet = config.data, paper is IMAGENET
    if data.facts.departure is not None:
        yield data.facts.departure
    size = 224 if of_imagenet else 32
    if data.image_size != size:
        yield f"The network sees {data.image_size}x{data.image_size} pixels; the paper's {size}x{size}."
    if data.num_train != paper.train_images:
        every = f"{paper.train_images:,} of ImageNet" if of_imagenet else f"all {paper.train_images:,}"
        yield f"{data.num_train:,} images are trained on; the paper's final runs use {every}."
    if data.test_images != paper.test_images:
        yield f"The test error is measured on {data.test_images:,} images; the paper's on {paper.test_images:,}."
    if of_imagenet and config.evaluation.final_test_views != 10:
        yield "The test error is that of one view, the centre; the paper's tables have that of ten crops."


def _optimisation(config: RunConfig, paper: Recipe) -> Iterator[str]:
    recipe = config.recipe
    if recipe.steps != paper.steps:
        yield f"Training takes {recipe.steps:,} steps; the paper's takes {paper.steps:,}."
    if recipe.batch_size != paper.batch_size:
        yield f"The batch has {recipe.batch_size} images; the paper's has {paper.batch_size}."
    if recipe.lr != paper.lr:
        yield f"The lr starts at {recipe.lr:g}; the paper's starts at {paper.lr:g}."
    yield from _schedule(recipe, paper)
    if recipe.lr_factor != 0.1:
        yield f"A drop multiplies the lr by {recipe.lr_factor:g}; the paper's divides it by 10."
    if recipe.momentum != paper.momentum:
        yield f"Momentum is {recipe.momentum:g}; the paper's is {paper.momentum:g}."
    if recipe.weight_decay != paper.weight_decay:
        yield f"Weight decay is {recipe.weight_decay:g}; the paper's is {paper.weight_decay:g}."
    yield from _without_a_sentence(recipe)
    if config.compute.precision != "fp32":
        yield f"Arithmetic is {config.compute.precision}; the paper's is fp32."


def _without_a_sentence(recipe: RecipeConfig) -> Iterator[str]:
    """Settings that nothing else here speaks of, so that a new one never passes for the paper's."""
    for key, field in type(recipe).model_fields.items():
        value = getattr(recipe, key)
        if key not in _WITH_A_SENTENCE and value != field.default:
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
            places = " and ".join(f"{step:,}" for step in schedule.milestones)
            ours = f"The lr is multiplied by {recipe.lr_factor:g} at step {places}" if places else "The lr is constant"
            yield f"{ours}; {theirs}."
    elif paper.milestones is not None:
        yield (
            f"The lr is divided when the validation error has not improved for {schedule.patience} checks, {schedule.max_drops} "
            f"times at most; {theirs}."
        )


def _network(model: ModelConfig, paper: Recipe) -> Iterator[str]:
    if model.layout != paper.layout:
        yield (
            "The network is one of those for CIFAR-10 (Sec. 4.2); the paper's for ImageNet are of Table 1."
            if paper is IMAGENET
            else "The network is one of those for ImageNet (Table 1); the paper's for CIFAR-10 are of Sec. 4.2."
        )
    elif model.width != paper.width:
        yield f"The stem has {model.width} filters; the paper's has {paper.width}."
    if model.block not in paper.blocks:
        theirs = " or ".join(BLOCKS[block].plural for block in paper.blocks)
        yield f"Blocks are {model.block_facts.plural}; the paper's {paper.networks} networks have {theirs}."
    if paper is IMAGENET:
        yield from _imagenet_network(model) if model.layout == paper.layout else ()
        return
    if model.shortcut != "A":
        yield f"Shortcuts are of option {model.shortcut}; the paper's CIFAR networks have option A."


def _imagenet_network(model: ModelConfig) -> Iterator[str]:
    """Tables 2 and 3: option A at 18, all options at 34, option B with bottlenecks, which are residual alone."""
    if model.block == "bottleneck":
        if model.kind == "plain":
            yield "Blocks are bottlenecks without shortcuts; the paper's plain networks have basic blocks."
        elif model.shortcut != "B":
            yield f"Shortcuts are of option {model.shortcut}; the paper's networks of bottlenecks have option B."
        if model.stride_on != "1x1":
            yield "The stride is on the 3x3 layer of a bottleneck; the authors' released models have it on the first 1x1."
    elif model.depth < 34 and model.shortcut != "A":
        yield f"Shortcuts are of option {model.shortcut}; the paper's network of 18 layers has option A."


def _low_lr_start(config: RunConfig, paper: Recipe) -> Iterator[str]:
    low, depth = config.recipe.warmup, config.model.depth
    if paper is IMAGENET:
        if depth >= low.from_depth:
            yield f"Depth {low.from_depth} and up start with an lr of {low.lr:g}; the paper says so of CIFAR networks alone."
        return
    if depth >= low.from_depth and (low.lr, low.until_error) != (0.01, 0.8):
        until = f"{100 * low.until_error:g} %"
        yield f"The low-lr start takes {low.lr:g} until the error is below {until}; the paper's 0.01 and 80 %."
    if (depth >= low.from_depth) != (depth >= 110):
        yield f"The low-lr start is for depth {low.from_depth} and up; the paper's for 110."
