"""The learning rate: milestones, plateau and warm-up."""

import pytest

from resnet_lab.config.schema import Milestones, Plateau, RecipeConfig, Warmup
from resnet_lab.train.schedule import after_check, after_warmup_window, lr_at, start

PAPER = RecipeConfig(schedule=Milestones(name="milestones", milestones=(32_000, 48_000)))


@pytest.mark.parametrize(
    ("step", "lr"), [(0, 0.1), (31_999, 0.1), (32_000, 0.01), (47_999, 0.01), (48_000, 0.001), (63_999, 0.001)]
)
def test_the_papers_lr_drops_exactly_at_its_milestones(step, lr):
    assert lr_at(PAPER, start(PAPER, depth=56), step) == pytest.approx(lr, rel=1e-12)


def test_plateau_divides_the_lr_after_patience_checks_and_at_most_twice():
    plateau = Plateau(every=100, patience=2, max_drops=2)
    recipe = RecipeConfig(schedule=plateau)
    state, lrs = start(recipe, depth=20), []
    for error in [0.5, 0.4, 0.4, 0.41, 0.39, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4]:
        state = after_check(plateau, state, error)
        lrs.append(lr_at(recipe, state, 0))
    assert lrs == pytest.approx([0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.001, 0.001, 0.001, 0.001, 0.001])


def test_patience_restarts_after_a_drop_of_the_lr():
    plateau = Plateau(every=100, patience=3, max_drops=2)
    recipe = RecipeConfig(schedule=plateau)
    state, lrs = start(recipe, depth=56), []
    for error in [0.5, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4]:
        state = after_check(plateau, state, error)
        lrs.append(lr_at(recipe, state, 0))
    assert lrs == pytest.approx([0.1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.001])


def test_warmup_ends_once_the_training_error_is_low_enough():
    state = start(PAPER, depth=110)
    assert lr_at(PAPER, state, 0) == 0.01
    state = after_warmup_window(PAPER, state, 0.85)
    assert lr_at(PAPER, state, 10_000) == 0.01
    state = after_warmup_window(PAPER, state, 0.79)
    assert lr_at(PAPER, state, 400) == 0.1
    assert lr_at(PAPER, state, 32_000) == pytest.approx(0.01)
    assert lr_at(PAPER, after_warmup_window(PAPER, state, 0.9), 400) == 0.1  # warm-up does not start again
    assert not start(PAPER, depth=56).warming_up


def test_plateau_checks_during_warmup_do_not_divide_the_lr():
    plateau = Plateau(every=1, patience=1)
    recipe = RecipeConfig(schedule=plateau)
    state = start(recipe, depth=110)
    for _ in range(5):
        state = after_check(plateau, state, 0.9)
    assert state.drops == 0


def test_warmup_settings_set_the_initial_lr_and_the_least_depth():
    recipe = RecipeConfig(schedule=Milestones(name="milestones"), warmup=Warmup(from_depth=20, lr=0.003))
    assert lr_at(recipe, start(recipe, 20), 0) == 0.003
    assert lr_at(recipe, start(recipe, 14), 0) == 0.1
