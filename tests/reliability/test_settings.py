"""Figure 14: a valid config survives every conversion, and an error about an invalid one names the key."""

import copy
import datetime
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from resnet_lab.config.files import StudyConfig, load_run, load_study
from resnet_lab.config.model import INTERVENTIONS
from resnet_lab.config.schema import RunConfig, with_compile
from resnet_lab.config.settings import flatten, get
from resnet_lab.errors import ConfigError
from resnet_lab.text import shortened
from tests.builders import toml
from tests.reliability.scale import times
from tests.reliability.strategies import junk, run_settings

ROUND_TRIPS, CORRUPTIONS = times(50, 2_000), times(200, 20_000)


def as_study(values):
    """The settings of a run in the form of a config file, where the sweep defines kind and depth."""
    values = copy.deepcopy(values)
    sweep = {"kinds": [values["model"].pop("kind")], "depths": [values["model"].pop("depth")]}
    return values | {"sweep": sweep}


def run_of(study):
    return study.run(kind=study.sweep.kinds[0], depth=study.sweep.depths[0])


def test_a_valid_config_round_trips_through_toml_json_and_digest(tmp_path, cli, figure):
    file, shown_file = tmp_path / "config.toml", tmp_path / "shown.toml"

    @settings(max_examples=ROUND_TRIPS)
    @given(run_settings())
    def check(values):
        config = RunConfig.model_validate(copy.deepcopy(values))
        assert config.model_dump(mode="json") == values
        file.write_text("\n".join(f"{key} = {toml(value)}" for key, value in as_study(values).items()))
        shown = cli("config", "show", file)
        assert shown.code == 0, shown.err
        shown_file.write_text(shown.out)
        again = run_of(load_study(str(shown_file)))
        assert again == config
        assert again.digest() == config.digest()
        decided = with_compile(config, config.compute.compile is True)  # a run's config.json never contains `auto`
        stored = load_run(json.dumps(decided.model_dump(mode="json"), indent=2), "config.json")
        assert stored == decided
        assert stored.digest() == decided.digest()

    check()
    figure("14", f"{ROUND_TRIPS:,} valid configs through `config show`, config.json and digest", "all equal")


PATHS = sorted(
    ["model", "data", "recipe", "recipe.schedule", "recipe.warmup", "evaluation", "log", "compute", "recipe.schedule.milestones"]
    + [key for key, _ in flatten(RunConfig.model_validate(
        {"model": {"kind": "plain", "depth": 20}, "recipe": {"schedule": {"name": "plateau"}}}
    ).model_dump())]
)  # fmt: skip
LATER = (
    "model.layout", "model.block", "model.shortcut", "model.stride_on", "model.pad_channels", "data.num_classes",
    "data.image_size", "evaluation.final_test_views", "compute.recompute_blocks", "compute.replicas", "compute.bn",
    "compute.compile", "compute", "varied", "recipe.optimizer", *(f"model.{name}" for name in INTERVENTIONS),
)  # fmt: skip
times_of_day = st.dates() | st.datetimes() | st.times()  # TOML types that no setting accepts


def corrupted(values, path, value):
    *parents, key = path.split(".")
    values = copy.deepcopy(values)
    section = get(values, parents)
    if not isinstance(section, dict):
        return None
    section[key] = value
    return values


def result_of(read, values):
    """The config and None, or None and the error."""
    try:
        return read(values), None
    except ConfigError as error:
        return None, error


def names(path, error):
    """Whether the error names the key, or reports that valid values of several keys conflict."""
    problems = error.__cause__.errors() if isinstance(error.__cause__, ValidationError) else [{"type": "not checked yet"}]
    return path in str(error) or all(problem["type"] in ("conflicts", "depth") for problem in problems)


def check_refused_or_meant(read, values, path, value):
    """The value is refused with its key named, or is the value in the config."""
    config, refused = result_of(read, values)
    if config is None:
        assert names(path, refused)
        return
    said = get(config.model_dump(mode="json"), path.split("."))
    is_duration = isinstance(value, str | list) and isinstance(said, int | list)
    if isinstance(value, dict):  # a section: other keys have their defaults
        assert value.items() <= said.items()
    else:
        assert said == value or is_duration


def test_a_wrong_value_is_refused_by_name_or_is_the_configs_value(figure):
    @settings(max_examples=CORRUPTIONS)
    @given(run_settings(), st.sampled_from(PATHS), junk | times_of_day)
    def check(values, path, value):
        values["evaluation"]["every"], values["log"]["every"] = "3 epochs", "50 %"
        changed = corrupted(values, path, value)
        if changed is None:
            return
        check_refused_or_meant(lambda settings: run_of_file(settings, values), changed, path, value)
        if not isinstance(value, datetime.date | datetime.time):
            check_refused_or_meant(lambda settings: load_run(json.dumps(settings), "config.json"), changed, path, value)

    check()
    figure("14", f"{CORRUPTIONS:,} configs with one wrong value", "refused with the key named, or the value is in the config")


def run_of_file(changed, values):
    """The config from a file; kind and depth come from the command line if the file lacks them."""
    model = changed["model"]
    own = {key: values["model"][key] for key in ("kind", "depth") if not isinstance(model, dict) or key not in model}
    return StudyConfig("name", "a.toml", changed).run(**own)


def named(section, key):
    """What a message shows of a key: itself, or escaped and shortened where it is not printable."""
    return f"{section}{key if key.isprintable() else shortened(key)}"


def test_an_unknown_key_is_refused_and_named(figure):
    sections = ["", "model.", "data.", "recipe.", "recipe.schedule.", "recipe.warmup.", "evaluation.", "log.", "compute."]

    @settings(max_examples=CORRUPTIONS // 4)
    @given(run_settings(), st.sampled_from(sections), st.text(min_size=1, max_size=30), junk)
    def check(values, section, key, value):
        if key in (get(values, section.split(".")[:-1]) or values):
            return
        *parents, _ = f"{section}x".split(".")
        changed = copy.deepcopy(values)
        get(changed, parents)[key] = value
        with pytest.raises(ConfigError) as from_json:
            load_run(json.dumps(changed), "config.json")
        assert named(section, key) in str(from_json.value)
        if key != "sweep":
            with pytest.raises(ConfigError) as from_file:
                run_of_file(changed, values)
            assert named(section, key) in str(from_file.value)

    check()
    figure("14", f"{CORRUPTIONS // 4:,} configs with an unknown key", "all refused, the key named")


def test_a_missing_key_is_refused_and_named_or_leaves_the_config_equal(figure):
    @settings(max_examples=CORRUPTIONS // 4)
    @given(run_settings(), st.sampled_from(PATHS))
    def check(values, path):
        *parents, key = path.split(".")
        changed = copy.deepcopy(values)
        if key not in get(changed, parents):
            return
        original = with_compile(RunConfig.model_validate(copy.deepcopy(values)), values["compute"]["compile"] is True)
        del get(changed, parents)[key]
        found, refused = result_of(lambda settings: load_run(json.dumps(settings), "config.json"), changed)
        if found is None:
            assert names(path, refused)
        else:
            assert found == original or path in LATER  # a run older than this setting

    check()
    figure("14", f"{CORRUPTIONS // 4:,} config.json with a key missing", "all refused, the key named, or equal")
