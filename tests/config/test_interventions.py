"""Settings that change the paper's network: the identity of runs, departures, and where they do not apply."""

import pytest

from resnet_lab.config.files import load_study
from resnet_lab.config.model import INTERVENTIONS
from resnet_lab.config.paper import always, departures
from resnet_lab.errors import ConfigError

RESIDUAL = load_study("paper").run(kind="residual", depth=56)
VALUES = {
    "shortcut_scale": [0.0, 0.5],
    "branch_scale": ["1/sqrt(blocks)", "learnable"],
    "order": ["preactivation", "bn-after-addition", "relu-before-addition"],
    "span": [1, 3],
    "init": ["dirac", "orthogonal"],
    "norm": ["none"],
    "activation_slope": [0.01, 1.0],
}


def residual(*overrides):
    return load_study("paper", [f"model.{override}" for override in overrides]).run(kind="residual", depth=56)


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in VALUES.items() for value in values])
def test_each_setting_is_part_of_the_identity_and_one_departure(name, value, cli):
    changed = residual(f"{name}={value}")
    assert changed.digest() != RESIDUAL.digest()
    assert changed.recipe_digest() != RESIDUAL.recipe_digest()
    assert changed.model.interventions == {name: value}
    assert len(departures(changed)) == len(departures(RESIDUAL)) + 1


def test_the_paper_has_no_interventions():
    assert set(VALUES) == set(INTERVENTIONS)
    assert RESIDUAL.model.interventions == {}
    assert RESIDUAL.digest() == "ae33c642fa6289df09f2e875943aa3d90a3a2c1a9f887470f32d01509e86a46b"


@pytest.mark.parametrize(
    ("kind", "overrides", "sentence"),
    [
        ("plain", ["shortcut_scale=0.5"], "model.shortcut_scale: does not apply to a plain network, which has no shortcuts"),
        ("plain", ["branch_scale=learnable"], "model.branch_scale: does not apply to a plain network, which has no shortcuts"),
        ("residual", ["span=4"], "model.span: input should be 1, 2 or 3, got 4."),
        ("residual", ["span=3", "block=bottleneck"], "model.span: does not apply to bottleneck blocks, which have 3 layers"),
        ("residual", ["norm=none", "shortcut=B"], "model.shortcut: projections need batch normalisation: choose option A"),
        (
            "residual",
            ["norm=none", "order=preactivation"],
            "model.order: does not apply to a network without batch normalisation",
        ),
        ("residual", ["norm=none", "init=dirac"], "model.init: does not apply with Fixup's initial weights"),
        ("plain", ["order=bn-after-addition"], "model.order: bn-after-addition does not apply to a plain network"),
        ("plain", ["order=relu-before-addition"], "model.order: relu-before-addition does not apply to a plain network"),
        ("residual", ["activation_slope=-0.1"], "model.activation_slope: input should be greater than or equal to 0, got -0.1."),
        ("residual", ["shortcut_scale=1.5"], "model.shortcut_scale: input should be less than or equal to 1, got 1.5."),
        ("residual", ["branch_scale=2"], "model.branch_scale: input should be 1, '1/sqrt(blocks)' or 'learnable', got 2."),
        (
            "residual",
            ["shortcut_scale=0", "branch_scale=learnable"],
            "model.branch_scale: does not apply to a network without shortcuts: set model.shortcut_scale above 0.",
        ),
    ],
)
def test_a_setting_that_does_not_apply_is_refused_with_one_sentence(kind, overrides, sentence):
    study = load_study("paper", [f"model.{override}" for override in overrides])
    with pytest.raises(ConfigError) as caught:
        study.run(kind=kind, depth=56)
    assert str(caught.value).startswith(f"--set: {sentence}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("depth", "span", "sentence"),
    [
        (32, 3, "Depth 32 is not of the form 9n+2 (n blocks of 3 layers per stage); nearest valid: 29 and 38."),
        (21, 1, "Depth 21 is not of the form 3n+2 (n blocks of 1 layer per stage); nearest valid: 20 and 23."),
    ],
)
def test_a_depth_that_the_span_does_not_divide_is_refused(depth, span, sentence):
    with pytest.raises(ConfigError) as caught:
        load_study("paper", [f"model.span={span}"]).run(kind="plain", depth=depth)
    assert str(caught.value) == sentence


def test_blocks_of_three_layers_are_not_those_of_table_1():
    with pytest.raises(ConfigError, match=r"model\.span: does not apply to the imagenet layout"):
        load_study("paper", ["model.span=3"]).run(kind="plain", depth=18, layout="imagenet")


def test_departures_on_batch_normalisation_are_those_of_networks_that_have_it():
    usual, without = (" ".join(always(residual(*overrides))) for overrides in ([], ["norm=none"]))
    for words in ("BN statistics", "Batch normalisation follows", "Weights of the final layer"):
        assert words in usual
        assert words not in without
    assert "Pixels are divided by 255" in without


def test_summary_names_the_settings(cli):
    answer = cli("summary", "--depth", 20, "--residual", "--set", "model.shortcut_scale=0.5")
    assert "residual network of depth 20 (shortcut_scale = 0.5)" in answer.err
    more = cli("summary", "--depth", 20, "--pair", "--set", "model.branch_scale=learnable")
    assert "9 more parameters and 0 more multiply-adds, due to projections or learnable scales" in more.err
