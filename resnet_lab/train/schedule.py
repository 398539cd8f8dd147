"""The learning rate as a pure function of the recipe, the step, and a small state updated by measured errors.

He et al. 2015: the lr is divided by 10 when the error plateaus (Sec. 3.4) or at 32k and 48k steps (Sec. 4.2); very deep
networks are warmed up at 0.01 until the training error is below 80 % (Sec. 4.2).
"""

import math
from dataclasses import dataclass, replace

from resnet_lab.config.schema import Milestones, Plateau, RecipeConfig


@dataclass(frozen=True)
class ScheduleState:
    """The schedule's state. `drops` counts the divisions of the lr by a plateau schedule."""

    warming_up: bool
    drops: int = 0
    best_error: float = math.inf
    checks_since_best: int = 0


def start(recipe: RecipeConfig, depth: int) -> ScheduleState:
    """The state before the first step; networks of depth `recipe.warmup.from_depth` or more are warmed up."""
    return ScheduleState(warming_up=depth >= recipe.warmup.from_depth)


def lr_at(recipe: RecipeConfig, state: ScheduleState, step: int) -> float:
    """The lr of the update after `step` updates; a drop at milestone 32,000 first applies to the 32,001st update."""
    if state.warming_up:
        return recipe.warmup.lr
    drops = state.drops
    if isinstance(recipe.schedule, Milestones):
        drops = sum(milestone <= step for milestone in recipe.schedule.milestones)
    return recipe.lr * recipe.lr_factor**drops


def after_warmup_window(recipe: RecipeConfig, state: ScheduleState, training_error: float) -> ScheduleState:
    """End the warm-up once the training error (a fraction) of a window is below `recipe.warmup.until_error`."""
    return replace(state, warming_up=state.warming_up and training_error >= recipe.warmup.until_error)


def after_check(plateau: Plateau, state: ScheduleState, validation_error: float) -> ScheduleState:
    """Update the plateau state with a validation error; after `patience` checks without a new best the lr is divided.

    That happens at most `max_drops` times, and not during warm-up.
    """
    if state.warming_up:
        return state
    if validation_error < state.best_error:
        return replace(state, best_error=validation_error, checks_since_best=0)
    checks = state.checks_since_best + 1
    if checks >= plateau.patience and state.drops < plateau.max_drops:
        return replace(state, drops=state.drops + 1, checks_since_best=0)
    return replace(state, checks_since_best=checks)
