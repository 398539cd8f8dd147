"""The runs of a sweep that varies settings: which ones, their names, and the messages about wrong ones."""

import pytest

from resnet_lab.config.files import load_run, load_study
from resnet_lab.config.schema import RunConfig
from resnet_lab.config.varied import folder_name, label, short
from resnet_lab.errors import ConfigError
from resnet_lab.sweep.grid import expand
from tests.reliability.strategies import SETTINGS

BASE = ["plain-8-s0", "residual-8-s0", "plain-14-s0", "residual-14-s0"]


def varied(*overrides):
    """The names of the runs with varied settings of the preset smoke, depth 8 and 14."""
    names = [config.name for config in expand(load_study("smoke", overrides))]
    assert names[:4] == BASE
    return names[4:]


def test_the_deepest_network_of_each_kind_gets_each_value():
    assert varied('sweep.vary={"recipe.lr" = [0.03, 1]}') == [
        "plain-14-lr=0.03-s0", "residual-14-lr=0.03-s0", "plain-14-lr=1-s0", "residual-14-lr=1-s0"
    ]  # fmt: skip
    assert varied("sweep.vary.recipe.lr=[0.03]", "sweep.kinds=['plain', 'residual']") == [
        "plain-14-lr=0.03-s0", "residual-14-lr=0.03-s0"
    ]  # fmt: skip
    by_seed = [config.name for config in expand(load_study("smoke", ["sweep.vary.recipe.lr=[0.03]", "sweep.seeds=[0, 1]"]))]
    assert by_seed[4:7] == ["plain-14-lr=0.03-s0", "residual-14-lr=0.03-s0", "plain-8-s1"]


def test_a_grid_has_all_combinations_and_several_grids_are_varied_apart():
    plain = '"model.kind" = ["plain"]'
    assert varied(f'sweep.vary={{{plain}, "recipe.momentum" = [0, 0.5], "recipe.lr" = [0.03]}}') == [
        "plain-14-lr=0.03,momentum=0-s0", "plain-14-lr=0.03,momentum=0.5-s0"
    ]  # fmt: skip
    assert varied(f'sweep.vary=[{{{plain}, "recipe.momentum" = [0]}}, {{{plain}, "recipe.lr" = [0.03]}}]') == [
        "plain-14-momentum=0-s0", "plain-14-lr=0.03-s0"
    ]  # fmt: skip


def test_a_combination_that_equals_the_base_or_another_one_occurs_once():
    base_lr = load_study("smoke").run(kind="plain", depth=8).recipe.lr
    assert varied(f'sweep.vary={{"recipe.lr" = [{base_lr}]}}') == []
    assert varied('sweep.vary=[{"recipe.lr" = [0.03, 0.03]}, {"recipe.lr" = [0.03]}]') == [
        "plain-14-lr=0.03-s0", "residual-14-lr=0.03-s0"
    ]  # fmt: skip
    assert varied(f'sweep.vary={{"recipe.lr" = [{base_lr}], "recipe.momentum" = [0.5]}}')[0] == "plain-14-momentum=0.5-s0"


def test_a_value_that_one_kind_does_not_allow_is_run_for_the_other():
    configs = expand(load_study("smoke", ["model.block=bottleneck", "sweep.depths=[11]", 'sweep.vary={"model.width" = [8]}']))
    assert [config.name for config in configs][2:] == ["plain-bottleneck-11-width=8-s0", "residual-bottleneck-11-width=8-s0"]
    shortcuts = expand(load_study("smoke", ["sweep.depths=[8]", "sweep.shortcuts=['A', 'B']", "sweep.vary.model.width=[8]"]))
    assert [config.name for config in shortcuts][3:] == [
        "plain-8-width=8-s0", "residual-8-width=8-s0", "residual-B-8-width=8-s0"
    ]  # fmt: skip


def test_durations_follow_varied_steps_without_being_varied_themselves():
    config = expand(load_study("smoke", ["sweep.vary.recipe.steps=[40]", 'evaluation.every="50 %"']))[-1]
    assert (config.varied, config.recipe.steps, config.evaluation.every) == (("recipe.steps",), 40, 20)


def test_a_varied_run_keeps_its_name_and_its_values_on_disk():
    config = expand(load_study("smoke", ['sweep.vary={"recipe.lr" = [0.03], "model.width" = [8]}', "compute.compile=false"]))[-1]
    again = load_run(config.model_dump_json(), "config.json")
    assert again == config
    assert (again.name, again.digest()) == (config.name, config.digest())
    assert again.varied_settings == {"model.width": 8, "recipe.lr": 0.03}


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ('sweep.vary={"recipe.lrr" = [1]}', "--set: recipe.lrr is not a setting (did you mean 'recipe.lr'?)."),
        ("sweep.vary.recipe.lr=['fast']", "--set: recipe.lr: input should be a valid number, got 'fast'."),
        ("sweep.vary.recipe.lr=0.1", "--set: sweep.vary.recipe.lr: needs a list of values, such as [0.05, 0.2]."),
        ("sweep.vary.recipe.lr=[]", "--set: sweep.vary.recipe.lr: needs a list of values, such as [0.05, 0.2]."),
        ("sweep.vary=3", "--set: sweep.vary: input should be a list, got 3."),
        ("sweep.vary=[3]", "--set: sweep.vary.0: input should be a valid dictionary, got 3."),
        ("sweep.vary.model.depth=[8]", "--set: sweep.vary.model.depth: is varied by sweep.depths."),
        ("sweep.vary.log.every=[8]", "--set: sweep.vary.log.every: cannot vary: only settings of model and recipe can"),
        (
            "sweep.vary.model.kind=['flat']",
            "--set: sweep.vary.model.kind: must be among sweep.kinds (plain, residual), got 'flat'.",
        ),
        ("sweep.vary.model.stride_on=['3x3']", "--set: model.stride_on: does not apply to basic blocks"),
        ('varied=["recipe.lr"]', "--set: varied is for a single run; in a sweep, set sweep.vary."),
    ],
)
def test_a_value_that_no_kind_allows_is_one_clear_sentence(override, sentence):
    with pytest.raises(ConfigError) as caught:
        expand(load_study("smoke", [override]))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("recipe.lrr", "config: varied: recipe.lrr is not a setting of this run."),
        ("model.depth", "config: varied: model.depth is varied by sweep.depths."),
        ("data.train_images", "config: varied: data.train_images cannot vary"),
    ],
)
def test_a_config_cannot_name_other_settings_as_varied(key, sentence):
    config = load_study("smoke", ["compute.compile=false"]).run(kind="plain", depth=8).model_dump(mode="json")
    with pytest.raises(ConfigError) as caught:
        load_run(RunConfig.model_validate(config).model_dump_json().replace('"varied":[]', f'"varied":["{key}"]'), "config")
    assert sentence in str(caught.value)


def test_names_are_short_safe_and_distinct():
    assert folder_name({}) == ""
    assert folder_name({"recipe.lr": 0.05, "recipe.momentum": 1.0}) == "lr=0.05,momentum=1"
    assert label({"recipe.lr": 0.05, "recipe.warmup.lr": 1.0}) == "lr = 0.05, warmup.lr = 1"
    lists = [folder_name({"recipe.schedule.milestones": values}) for values in ([10, 20], [102, 0], ["/", ".."])]
    assert len(set(lists)) == 3
    long = folder_name({f"recipe.warmup.lr{index}": 0.1 for index in range(40)})
    assert all("/" not in name and len(name) < 140 for name in (*lists, long))
    keys = [key for key in SETTINGS if key.startswith(("model.", "recipe."))]
    assert len(set(map(short, keys))) == len(keys)
