"""Durations of a config in epochs, percent and steps."""

import pytest

from resnet_lab.config.durations import to_steps
from resnet_lab.config.files import load_study
from resnet_lab.config.schema import Milestones, RunConfig


@pytest.mark.parametrize(
    ("written", "steps"),
    [
        (400, 400),
        ("400 steps", 400),
        ("3 epochs", 1056),
        ("0.5 epoch", 176),
        ("50 %", 32_000),
        ("12.5%", 8_000),
        ("5 weeks", None),
    ],
)
def test_durations_convert_to_steps(written, steps):
    assert to_steps(written, epoch_steps=352, total_steps=64_000) == steps


def test_every_duration_in_a_config_is_converted_to_steps():
    config = load_study(
        "paper",
        [
            "recipe.steps=2 epochs",
            "recipe.schedule.milestones=['50 %', '1.5 epochs']",
            "evaluation.every=25 %",
            "log.every=10 steps",
            "recipe.warmup.window=10 %",
        ],
    ).run(kind="plain", depth=20)
    assert config.epoch_steps == 391
    assert config.recipe.steps == 782
    assert config.recipe.schedule == Milestones(name="milestones", milestones=(391, 586))
    assert (config.evaluation.every, config.log.every, config.recipe.warmup.window) == (196, 10, 78)
    assert RunConfig.model_validate(config.model_dump(mode="json")) == config


def test_a_duration_shorter_than_one_step_becomes_one_step():
    config = load_study("quick", ["recipe.steps=5", "recipe.schedule.milestones=[2]"]).run(kind="plain", depth=20)
    assert config.evaluation.every == 1
