"""The comparison of runs with given errors: means, gaps, verdicts, and what is missing."""

import dataclasses
import json
from pathlib import Path

import pytest

from resnet_lab.record.sequential import Design
from resnet_lab.record.store import RunFolder
from resnet_lab.record.study import Study
from resnet_lab.report.headline import headline
from resnet_lab.study.compare import compare
from resnet_lab.study.spread import Spread, half_width
from resnet_lab.study.values import comparison_values
from tests.builders import compared, four_runs, made_run


def test_each_cell_holds_the_last_evaluation_of_every_seed():
    comparison = compared([made_run("plain", 20, seed, train=train) for seed, train in [(1, 0.2), (0, 0.1), (2, 0.6)]])
    (cell,) = comparison.cells
    assert cell.seeds == (0, 1, 2)
    assert cell.train_error == Spread((0.1, 0.2, 0.6))
    assert cell.test_error == Spread((0.2, 0.2, 0.2))
    assert cell.running_train_error is not None
    assert cell.running_train_error.mean == pytest.approx(0.35)
    assert cell.best_test_error == Spread((0.02, 0.02, 0.02))
    assert (cell.parameters, cell.train_images) == (123, 10_000)


def test_verdict_states_the_depth_gap_of_plain_and_of_residual_nets():
    comparison = compared(four_runs())
    plain, residual = comparison.gaps
    assert (plain.shallow, plain.deep, plain.degradation, residual.degradation) == (20, 56, "shown", "not shown")
    assert plain.train_error.values == (pytest.approx(0.1),)
    assert plain.test_error.values == (pytest.approx(0.15),)
    assert comparison.verdict == (
        "Degradation shown in plain nets. Training error 20.00 % at depth 20, 30.00 % at depth 56: +10.00 points "
        "(one seed, too few for an interval).",
        "Degradation not shown in residual nets. Training error 10.00 % at depth 20, 5.00 % at depth 56: -5.00 points "
        "(one seed, too few for an interval).",
        "residual-56 is 25.00 points below plain-56 in training error.",
    )
    assert comparison.missing == ()
    assert comparison.shows_degradation


def test_each_shortcut_option_is_compared_and_unmatched_pairs_are_reported():
    projections = [made_run("residual", depth, train=0.12, shortcut=option, parameters=number)
                   for option in "BC" for depth, number in ((20, 130), (56, 1_140))]  # fmt: skip
    comparison = compared([*four_runs(), *projections])
    assert [(cell.variant, cell.depth) for cell in comparison.cells] == [
        ("plain", 20), ("residual", 20), ("residual-B", 20), ("residual-C", 20),
        ("plain", 56), ("residual", 56), ("residual-B", 56), ("residual-C", 56),
    ]  # fmt: skip
    assert all(len(cell.seeds) == 1 for cell in comparison.cells)
    assert [gap.variant for gap in comparison.gaps] == ["plain", "residual", "residual-B", "residual-C"]
    assert [gain.name for gain in comparison.gains[:3]] == [
        "residual - plain at 20", "residual-B - plain at 20", "residual-C - plain at 20"
    ]  # fmt: skip
    assert comparison.interaction is not None
    assert comparison.interaction.train_error.mean == pytest.approx(-0.15)  # of option A
    assert comparison.shows_degradation
    assert len(comparison.unmatched) == 4
    assert comparison.unmatched[2] == (
        "residual-B-56 and plain-56 are not a matched pair: projections add 1,017 parameters (1,140 against 123)."
    )
    values = comparison_values(comparison)
    assert values["unmatched"] == list(comparison.unmatched)
    assert [tuple(values["gaps"][at][key] for key in ("variant", "kind", "shortcut")) for at in (0, 1, 2)] == [
        ("plain", "plain", "A"), ("residual", "residual", "A"), ("residual-B", "residual", "B")
    ]  # fmt: skip
    for values_of_one in (values["cells"][3], next(run for run in values["runs"] if run["run"] == "residual-C-20-s0")):
        assert [values_of_one[key] for key in ("variant", "kind", "shortcut", "depth")] == ["residual-C", "residual", "C", 20]
    assert compared(four_runs()).unmatched == ()
    assert comparison.missing == ()


def test_study_with_only_projection_shortcuts_is_complete_without_option_a():
    comparison = compared([made_run(kind, depth, shortcut=option) for kind, option in (("plain", "A"), ("residual", "B"))
                               for depth in (20, 56)])  # fmt: skip
    assert comparison.missing == ()
    assert comparison.interaction is None
    assert comparison.runs[0].config.recipe_digest() == comparison.runs[-1].config.recipe_digest()


def test_gains_and_the_interaction_are_paired_over_shared_seeds():
    comparison = compared([*four_runs(seed=0), *four_runs(plain_deep=0.4, seed=1), made_run("plain", 20, 2)])
    shallow, deep = comparison.gains
    assert (shallow.name, shallow.seeds, shallow.train_error.mean) == ("residual - plain at 20", (0, 1), pytest.approx(-0.1))
    assert deep.train_error.values == (pytest.approx(-0.25), pytest.approx(-0.35))
    assert comparison.interaction is not None
    assert comparison.interaction.train_error.values == (pytest.approx(-0.15), pytest.approx(-0.25))
    assert comparison.interaction.test_error.values == (pytest.approx(-0.15), pytest.approx(-0.15))
    assert [difference.name for difference in comparison.differences] == [
        "plain, 56 - 20", "residual, 56 - 20", "residual - plain at 20", "residual - plain at 56", "interaction"
    ]  # fmt: skip


def test_margin_of_a_gap_allows_for_the_number_of_images():
    comparison = compared(four_runs(plain_deep=0.205))
    assert comparison.gaps[0].margin == pytest.approx(2 * (0.2 * 0.8 / 1e4 + 0.205 * 0.795 / 1e4) ** 0.5)
    assert compared(four_runs(plain_deep=0.26)).gaps[0].degradation == "shown"
    few = [
        dataclasses.replace(run, evaluations=[dataclasses.replace(run.evaluations[-1], train_images=200)])
        for run in four_runs(plain_deep=0.26)
    ]
    assert compared(few).gaps[0].margin > 0.06
    assert compared(few).gaps[0].degradation == "undecided"


@pytest.mark.parametrize(
    ("residual", "expected"),
    [({}, False), ({20: 0.1}, False), ({20: 0.1, 56: 0.2}, False), ({20: 0.1, 56: 0.115}, True), ({20: 0.1, 56: 0.05}, True)],
)
def test_papers_finding_needs_two_residual_depths_not_shown_to_degrade(residual, expected):
    plain = [made_run("plain", 20, train=0.1), made_run("plain", 56, train=0.4)]
    comparison = compared([*plain, *(made_run("residual", depth, train=train) for depth, train in residual.items())])
    assert comparison.shows_degradation is expected


@pytest.mark.parametrize(("deep", "expected"), [(0.16, "not shown"), (0.18, "undecided"), (0.24, "undecided"), (0.26, "shown")])
def test_one_or_two_seeds_leave_a_small_gap_undecided(deep, expected):
    comparison = compared(four_runs(plain_deep=deep))
    assert comparison.gaps[0].degradation == expected
    assert ("undecided; run 2 more seeds." in comparison.verdict[0]) == (expected == "undecided")
    two_seeds = compared([*four_runs(plain_deep=deep), *four_runs(plain_deep=deep, seed=1)])
    assert two_seeds.gaps[0].degradation == expected
    assert ("undecided; run 1 more seed." in two_seeds.verdict[0]) == (expected == "undecided")


def test_with_three_seeds_the_confidence_interval_decides():
    gaps = {"clear": (0.1, 0.11, 0.12), "none": (0.0, 0.001, -0.001), "small": (0.004, 0.005, 0.006), "wide": (0.0, 0.05, 0.01)}
    outcomes = {}
    for name, values in gaps.items():
        runs = [run for seed, gap in enumerate(values) for run in four_runs(plain_deep=0.2 + gap, seed=seed)]
        outcomes[name] = compared(runs)
    assert {name: outcome.gaps[0].degradation for name, outcome in outcomes.items()} == {
        "clear": "shown", "none": "not shown", "small": "shown", "wide": "undecided"
    }  # fmt: skip
    clear = outcomes["clear"].verdict[0]
    assert "+11.00 points (95 % interval +8.52 to +13.48 over 3 seeds; sign-flip test p = 0.125)." in clear
    assert outcomes["clear"].gaps[0].seeds_needed == 0
    wide = outcomes["wide"].gaps[0]
    assert wide.seeds_needed is not None
    assert f"about {wide.seeds_needed} more seeds would be needed (`sweep --until-decided`)" in outcomes["wide"].verdict[0]
    deviation = wide.train_error.deviation
    half = [half_width(3 + more, deviation) for more in (wide.seeds_needed - 1, wide.seeds_needed)]
    assert half[0] >= wide.train_error.mean > half[1]  # one seed fewer would leave zero in the interval


def test_diverged_runs_rule_out_a_verdict_that_their_absence_favours():
    lost = [made_run("plain", 56, seed, state="diverged") for seed in (1, 2)]
    shallow = [made_run("plain", 20, seed, train=0.2) for seed in (1, 2)]
    assert compared(four_runs(plain_deep=0.1)).gaps[0].degradation == "not shown"
    comparison = compared([*four_runs(plain_deep=0.1), *shallow, *lost])
    assert comparison.gaps[0].degradation == "undecided"
    assert comparison.gaps[0].seeds_needed is None
    assert comparison.verdict[0].startswith("Degradation in plain nets undecided; plain-56-s1, plain-56-s2 diverged.")
    assert compared([*four_runs(), *shallow, *lost]).gaps[0].degradation == "shown"
    shallowest = made_run("plain", 20, 1, state="diverged")
    comparison = compared([*four_runs(), shallowest])
    assert comparison.verdict[0].startswith("Degradation in plain nets undecided; plain-20-s1 diverged.")
    assert compared([*four_runs(plain_deep=0.1), shallowest]).gaps[0].degradation == "not shown"
    deeper = made_run("plain", 110, 0, state="diverged")  # no gap without it
    assert compared([*four_runs(plain_deep=0.2), deeper]).gaps[0].diverged == ("plain-110-s0",)


def test_a_study_whose_record_of_looks_is_lost_has_no_verdict():
    runs = [run for seed in range(3) for run in four_runs(seed=seed)]
    assert compared(runs).gaps[0].degradation == "shown"
    lost = compare(Study(Path("s"), tuple(runs), has_lost_design=True))
    assert {gap.degradation for gap in lost.gaps} == {"undecided"}
    assert "undecided; it rests on repeated looks whose record, sequential.json, is not valid." in lost.verdict[0]


def test_a_study_with_looks_states_the_interval_of_the_looks_alone():
    runs = [run for seed, deep in enumerate((0.23, 0.27, 0.31)) for run in four_runs(plain_deep=deep, seed=seed)]
    study = Study(Path("s"), tuple(runs))
    assert headline(compare(study), {}).chips[0].numbers == "+7.00 [-2.94, +16.94] points, 3 seeds"
    assert "95 % interval" in compare(study).verdict[-1]
    looked_at = compare(dataclasses.replace(study, design=Design(first_look=3, max_seeds=10)))
    low, high = (100 * bound for bound in looked_at.gaps[0].bound.interval)
    assert headline(looked_at, {}).chips[0].numbers == f"+7.00 [{low:+.2f}, {high:+.2f}] points, 3 seeds"
    assert looked_at.verdict[-1] == "residual-56 is 22.00 points below plain-56 in training error."
    later = compare(dataclasses.replace(study, design=Design(first_look=5, max_seeds=10)))
    assert headline(later, {}).chips[0].numbers == "+7.00 points, 3 seeds, no interval"


def test_a_deeper_network_does_not_change_the_depths_of_a_design():
    runs = [*(run for seed in range(3) for run in four_runs(seed=seed)), made_run("plain", 110, 0, train=0.9)]
    assert compared(runs).gaps[0].deep == 110
    design = Design(first_look=3, max_seeds=10, depths=(20, 56))
    (gap, _) = compare(Study(Path("s"), tuple(runs), design=design)).gaps
    assert (gap.deep, gap.seeds) == (56, (0, 1, 2))


def test_runs_of_other_depths_than_those_of_a_design_bear_on_neither_verdict_nor_interaction():
    runs = [run for seed in range(3) for run in four_runs(seed=seed)]
    others = [made_run("plain", 110, 0, train=0.9), made_run("residual", 110, 0), made_run("plain", 164, 0, state="diverged")]
    design = Design(first_look=3, max_seeds=10, depths=(20, 56))
    comparison = compare(Study(Path("s"), (*runs, *others), design=design))
    assert [gap.diverged for gap in comparison.gaps] == [(), ()]
    assert comparison.interaction.seeds == (0, 1, 2)
    assert compare(Study(Path("s"), (*runs, *others))).gaps[0].diverged == ("plain-164-s0",)
    lost = compare(Study(Path("s"), (*runs, made_run("plain", 56, 3, state="diverged")), design=design))
    assert lost.gaps[0].diverged == ("plain-56-s3",)


def test_a_copied_run_does_not_count_as_a_seed():
    first, copy = made_run("plain", 20), made_run("plain", 20)
    copy = dataclasses.replace(copy, folder=RunFolder(Path("runs/s/plain-20-s0.bak")))
    comparison = compared([first, copy])
    assert comparison.cells[0].seeds == (0,)
    assert "plain-20-s0.bak: left out, plain-20-s0 is the same network with the same seed." in comparison.missing


def test_a_gap_that_50_more_seeds_would_not_decide_says_so():
    runs = [run for seed, gap in enumerate((-0.1, 0.14, 0.01)) for run in four_runs(plain_deep=0.2 + gap, seed=seed)]
    comparison = compared(runs)
    assert comparison.gaps[0].seeds_needed is None
    assert "more than 50 more seeds would be needed" in comparison.verdict[0]


def test_gap_uses_only_seeds_that_both_depths_have():
    runs = [made_run("plain", 20, seed, train=0.2) for seed in range(3)]
    runs += [made_run("plain", 56, seed, train=error) for seed, error in [(0, 0.3), (1, 0.1), (7, 0.9)]]
    (gap,) = compared(runs).gaps
    assert gap.seeds == (0, 1)
    assert gap.degradation == "undecided"


def test_failed_runs_and_runs_at_chance_level_are_listed():
    runs = [
        made_run("plain", 56, 0, train=0.899),
        made_run("plain", 56, 1, state="diverged"),
        made_run("plain", 56, 2, state="failed"),
    ]
    comparison = compared(runs)
    (cell,) = comparison.cells
    assert cell.lost == ("plain-56-s1 (diverged)", "plain-56-s2 (failed)")
    assert cell.at_chance == ("plain-56-s0",)
    assert "At chance level, as if nothing had been learnt: plain-56-s0." in comparison.missing
    assert compared([made_run("plain", 56, train=0.85)]).cells[0].at_chance == ()
    of_100 = {"dataset": "cifar100", "train_images": 100, "validation_images": 20, "test_images": 20}
    assert compared([made_run("plain", 56, train=0.92, data=of_100)]).cells[0].at_chance == ()
    assert compared([made_run("plain", 56, train=0.99, data=of_100)]).cells[0].at_chance == ("plain-56-s0",)


def test_runs_whose_warmup_never_ended_are_listed():
    warmed = {"recipe__warmup": {"from_depth": 20, "lr": 0.01}}
    run = made_run("plain", 20, **warmed)
    low, high = (dataclasses.replace(run.train[0], step=step, lr=lr) for step, lr in ((10, 0.01), (20, 0.1)))
    sentence = "Trained with the lr of the warm-up throughout, since it never ended: plain-20-s0."
    assert sentence in compared([dataclasses.replace(run, train=[low])]).missing
    assert sentence not in compared([dataclasses.replace(run, train=[low, high])]).missing
    shallower = dataclasses.replace(made_run("plain", 14, **warmed), train=[low])
    assert not any("warm-up" in sentence for sentence in compared([shallower]).missing)


def test_runs_on_different_image_files_are_left_out():
    of_folder = {"dataset": "folder", "num_classes": 3, "train_images": 100, "validation_images": 20, "test_images": 20}
    runs = [
        dataclasses.replace(
            made_run("plain", depth, data=of_folder),
            environment={"data": {"sha256": {"names": names, "files": files}}} if names else {},
        )
        for depth, names, files in ((20, "a", "1"), (32, "b", "2"), (44, None, None), (56, "a", "3"))
    ]
    comparison = compared(runs)
    assert [run.name for run in comparison.runs] == ["plain-20-s0", "plain-44-s0", "plain-56-s0"]
    assert comparison.missing[:2] == (
        "plain-32-s0: left out, trained on different images.",
        "plain-56-s0: some image files differed in size from those of plain-20-s0.",
    )


def test_json_values_omit_the_best_test_error_unless_asked(tmp_path):
    comparison = compared([run for seed in range(3) for run in four_runs(seed=seed)])
    values = json.loads(json.dumps(comparison_values(comparison)))
    assert values["format"] == 2
    first = values["cells"][0]["train_error"]
    assert (first["values"], first["deviation"]) == ([0.2] * 3, 0.0)
    assert [first["mean"], *first["interval"]] == pytest.approx([0.2] * 3)
    assert values["gaps"][0]["p_value"] == 0.125
    assert "best_test_error" not in values["cells"][0]
    assert comparison_values(comparison, best=True)["cells"][0]["best_test_error"]["mean"] == 0.02


def test_runs_of_another_recipe_are_left_out_and_the_difference_is_named():
    comparison = compared([*four_runs(), made_run("plain", 32, recipe__lr=0.3)])
    assert {cell.depth for cell in comparison.cells} == {20, 56}
    assert any("plain-32-s0: left out, different recipe (recipe.lr = 0.3)" in sentence for sentence in comparison.missing)


@pytest.mark.parametrize(
    ("runs", "sentence"),
    [
        ([], "No plain run has finished"),
        ([made_run("plain", 20)], "All plain nets have depth 20"),
        ([made_run("plain", 20)], "No residual run has finished"),
        ([made_run("plain", 20), made_run("plain", 56, seed=1)], "no seed in common"),
        ([made_run("plain", 20, state="running")], "plain-20-s0 is not in the table: running at step 30 of 30."),
        ([made_run("plain", 20, state="diverged")], "plain-20-s0 is not in the table: diverged"),
        ([made_run("plain", 20, state="planned")], "1 planned run not in the table: plain-20-s0."),
        (
            [made_run("plain", 20, seed, state="planned") for seed in range(5)],
            "5 planned runs not in the table: plain-20-s0, plain-20-s1, plain-20-s2 and 2 more.",
        ),
    ],
)
def test_comparison_lists_what_is_missing_for_a_verdict(runs, sentence):
    comparison = compared(runs)
    assert any(sentence in reason for reason in comparison.missing)
    assert comparison.verdict[0].startswith("No verdict")
