"""The comparison by hand-made runs: means, gaps, verdicts, and what is missing."""

from pathlib import Path

import pytest

from resnet_lab.compare import Spread, compare
from resnet_lab.record.store import Run, RunFolder
from resnet_lab.records import EvalRecord, Event, TrainRecord
from tests.conftest import tiny


def made(kind, depth, seed=0, *, train=0.1, test=0.2, state="finished", images=10_000, **changes) -> Run:
    config = tiny(model={"kind": kind, "depth": depth, "width": 4}, seed=seed, data__dataset="cifar10", **changes)
    evaluations = [
        EvalRecord(15, 0.01, 0.1, 30, None, None, 0.02, 0.1, 1.0),  # better than the last, and never chosen
        EvalRecord(30, train, 0.1, images, None, None, test, 0.1, 1.0),
    ]
    return Run(
        folder=RunFolder(Path(f"runs/s/{config.name}")),
        config=config,
        state=state,
        train=[TrainRecord(30, train + 0.05, 1.0, 0.1, 80, 1.0)],
        validation=[],
        evaluations=evaluations,
        events=[Event("2026-01-01T00:00:00+00:00", "started", 0, {"parameters": 123})],
        environment={},
    )


def test_cells_hold_mean_and_sample_deviation_of_the_last_evaluation():
    comparison = compare("s", [made("plain", 20, seed, train=train) for seed, train in enumerate([0.1, 0.2, 0.6])])
    (cell,) = comparison.cells
    assert cell.train_error.mean == pytest.approx(0.3)
    assert cell.train_error.deviation == pytest.approx(0.2645751311)
    assert cell.test_error == Spread(pytest.approx(0.2), pytest.approx(0.0))
    assert cell.running_train_error is not None
    assert cell.running_train_error.mean == pytest.approx(0.35)
    assert (cell.seeds, cell.parameters, cell.train_images) == ((0, 1, 2), 123, 10_000)


def test_one_seed_has_no_deviation():
    assert compare("s", [made("plain", 20)]).cells[0].train_error == Spread(0.1, None)


def four(plain_deep=0.3, residual_deep=0.05):
    return [
        made("plain", 20, train=0.2),
        made("plain", 56, train=plain_deep, test=0.35),
        made("residual", 20, train=0.1),
        made("residual", 56, train=residual_deep),
    ]


def test_the_verdict_names_the_gap_of_each_kind():
    comparison = compare("s", four())
    plain, residual = comparison.gaps
    assert (plain.shallow, plain.deep, plain.degradation, residual.degradation) == (20, 56, "shown", "not shown")
    assert plain.train_gaps == (pytest.approx(0.1),)
    assert plain.test_gaps == (pytest.approx(0.15),)
    assert (
        "Degradation shown in plain nets: training error 20.00 % at depth 20, 30.00 % at depth 56 (+10.00 points"
        in (comparison.verdict[0])
    )
    assert "No degradation in residual nets" in comparison.verdict[1]
    assert "one seed, so no interval" in comparison.verdict[0]
    assert comparison.missing == ()


def test_a_gap_within_the_margin_of_the_images_is_none():
    comparison = compare("s", four(plain_deep=0.205))
    assert comparison.gaps[0].margin == pytest.approx(2 * (0.2 * 0.8 / 1e4 + 0.205 * 0.795 / 1e4) ** 0.5)
    assert comparison.gaps[0].degradation == "not shown"


@pytest.mark.parametrize(("deep", "expected"), [(0.2, "not shown"), (0.215, "undecided"), (0.22, "undecided"), (0.23, "shown")])
def test_one_seed_does_not_decide_what_seeds_may_make(deep, expected):
    comparison = compare("s", four(plain_deep=deep))
    assert comparison.gaps[0].degradation == expected
    assert ("one seed is too few" in comparison.verdict[0]) == (expected == "undecided")
    two = [*four(plain_deep=deep), made("plain", 20, 1, train=0.2), made("plain", 56, 1, train=deep)]
    assert compare("s", two).gaps[0].degradation == ("not shown" if deep == 0.2 else "shown")


def test_seeds_that_disagree_are_undecided_and_only_shared_seeds_count():
    runs = [made("plain", 20, seed, train=0.2) for seed in range(3)]
    runs += [made("plain", 56, seed, train=error) for seed, error in [(0, 0.3), (1, 0.1), (7, 0.9)]]
    (gap,) = compare("s", runs).gaps
    assert gap.seeds == (0, 1)
    assert gap.degradation == "undecided"


def test_runs_of_another_recipe_are_left_out_and_the_keys_named():
    comparison = compare("s", [*four(), made("plain", 32, recipe__lr=0.3)])
    assert {cell.depth for cell in comparison.cells} == {20, 56}
    assert any("plain-32-s0: left out, of another recipe (recipe.lr = 0.3)" in sentence for sentence in comparison.missing)


@pytest.mark.parametrize(
    ("runs", "sentence"),
    [
        ([], "There is no finished plain run"),
        ([made("plain", 20)], "There is only depth 20 of plain nets"),
        ([made("plain", 20)], "There is no finished residual run"),
        ([made("plain", 20), made("plain", 56, seed=1)], "share no seed"),
        ([made("plain", 20, state="running")], "plain-20-s0 is running, at step 30 of 30, and not in the table."),
        ([made("plain", 20, state="diverged")], "plain-20-s0 is diverged"),
    ],
)
def test_what_is_missing_is_said(runs, sentence):
    comparison = compare("s", runs)
    assert any(sentence in each for each in comparison.missing)
    assert comparison.verdict[0].startswith("No verdict")
