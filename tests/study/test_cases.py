"""What varied settings change, with made-up runs: effects, their rules, and the runs that are not compared."""

import dataclasses
import json

import pytest

from resnet_lab.record.lines import EvalRecord
from resnet_lab.study.finding import by_effect
from resnet_lab.study.values import comparison_values
from resnet_lab.study.verdict import verdict_on_case
from tests.builders import compared, made_run, tiny

SEEDS = range(3)
NOISE = (-0.002, 0.0, 0.002)


def base(plain_deep=0.5, residual_deep=0.16):
    """Base runs of depth 20 and 56 over three seeds, with small differences between the seeds."""
    errors = {("plain", 20): 0.2, ("plain", 56): plain_deep, ("residual", 20): 0.18, ("residual", 56): residual_deep}
    return [made_run(*network, seed, train=error) for seed in SEEDS for network, error in errors.items()]


def case(*errors, kind="plain", lr=0.2, **changes):
    """Runs of depth 56 with another lr, one for each error."""
    settings = {"recipe__lr": lr, "varied": ["recipe.lr"]} | changes
    return [made_run(kind, 56, seed, train=error, **settings) for seed, error in enumerate(errors)]


def around(error):
    return [error + noise for noise in NOISE]


def sentence(case):
    return " ".join(verdict_on_case(case))


def only_case(runs):
    (found,) = compared(runs).cases
    return found


@pytest.mark.parametrize(
    ("errors", "effect", "removed"),
    [
        (around(0.2), "removes", 1.0),
        (around(0.21), "removes", 29 / 30),
        (around(0.219), "reduces", 281 / 300),  # the interval of the remaining gap exceeds 2 points
        (around(0.35), "reduces", 0.5),
        (around(0.5), "no effect shown", 0.0),
        (around(0.51), "raises", -1 / 30),
        ([0.4, 0.5, 0.6], "undecided", 0.0),
        (around(0.3)[:2], "undecided", 0.67),
        ([], None, None),
    ],
)
def test_the_intervals_of_the_change_and_of_the_remaining_gap_decide(errors, effect, removed):
    cases = compared([*base(), *case(*errors)]).cases
    if effect is None:
        assert cases == ()
        return
    assert cases[0].effect == effect
    assert cases[0].against_base.removed == pytest.approx(removed, abs=0.01)


def test_without_degradation_there_is_nothing_to_remove():
    found = only_case([*base(plain_deep=0.2), *case(*around(0.1))])
    assert (found.effect, found.against_base.removed) == ("reduces", None)
    assert sentence(found).startswith("lr = 0.2 lowers the training error of plain-56: -10.00 points (95 % interval")


def test_differences_are_paired_over_the_seeds_that_all_networks_have():
    runs = [run for run in [*base(), *case(*around(0.3), 0.9)] if run.name != "plain-20-s1"]
    found = only_case(runs)
    contrast = found.against_base
    assert (found.seeds, contrast.seeds, contrast.gap_seeds) == ((0, 1, 2, 3), (0, 1, 2), (0, 2))
    assert contrast.change.values == (pytest.approx(-0.202), pytest.approx(-0.2), pytest.approx(-0.198))
    assert contrast.gap.values == (pytest.approx(0.3), pytest.approx(0.3))
    assert contrast.remaining_gap.values == (pytest.approx(0.098), pytest.approx(0.102))
    assert contrast.removed == pytest.approx(1 - 0.1 / 0.3)


@pytest.mark.parametrize(("left", "effect"), [(0.017, "reduces"), (0.014, "reduces"), (0.005, "removes")])
def test_a_small_gap_is_removed_only_if_less_than_half_is_left(left, effect):
    found = only_case([*base(plain_deep=0.226), *case(*(0.2 + left + noise / 10 for noise in NOISE))])
    assert found.against_base.effect == effect


def test_the_first_screen_names_what_removes_the_degradation_of_plain_networks():
    cases = compared([*base(), *scaled(around(0.2)), *case(*around(0.6)), *case(*around(0.5), lr=0.4)]).cases
    assert list(by_effect(cases)) == [
        "What removes the degradation of plain-56: in residual-56 shortcut_scale = 0.5.",
        "What has a higher training error than plain-56: in plain-56 lr = 0.2.",
    ]
    worse = [run for lr in (0.2, 0.3, 0.4, 0.6, 0.7) for run in case(*around(0.6), lr=lr)]
    assert list(by_effect(compared([*base(), *worse]).cases)) == [
        "What has a higher training error than plain-56: in plain-56 lr = 0.2; lr = 0.3; lr = 0.4; and 2 more."
    ]


def test_each_effect_has_a_sentence():
    residual = case(*around(0.3), kind="residual")
    comparison = compared([*base(), *residual, *case(*around(0.2)), *case(*around(0.35), lr=0.3), *case(0.4, lr=0.4)])
    assert [(found.network, found.label) for found in comparison.cases] == [
        ("plain-56", "lr = 0.2"), ("plain-56", "lr = 0.3"), ("plain-56", "lr = 0.4"), ("residual-56", "lr = 0.2")
    ]  # fmt: skip
    assert [sentence(found) for found in comparison.cases] == [
        "lr = 0.2 removes the degradation of plain-56: +0.00 points from plain-20 (95 % interval -0.50 to +0.50 over 3 seeds), "
        "+30.00 points without it.",
        "lr = 0.3 reduces the degradation of plain-56 by 50 % of the gap: -15.00 points (95 % interval -15.50 to -14.50 over 3 "
        "seeds); remaining gap +15.00 points (95 % interval +14.50 to +15.50 over 3 seeds).",
        "The effect of lr = 0.4 on plain-56 is undecided: -10.00 points (one seed, too few for an interval).",
        "lr = 0.2 raises the training error of residual-56: +14.00 points (95 % interval +13.50 to +14.50 over 3 seeds).",
    ]
    assert sentence(only_case([*base(), *case(*around(0.5))])).startswith("No effect of lr = 0.2 on the training error of")
    alone = only_case([*base(), made_run("plain", 56, 7, recipe__lr=0.2, varied=["recipe.lr"])])
    assert sentence(alone) == ("The effect of lr = 0.2 on plain-56 is undecided: no base run of the same seed has finished.")


SCALE = {"model": {"kind": "residual", "depth": 56, "width": 4, "shortcut_scale": 0.5}, "varied": ["model.shortcut_scale"]}


def scaled(errors):
    """Runs of residual-56 with shortcuts multiplied by one half."""
    return [made_run("residual", 56, seed, train=error, **SCALE) for seed, error in enumerate(errors)]


@pytest.mark.parametrize(
    ("errors", "effect", "removed", "words"),
    [
        (
            around(0.2),
            "removes",
            1.0,
            "removes the degradation of plain-56: +0.00 points from plain-20 (95 % interval -0.50 to +0.50 over 3 seeds), +30.00 "
            "points without it.",
        ),
        (around(0.35), "reduces", 0.5, "reduces the degradation of plain-56 by 50 % of the gap: -15.00 points"),
        (
            [0.1, 0.18, 0.26],
            "reduces",
            16 / 15,
            "reduces the degradation of plain-56, perhaps completely (107 % of the gap on average): -32.00 points",
        ),
        (around(0.5), "no effect shown", 0.0, "is shown: +0.00 points"),
        (around(0.53), "raises", -0.1, "has a higher training error than plain-56: +3.00 points"),
        ([0.4, 0.5, 0.6], "undecided", 0.0, "has a lower training error than plain-56 is undecided: +0.00 points"),
    ],
)
def test_a_residual_network_is_also_compared_with_the_plain_one_that_degrades(errors, effect, removed, words):
    found = only_case([*base(), *scaled(errors)])
    assert (found.against_base.base, found.against_plain.base) == ("residual-56", "plain-56")
    assert found.against_plain.effect == effect
    assert found.against_plain.removed == pytest.approx(removed)
    own, plain = verdict_on_case(found)
    assert "residual-56" in own
    assert "residual-56 with shortcut_scale = 0.5" in plain
    assert words in plain


def test_a_residual_network_is_not_compared_with_a_plain_one_that_does_not_degrade_or_has_another_recipe():
    assert only_case([*base(plain_deep=0.2), *scaled(around(0.2))]).against_plain is None
    assert only_case([*base(), *case(*around(0.2), kind="residual")]).against_plain is None


def test_a_case_with_a_diverged_run_has_diverged():
    runs = case(*around(0.2))
    runs[1] = dataclasses.replace(runs[1], state="diverged")
    comparison = compared([*base(), *runs])
    (found,) = comparison.cases
    assert (found.effect, found.seeds, found.diverged) == ("diverged", (0, 2), ("plain-56-lr=0.2-s1",))
    assert sentence(found) == "plain-56 with lr = 0.2 diverged in 1 of 3 runs."
    assert comparison.missing == ()


def test_cases_that_learnt_nothing_never_left_the_warmup_or_have_other_parameters_say_so():
    keys = ["recipe.lr", "recipe.warmup.from_depth", "recipe.warmup.lr"]
    runs = case(*around(0.95), recipe__warmup={"from_depth": 20, "lr": 0.01}, varied=keys)
    runs = [dataclasses.replace(run, train=[dataclasses.replace(run.train[0], lr=0.01)]) for run in runs]
    runs[2] = dataclasses.replace(runs[2], train=[*runs[2].train, dataclasses.replace(runs[2].train[0], lr=0.2)])
    found = only_case([*base(), *runs])
    assert (len(found.at_chance), len(found.warming_up)) == (3, 2)
    assert sentence(found).endswith(
        "3 of 3 runs ended at chance level, as if nothing had been learnt. The warm-up never ended in 2 of 3 runs: they trained "
        "with its lr throughout."
    )
    assert only_case([*base(), *case(*around(0.6))]).at_chance == ()
    more = [made_run("residual", 56, seed, parameters=140, **SCALE) for seed in range(3)]
    assert compared([*base(), *more]).unmatched == (
        "residual-56 with shortcut_scale = 0.5 has 140 parameters, +17 against its base runs.",
    )


def test_varied_runs_do_not_change_the_comparison_of_the_base_runs():
    without, with_cases = compared(base()), compared([*base(), *case(*around(0.3))])
    assert with_cases.runs == without.runs
    assert (with_cases.cells, with_cases.gaps, with_cases.verdict) == (without.cells, without.gaps, without.verdict)
    assert with_cases.records_digest != without.records_digest


def test_runs_that_differ_in_other_settings_too_are_left_out():
    comparison = compared([*base(), *case(0.2, recipe__momentum=0.5), *case(0.3, lr=0.3)])
    assert [run.name for run in comparison.varied] == ["plain-56-lr=0.3-s0"]
    assert "plain-56-lr=0.2-s0: left out, different recipe (recipe.momentum = 0.5)." in comparison.missing
    assert "plain-56-lr=0.2-s0: left out, the study has no run without varied settings." in compared(case(0.2)).missing
    steps = {"recipe__steps": 60, "varied": ["recipe.steps"], "recipe__lr": 0.05, "log__every": 10}
    assert len(compared([*base(), *case(0.2, **steps)]).varied) == 1
    assert len(compared([*base(), *case(0.2, log__every=10)]).varied) == 0


def continued(shallow, depth, error, steps=10):
    """A finished run on disk that starts as a deeper network built from this run."""
    shallow.folder.create(shallow.config)
    folder = shallow.folder.continued(depth, 30, steps)
    folder.create(tiny(model=shallow.config.model.model_dump() | {"depth": depth}, seed=shallow.config.seed, recipe__steps=steps))
    folder.append(EvalRecord(steps, error, 0.1, 80, None, None, error, 0.1, 1.0))
    folder.append_event("finished", steps)


def test_runs_that_start_from_the_identity_construction_are_a_case(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = [*base(), *case(*around(0.35))]
    before = compared(runs)
    for run, error in zip([run for run in runs if run.name.startswith("plain-20")], around(0.2), strict=True):
        continued(run, 56, error)
        continued(run, 32, error)  # no base run has this depth
    after = compared(runs)
    varied, constructed = after.cases
    assert (varied,) == before.cases
    assert sentence(constructed).startswith(
        "start = identity construction from plain-20 at step 30, further steps = 10 removes the degradation of plain-56: +0.00 "
        "points from plain-20"
    )
    assert (constructed.network, constructed.seeds) == ("plain-56", (0, 1, 2))
    assert after.records_digest != before.records_digest
    assert after.all_runs == before.all_runs
    assert compared(base()).cases == ()  # only beside cases


def test_json_has_cases_only_if_settings_vary():
    values = json.loads(json.dumps(comparison_values(compared([*base(), *case(*around(0.35))]))))
    (found,) = values["cases"]
    assert (found["variant"], found["settings"], found["effect"]) == ("plain", {"recipe.lr": 0.2}, "reduces")
    contrast = found["against_base"]
    assert (contrast["base"], contrast["shallow"], contrast["effect"]) == ("plain-56", "plain-20", "reduces")
    assert contrast["removed"] == pytest.approx(0.5)
    assert contrast["change"]["interval"][1] < 0 < contrast["remaining_gap"]["interval"][0]
    assert found["against_plain"] is None
    (verdict,) = found["verdict"]
    assert verdict.startswith("lr = 0.2 reduces the degradation of plain-56 by 50 % of the gap")
    assert [run.get("varied") for run in values["runs"][-4:]] == [None, *[{"recipe.lr": 0.2}] * 3]
    assert "cases" not in comparison_values(compared(base()))
