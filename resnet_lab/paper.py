"""The paper's recipe with its places, and how a config departs from it.

He et al. 2015, *Deep Residual Learning for Image Recognition*, arXiv 1512.03385.
"""

from resnet_lab.config import Milestones, RunConfig

# Sec. 4.2
STEPS = 64_000
MILESTONES = (32_000, 48_000)
BATCH_SIZE = 128
LR = 0.1
MOMENTUM = 0.9
WEIGHT_DECAY = 1e-4
WIDTH = 16


# What every run here does in its own way, whatever its config.
ALWAYS = (
    "One process computes a whole batch; the paper splits its 128 images over two GPUs, so BN statistics there came from 64.",
    "BN statistics for evaluation are moving averages (momentum 0.1); the authors' released models average over a large batch "
    "after training.",
    "Pixels are divided by 255 before the per-pixel mean is subtracted; the paper does not state a scale. The first layer is "
    "batch-normalised, so only the size of its weights is concerned.",
    "Weights of the final layer are drawn uniformly from +-1 / sqrt(fan-in), its biases are zero; the paper does not say.",
)


def departures(config: RunConfig) -> list[str]:
    """Where a config differs from the paper's recipe (Sec. 4.2), one sentence each; not those of ALWAYS."""
    data, recipe, found = config.data, config.recipe, []

    def note(differs: bool, sentence: str) -> None:
        if differs:
            found.append(sentence)

    note(
        data.dataset != "cifar10",
        "The images are the synthetic stand-in, not CIFAR-10: no number here compares with the paper's.",
    )
    note(data.num_train != 50_000, f"{data.num_train:,} images are trained on; the paper's final runs use all 50,000.")
    note(data.test_images != 10_000, f"The test error is measured on {data.test_images:,} of the 10,000 test images.")
    note(recipe.steps != STEPS, f"Training takes {recipe.steps:,} steps; the paper's takes 64,000.")
    note(recipe.batch_size != BATCH_SIZE, f"The batch has {recipe.batch_size} images; the paper's has 128.")
    note(recipe.lr != LR, f"The lr starts at {recipe.lr:g}; the paper's starts at 0.1.")
    schedule = recipe.schedule
    if isinstance(schedule, Milestones):
        places = " and ".join(f"{step:,}" for step in schedule.milestones)
        note(
            schedule.milestones != MILESTONES,
            f"The lr is multiplied by {recipe.lr_factor:g} at step {places}; the paper's at 32,000 and 48,000."
            if places
            else "The lr is constant; the paper's is divided by 10 at 32,000 and 48,000 steps.",
        )
    else:
        note(
            True,
            f"The lr is divided when the validation error has not improved for {schedule.patience} checks, {schedule.max_drops} "
            "times at most; the paper's CIFAR runs divide it at 32,000 and 48,000 steps.",
        )
    note(recipe.lr_factor != 0.1, f"A drop multiplies the lr by {recipe.lr_factor:g}; the paper's divides it by 10.")
    note(recipe.momentum != MOMENTUM, f"Momentum is {recipe.momentum:g}; the paper's is 0.9.")
    note(recipe.weight_decay != WEIGHT_DECAY, f"Weight decay is {recipe.weight_decay:g}; the paper's is 0.0001.")
    model = config.model
    note(model.layout != "cifar", "The network is one of those for ImageNet (Table 1); the paper's for CIFAR-10 are of Sec. 4.2.")
    note(model.block != "basic", "Blocks are bottlenecks; the paper's CIFAR networks have basic blocks.")
    note(model.shortcut != "A", f"Shortcuts are of option {model.shortcut}; the paper's CIFAR networks have option A.")
    width = WIDTH if model.layout == "cifar" else 64
    note(model.width != width, f"The stem has {model.width} filters; the paper's has {width}.")
    low = recipe.warmup
    warms_up = config.model.depth >= low.from_depth
    note(
        warms_up and (low.lr, low.until_error) != (0.01, 0.8),
        f"The low-lr start takes {low.lr:g} until the error is below {100 * low.until_error:g} %; the paper's 0.01 and 80 %.",
    )
    note(
        warms_up != (config.model.depth >= 110),
        f"The low-lr start is for depth {low.from_depth} and up; the paper's for 110.",
    )
    note(config.compute.precision != "fp32", f"Arithmetic is {config.compute.precision}; the paper's is fp32.")
    return found
