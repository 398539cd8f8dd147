"""Config files, presets and overrides, and the messages about wrong ones."""

import json
from pathlib import Path

import pytest

from resnet_lab.config.files import load_run, load_study, presets
from resnet_lab.config.schema import Milestones, Plateau, RunConfig
from resnet_lab.errors import ConfigError
from resnet_lab.models.resnet import ResNet
from resnet_lab.sweep.grid import expand
from tests.builders import settings


def test_the_default_preset_is_the_plateau_recipe():
    config = load_study().run(kind="plain", depth=56)
    assert config == RunConfig.model_validate({"model": {"kind": "plain", "depth": 56}, "recipe": {}})
    recipe = config.recipe
    assert (recipe.lr, recipe.momentum, recipe.weight_decay, recipe.batch_size, recipe.steps) == (0.1, 0.9, 1e-4, 128, 64_000)
    assert recipe.schedule == Plateau(name="plateau", every=352, patience=15, max_drops=2)
    assert (config.data.num_train, config.data.validation_images) == (45_000, 5_000)


def test_the_paper_preset_matches_the_papers_recipe():
    config = load_study("paper").run(kind="residual", depth=110)
    assert config.data.num_train == 50_000
    assert config.recipe.schedule == Milestones(name="milestones", milestones=(32_000, 48_000))
    assert config.recipe.steps == 64_000


@pytest.mark.parametrize("name", sorted(presets()))
def test_every_preset_builds_its_networks_and_states_its_cost(name):
    for config in expand(load_study(name)):
        assert sum(1 for _ in ResNet(config.model).parameters()) > 0
    header = presets()[name].read_text().partition("\n\n")[0]
    assert header.partition("\n")[0].endswith(".")
    assert header.startswith(f"# {name}: ")
    assert "resnet-lab" in header
    assert "Cost:" in header


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model__depth": 57}, "Depth 57 is not of the form 6n+2 (n blocks per stage); nearest valid: 56 and 62."),
        ({"model__depth": 2}, "nearest valid: 8."),
        (
            {"model": {"kind": "plain", "depth": 20, "shortcut": "C"}},
            "model.shortcut: option C does not apply to a plain network",
        ),
        ({"recipe__steps": -1}, "recipe.steps: input should be greater than or equal to 0, got -1."),
        ({"recipe__stps": 1}, "recipe.stps is not a setting (did you mean 'recipe.steps'?)."),
        ({"recipe": 3}, "recipe is a section, such as [recipe] with lines KEY = VALUE, got 3."),
        ({"recipe__lr": "fast"}, "recipe.lr: input should be a valid number, got 'fast'."),
        (
            {"recipe__steps": "5 weeks"},
            "recipe.steps: must be a whole number, or a duration such as '400 steps' or '3 epochs', got '5 weeks'.",
        ),
        ({"recipe__steps": True}, "recipe.steps: input should be a valid integer, got True."),
        ({"recipe__batch_size": 81}, "recipe.batch_size: a batch of 81 is larger than the 80 training images."),
        ({"data__validation_images": 100}, "data.validation_images: 100 of 100 images leaves none to train on."),
        ({"data__validation_images": 0}, "recipe.schedule.name: a plateau schedule needs validation images"),
        ({"recipe__schedule": {"name": "cosine"}}, "recipe.schedule.name must be 'plateau' or 'milestones', got 'cosine'."),
        ({"recipe__schedule": {"name": "milestones", "milestones": [30]}}, "milestones [30] must be below the run's 30 steps"),
        ({"log__keep": [3, 31]}, "log.keep: steps must be between 1 and 30 (recipe.steps), got 31."),
        ({"recipe__schedule": {"name": "milestones", "milestones": [9, 3]}}, "milestones must increase, got [9, 3]."),
        (
            {"recipe__schedule": {"name": "milestones", "patience": 3}},
            "recipe.schedule.patience applies only to recipe.schedule.name = 'plateau'",
        ),
        ({"model": {"depth": 20}}, "model.kind is not set; use --plain or --residual."),
    ],
)
def test_an_invalid_setting_gives_a_one_line_message(changes, sentence):
    with pytest.raises(ConfigError) as caught:
        load_run(json.dumps(settings(**changes)), "runs/x/config.json")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_errors_are_listed_with_the_source_of_each(tmp_path: Path):
    file = tmp_path / "mine.toml"
    file.write_text("[recipe]\nlr = 'high'\n[dota]\nx = 1\n")
    with pytest.raises(ConfigError) as caught:
        load_study(str(file), ["recipe.momentum=2"]).run(kind="plain", depth=21)
    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    assert any(line.startswith(f"{file}: recipe.lr") for line in lines)
    assert any(line.startswith("--set: recipe.momentum") for line in lines)
    assert any(line.startswith(f"{file}: dota is not a setting") for line in lines)
    assert any(line.startswith("Depth 21") for line in lines)


@pytest.mark.parametrize(
    ("source", "overrides", "sentence"),
    [
        ("papr", [], "There is no preset 'papr' (did you mean 'paper'?); the presets are"),
        ("./none.toml", [], "There is no config file ./none.toml"),
        ("demo", ["recipe.lr"], "--set expects KEY=VALUE"),
        ("demo", ["sweep.depths=20"], "--set: sweep.depths: input should be a list, got 20."),
        ("demo", ["sweep.kinds=['flat']"], "--set: sweep.kinds.0: input should be 'plain' or 'residual', got 'flat'."),
    ],
)
def test_an_invalid_source_or_override_gives_a_clear_message(source, overrides, sentence):
    with pytest.raises(ConfigError) as caught:
        load_study(source, overrides)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"recipe__steps": "50 %"}, "recipe.steps: must be a whole number, or a duration such as '400 steps' or '3 epochs'"),
        ({"recipe__batch_size": float("nan")}, "recipe.batch_size: input should be a valid integer, got nan."),
        (
            {"evaluation__final_train_images": 0},
            "evaluation.final_train_images: input should be greater than or equal to 1, got 0.",
        ),
        ({"evaluation__final_train_images": "some"}, "evaluation.final_train_images: input should be 'all', got 'some'."),
    ],
)
def test_messages_name_the_setting_instead_of_pydantic_internals(changes, sentence):
    with pytest.raises(ConfigError) as caught:
        load_run(json.dumps(settings(**changes)), "config.json")
    assert f"config.json: {sentence}" in str(caught.value)


def test_all_conflicts_between_settings_are_listed():
    with pytest.raises(ConfigError) as caught:
        load_study("paper", ["recipe.batch_size=99999", "recipe.schedule.milestones=[99999]"]).run(kind="plain", depth=20)
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("data.validation_images=50000", "data.validation_images: 50000 of 50000 images leaves none to train on."),
        ("data.train_images=1000", "data.validation_images: 5000 of 1000 images leaves none to train on."),
        ("recipe.schedule.milestones=[1]", "applies only to recipe.schedule.name = 'milestones'."),
        ("model=5", "--set: model must be a section [model], got 5."),
    ],
)
def test_only_the_cause_of_several_errors_is_reported(override, sentence):
    with pytest.raises(ConfigError) as caught:
        load_study(None, [override]).run(kind="plain", depth=20)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_sweep_rejects_settings_of_a_single_run():
    with pytest.raises(ConfigError, match=r"--set: seed is for a single run; in a sweep, set sweep\.seeds"):
        expand(load_study("quick", ["seed=3"]))
    with pytest.raises(ConfigError, match=r"--set: model\.shortcut is for a single run; in a sweep, set sweep\.shortcuts"):
        expand(load_study("quick", ["model.shortcut=B"]))


def test_a_sweep_over_shortcuts_has_each_plain_run_once():
    configs = expand(load_study("smoke", ["sweep.depths=[8]", "sweep.shortcuts=['A', 'B', 'C']"]))
    assert [config.name for config in configs] == ["plain-8-s0", "residual-8-s0", "residual-B-8-s0", "residual-C-8-s0"]


def test_a_sweep_rejects_duplicate_values():
    with pytest.raises(ConfigError, match=r"--set: sweep\.seeds: values must be unique, got \[0, 0\]"):
        load_study("smoke", ["sweep.seeds=[0, 0]"])


def test_invalid_toml_is_reported(tmp_path: Path):
    (tmp_path / "broken.toml").write_text("recipe = [")
    with pytest.raises(ConfigError, match="is not valid TOML"):
        load_study(str(tmp_path / "broken.toml"))


def test_a_sweep_completes_all_pairs_of_a_seed_before_the_next_seed():
    configs = expand(load_study("smoke", ["sweep.seeds=[0, 1]"]))
    assert [config.name for config in configs[:4]] == ["plain-8-s0", "residual-8-s0", "plain-14-s0", "residual-14-s0"]
    assert len(configs) == 8


def test_an_unknown_keyword_of_a_run_is_a_type_error():
    with pytest.raises(TypeError, match="detph"):
        load_study("paper").run(kind="plain", detph=56)


def test_the_compile_argument_overrides_the_file_and_other_overrides():
    study = load_study("paper", ["compute.compile=true"], compile=False)
    assert study.run(kind="plain", depth=20).compute.compile is False
    assert load_study("paper").run(kind="plain", depth=20).compute.compile == "auto"
