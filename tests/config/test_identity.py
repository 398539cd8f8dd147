"""Digests of settings: what changes them and what does not."""

import json

from resnet_lab.config.files import load_run
from resnet_lab.config.identity import Later
from resnet_lab.config.paper import departures
from resnet_lab.config.schema import RecipeConfig, RunConfig
from tests.builders import settings, tiny


def test_the_digest_survives_json_and_depends_on_every_setting():
    config = tiny()
    assert config.digest() == load_run(json.dumps(config.model_dump(mode="json")), "config.json").digest()
    assert config.digest() != tiny(seed=1).digest()
    assert config.digest() != tiny(recipe__momentum=0.8).digest()


def test_the_recipe_digest_does_not_depend_on_seed_kind_and_depth():
    config = tiny()
    assert config.recipe_digest() == tiny(seed=1, model={"kind": "plain", "depth": 14, "width": 4}).recipe_digest()
    assert config.recipe_digest() != tiny(model={"kind": "plain", "depth": 14, "width": 8}).recipe_digest()


def test_settings_added_later_do_not_change_existing_digests():
    assert tiny().digest() == "4a8cf86429d1b4069134f12291d4c9a39d22b96e2a1c267aec12c7467a6d705f"
    assert tiny().recipe_digest() == "cdd08662b9bb0a130eddc2f1546bcdabd3c93d18d5ebe67a78d15b6de0eb2c8e"
    assert tiny(model__shortcut="B").digest() != tiny().digest()
    assert tiny(model__pad_channels="both").recipe_digest() != tiny().recipe_digest()


class WithNesterov(RecipeConfig):
    nesterov: Later[bool] = False


class LaterRun(RunConfig):
    recipe: WithNesterov


def test_a_new_setting_changes_digest_and_departures_only_off_its_default():
    before = tiny()
    same, other = (LaterRun.model_validate(settings(recipe__nesterov=nesterov)) for nesterov in (False, True))
    assert (same.digest(), same.recipe_digest()) == (before.digest(), before.recipe_digest())
    assert other.digest() != before.digest()
    assert departures(same) == departures(before)
    assert [sentence for sentence in departures(other) if sentence not in departures(before)] == [
        "recipe.nesterov is True; the paper's recipe has False."
    ]
