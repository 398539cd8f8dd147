"""The learning rate as a pure function of the recipe, the step and a small state that measurements move.

He et al. 2015: divided by 10 when the error plateaus (Sec. 3.4) or at 32k and 48k steps (Sec. 4.2); very deep nets start
at 0.01 until the training error is below 80 % (Sec. 4.2).
"""

import math
from dataclasses import dataclass, replace

from resnet_lab.config.schema import Milestones, Plateau, RecipeConfig


@dataclass(frozen=True)
class ScheduleState:
    """What has been measured so far. `warming_up`: the low-lr start has not ended; `drops`: divisions by a plateau."""

    warming_up: bool
    drops: int = 0
    best_error: float = math.inf
    checks_since_best: int = 0


def start(recipe: RecipeConfig, depth: int) -> ScheduleState:
    """The state before the first step; nets of `recipe.warmup.from_depth` layers and more start low."""
    return ScheduleState(warming_up=depth >= recipe.warmup.from_depth)


def lr_at(recipe: RecipeConfig, state: ScheduleState, step: int) -> float:
    """The lr of the update that follows `step` updates: the drop at milestone 32,000 acts on step 32,000, the 32,001st."""
    if state.warming_up:
        return recipe.warmup.lr
    drops = state.drops
    if isinstance(recipe.schedule, Milestones):
        drops = sum(milestone <= step for milestone in recipe.schedule.milestones)
    return recipe.lr * recipe.lr_factor**drops


def after_warmup_window(recipe: RecipeConfig, state: ScheduleState, training_error: float) -> ScheduleState:
    """End the low-lr start once the measured training error is low enough; the lr is then the recipe's own."""
    return replace(state, warming_up=state.warming_up and training_error >= recipe.warmup.until_error)


def after_check(plateau: Plateau, state: ScheduleState, validation_error: float) -> ScheduleState:
    """Count a check of the validation error; `patience` checks without a new best divide the lr, `max_drops` times at most."""
    if state.warming_up:
        return state
    if validation_error < state.best_error:
        return replace(state, best_error=validation_error, checks_since_best=0)
    waited = state.checks_since_best + 1
    if waited >= plateau.patience and state.drops < plateau.max_drops:
        return replace(state, drops=state.drops + 1, checks_since_best=0)
    return replace(state, checks_since_best=waited)
