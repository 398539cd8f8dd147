"""The paper's recipe with its places, and how a config departs from it.

He et al. 2015, *Deep Residual Learning for Image Recognition*, arXiv 1512.03385.
"""

from typing import NamedTuple

from resnet_lab.config import Milestones, RunConfig


class Recipe(NamedTuple):
    """What the paper does on a data set; `milestones` is None where the lr is divided when the error plateaus."""

    section: str
    layout: str
    width: int
    train_images: int
    test_images: int
    steps: int
    batch_size: int
    milestones: tuple[int, ...] | None
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4


CIFAR10 = Recipe("Sec. 4.2", "cifar", 16, 50_000, 10_000, 64_000, 128, (32_000, 48_000))
IMAGENET = Recipe("Sec. 3.4", "imagenet", 64, 1_281_167, 50_000, 600_000, 256, None)


def recipe_for(config: RunConfig) -> Recipe:
    """The paper's recipe that a config is to be compared with: that for ImageNet where the images are a folder's."""
    return IMAGENET if config.data.dataset == "folder" else CIFAR10


# What every run here does in its own way, whatever its config.
ALWAYS = (
    "One process computes a whole batch; the paper splits its 128 images over two GPUs, so BN statistics there came from 64.",
    "BN statistics for evaluation are moving averages (momentum 0.1); the authors' released models average over a large batch "
    "after training.",
    "Pixels are divided by 255 before the per-pixel mean is subtracted; the paper does not state a scale. The first layer is "
    "batch-normalised, so only the size of its weights is concerned.",
    "Weights of the final layer are drawn uniformly from +-1 / sqrt(fan-in), its biases are zero; the paper does not say.",
)


# And every run on a folder of images.
ON_FOLDERS = (
    "The per-pixel mean and the principal components of colours are taken from 1,000 training images; the paper does not say "
    "from how many.",
    "Colours are shifted along their principal components by 0.1 of the standard deviation along each; the source that the paper "
    "names (Krizhevsky et al. 2012, Sec. 4.1) leaves the scale of the pixels open.",
    "When the lr is divided is decided by images held out of the training images; the paper does not say on which images.",
)


def departures(config: RunConfig) -> list[str]:
    """Where a config differs from the paper's recipe for its data, one sentence each; not those of ALWAYS and ON_FOLDERS."""
    data, recipe, model, paper = config.data, config.recipe, config.model, recipe_for(config)
    low, warms_up = recipe.warmup, config.model.depth >= config.recipe.warmup.from_depth
    on_cifar = paper is CIFAR10
    images, other_images = {
        "synthetic": (True, "The images are the synthetic stand-in, not CIFAR-10: no number here compares with the paper's."),
        "cifar100": (True, "The images are those of CIFAR-100, on which the paper does not report."),
        "folder": (
            True,
            "The images are those of a folder: numbers compare with the paper's only where they are ImageNet's of 2012.",
        ),
    }.get(data.dataset, (False, ""))
    every = f"all {paper.train_images:,}" if on_cifar else f"{paper.train_images:,} of ImageNet"
    size = 32 if on_cifar else 224
    found = [
        (images, other_images),
        (data.image_size != size, f"The network sees {data.image_size}x{data.image_size} pixels; the paper's {size}x{size}."),
        (
            data.num_train != paper.train_images,
            f"{data.num_train:,} images are trained on; the paper's final runs use {every}.",
        ),
        (
            data.test_images != paper.test_images,
            f"The test error is measured on {data.test_images:,} images; the paper's on {paper.test_images:,}.",
        ),
        (
            not on_cifar and config.evaluation.final_test_views != 10,
            "The test error is that of one view, the centre; the paper's tables have that of ten crops.",
        ),
        (recipe.steps != paper.steps, f"Training takes {recipe.steps:,} steps; the paper's takes {paper.steps:,}."),
        (recipe.batch_size != paper.batch_size, f"The batch has {recipe.batch_size} images; the paper's has {paper.batch_size}."),
        (recipe.lr != paper.lr, f"The lr starts at {recipe.lr:g}; the paper's starts at {paper.lr:g}."),
        _schedule_departure(config, paper),
        (recipe.lr_factor != 0.1, f"A drop multiplies the lr by {recipe.lr_factor:g}; the paper's divides it by 10."),
        (recipe.momentum != paper.momentum, f"Momentum is {recipe.momentum:g}; the paper's is {paper.momentum:g}."),
        (
            recipe.weight_decay != paper.weight_decay,
            f"Weight decay is {recipe.weight_decay:g}; the paper's is {paper.weight_decay:g}.",
        ),
        (
            model.layout != paper.layout,
            "The network is one of those for ImageNet (Table 1); the paper's for CIFAR-10 are of Sec. 4.2."
            if on_cifar
            else "The network is one of those for CIFAR-10 (Sec. 4.2); the paper's for ImageNet are of Table 1.",
        ),
        (on_cifar and model.block != "basic", "Blocks are bottlenecks; the paper's CIFAR networks have basic blocks."),
        (
            on_cifar and model.shortcut != "A",
            f"Shortcuts are of option {model.shortcut}; the paper's CIFAR networks have option A.",
        ),
        (
            model.layout == paper.layout and model.width != paper.width,
            f"The stem has {model.width} filters; the paper's has {paper.width}.",
        ),
        (
            on_cifar and warms_up and (low.lr, low.until_error) != (0.01, 0.8),
            f"The low-lr start takes {low.lr:g} until the error is below {100 * low.until_error:g} %; the paper's 0.01 and 80 %.",
        ),
        (
            on_cifar and warms_up != (model.depth >= 110),
            f"The low-lr start is for depth {low.from_depth} and up; the paper's for 110.",
        ),
        (
            not on_cifar and warms_up,
            f"Depth {low.from_depth} and up start with an lr of {low.lr:g}; the paper says so of CIFAR networks alone.",
        ),
        (config.compute.precision != "fp32", f"Arithmetic is {config.compute.precision}; the paper's is fp32."),
    ]
    return [sentence for differs, sentence in found if differs]


def _schedule_departure(config: RunConfig, paper: Recipe) -> tuple[bool, str]:
    schedule = config.recipe.schedule
    theirs = (
        "the paper's is divided when the error plateaus"
        if paper.milestones is None
        else f"the paper's is divided by 10 at {' and '.join(f'{step:,}' for step in paper.milestones)} steps"
    )
    if isinstance(schedule, Milestones):
        places = " and ".join(f"{step:,}" for step in schedule.milestones)
        ours = f"The lr is multiplied by {config.recipe.lr_factor:g} at step {places}" if places else "The lr is constant"
        return schedule.milestones != paper.milestones, f"{ours}; {theirs}."
    return paper.milestones is not None, (
        f"The lr is divided when the validation error has not improved for {schedule.patience} checks, {schedule.max_drops} "
        f"times at most; {theirs}."
    )
