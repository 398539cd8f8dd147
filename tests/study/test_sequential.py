"""The bound for repeated looks: its error rates by simulation, and the verdicts that rest on it."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from resnet_lab.record.sequential import Design, Look, read_design, write_design
from resnet_lab.record.study import Study, read_study
from resnet_lab.report import markdown
from resnet_lab.study.compare import compare
from resnet_lab.study.differences import MATTERS
from resnet_lab.study.sequential import bounds, critical_values, half_width
from resnet_lab.study.values import comparison_values
from tests.builders import document_of, made_run

ONE_SIDE = 0.025


def statistics_by_look(first, most, mean=0.0, studies=200_000, seed=0):
    """Simulated studies of up to `most` seeds: mean and standard error at each number of seeds, `(studies, looks)` each."""
    gaps = np.random.default_rng(seed).normal(mean, 1.0, size=(studies, most))
    counts = np.arange(1, most + 1)
    means = gaps.cumsum(1) / counts
    variances = (np.square(gaps).cumsum(1) - counts * means**2)[:, first - 1 :] / (counts[first - 1 :] - 1)
    return means[:, first - 1 :], np.sqrt(variances / counts[first - 1 :])


def standard_error(studies=200_000):
    return (ONE_SIDE * (1 - ONE_SIDE) / studies) ** 0.5


def ever_wrong(first, most, criticals, studies=200_000):
    """The share of studies, with a true gap of zero, whose interval lies above zero at any look."""
    means, errors = statistics_by_look(first, most, studies=studies)
    return np.mean((means > np.asarray(criticals) * errors).any(axis=1))


@pytest.mark.parametrize(("first", "most"), [(3, 10), (3, 6), (5, 8), (3, 3)])
def test_error_over_all_looks_is_at_most_the_nominal_one_and_close_to_it(first, most):
    share = ever_wrong(first, most, critical_values(first, most))
    assert share < ONE_SIDE + 2 * standard_error()
    assert share > ONE_SIDE - 4 * standard_error()


def test_the_rule_for_fixed_seeds_would_err_three_times_too_often():
    criticals = stats.t.ppf(1 - ONE_SIDE, np.arange(2, 10))  # of Student's 95 % interval
    assert ever_wrong(3, 10, criticals) == pytest.approx(0.084, abs=0.002)


@pytest.mark.slow
@pytest.mark.parametrize(("first", "most"), [(3, 10), (3, 20)])
def test_error_over_all_looks_in_a_million_studies(first, most):
    assert ever_wrong(first, most, critical_values(first, most), studies=1_000_000) < ONE_SIDE + 2 * standard_error(1_000_000)


@pytest.mark.parametrize("deviation", [0.5, 2.0, 8.0])  # in units of MATTERS
def test_neither_verdict_is_wrong_too_often_if_the_first_that_is_reached_stands(deviation):
    """Of two true gaps: zero, where `shown` is wrong, and MATTERS, where `not shown` is."""
    criticals = np.asarray(critical_values(3, 10))
    for gap, shown_is_wrong in ((0.0, True), (1 / deviation, False)):
        means, errors = statistics_by_look(3, 10, mean=gap, studies=100_000)
        shown = means - criticals * errors > 0
        not_shown = means + criticals * errors < 1 / deviation
        looks = np.where(shown.any(1), shown.argmax(1), 99), np.where(not_shown.any(1), not_shown.argmax(1), 99)
        wrong = looks[0] < looks[1] if shown_is_wrong else looks[1] < looks[0]
        assert wrong.mean() < ONE_SIDE + 2 * standard_error(100_000)


def test_one_look_is_students_interval():
    assert critical_values(7, 7) == (pytest.approx(stats.t.ppf(0.975, 6), abs=0.01),)


def test_error_spent_at_each_look_follows_the_function_of_pococks_type():
    means, errors = statistics_by_look(3, 10)
    first_crossings = np.bincount((means > np.asarray(critical_values(3, 10)) * errors).argmax(1), minlength=8)[1:] / len(means)
    spent = ONE_SIDE * np.log(1 + (np.e - 1) * np.arange(3, 11) / 10)
    assert np.allclose(first_crossings, np.diff(spent), atol=3 * (0.003 / len(means)) ** 0.5)


def test_bounds_are_intervals_of_the_first_seeds():
    design = Design(first_look=3, max_seeds=6)
    values = (0.1, 0.12, 0.17, 0.13)
    first, second = bounds(values, design)
    assert (first.look, first.num_seeds, second.look, second.num_seeds) == (1, 3, 2, 4)
    half = critical_values(3, 6)[0] * np.std(values[:3], ddof=1) / 3**0.5
    assert first.interval == pytest.approx((0.13 - half, 0.13 + half))
    assert first.confidence == pytest.approx(1 - 2 * stats.t.sf(critical_values(3, 6)[0], 2))
    assert half_width(design, 4, 0.1) == pytest.approx(critical_values(3, 6)[1] * 0.1 / 2)
    assert bounds(values[:2], design) == []
    assert len(bounds(values * 3, design)) == 4


def compared(gaps, design):
    """The comparison of a study of plain nets with these gaps, one for each seed."""
    runs = [made_run("plain", depth, seed, train=0.2 + gap * (depth == 56)) for seed, gap in gaps.items() for depth in (20, 56)]
    return compare(Study(Path("s"), tuple(runs), design=design))


DESIGN = Design(first_look=3, max_seeds=10)
GAPS = {0: 0.05, 1: 0.09, 2: 0.07}  # decided by Student's interval, 2.0 to 12.0 points, and not by the bound


def test_verdict_rests_on_the_bound_and_says_how_sure_it_is():
    assert compared(GAPS, None).gaps[0].degradation == "shown"
    comparison = compared(GAPS, DESIGN)
    assert comparison.gaps[0].degradation == "undecided"
    assert comparison.gaps[0].seeds_needed == 1
    assert "undecided; run 1 more seed" in comparison.verdict[0]
    assert (
        "97.9 % interval -0.89 to +14.89 over 3 seeds, look 1 of at most 8; error over all looks at most 5 %"
        in comparison.verdict[0]
    )
    comparison = compared(GAPS | {3: 0.07}, DESIGN)
    assert "Degradation shown in plain nets." in comparison.verdict[0]
    assert "over 4 seeds, look 2 of at most 8" in comparison.verdict[0]
    text = markdown.render(document_of(comparison))
    assert "Lan and DeMets 1983" in text
    assert "rests on wider ones" in text
    [gap] = json.loads(json.dumps(comparison_values(comparison)))["gaps"]
    assert "design" not in gap
    assert {**gap["sequential"], "bound": gap["sequential"]["bound"]["look"]} == {
        "first_look": 3, "max_seeds": 10, "overall_error": 0.05, "bound": 2
    }  # fmt: skip


def test_verdict_that_was_reached_stands_when_more_seeds_are_added():
    gap = compared(GAPS | {3: 0.07, 4: -0.5, 5: 0.5}, DESIGN).gaps[0]
    assert (gap.degradation, gap.bound.num_seeds) == ("shown", 4)
    gap = compared(dict.fromkeys(range(12), 0.0) | {0: 0.5}, Design(first_look=3, max_seeds=6)).gaps[0]
    assert (gap.degradation, gap.bound.num_seeds, gap.seeds_needed) == ("undecided", 6, None)


def test_small_gap_is_not_shown_and_two_seeds_have_no_verdict():
    assert compared({0: 0.001, 1: 0.002, 2: 0.001}, DESIGN).gaps[0].degradation == "not shown"
    comparison = compared({0: MATTERS * 5, 1: MATTERS * 5}, DESIGN)
    assert (comparison.gaps[0].degradation, comparison.gaps[0].seeds_needed) == ("undecided", 1)
    assert "the first look is at 3 seeds" in comparison.verdict[0]


def test_seeds_count_in_the_order_of_the_looks():
    design = DESIGN.with_look([0, 1, 9], "undecided")
    assert design.with_look([0, 1, 9], "undecided") is design
    assert compared(dict.fromkeys((0, 1, 2, 9), 0.0), design).gaps[0].seeds == (0, 1, 9, 2)


def test_design_is_read_as_it_was_written_and_a_damaged_one_is_reported(tmp_path):
    design = Design(first_look=3, max_seeds=6, looks=(Look(time="now", seeds=(0, 1, 2), verdict="undecided"),))
    assert read_design(tmp_path) is None
    write_design(tmp_path / "s", design)
    assert read_study(tmp_path / "s").design == design
    (tmp_path / "s" / "sequential.json").write_text('{"first_look": 4, "max_seeds": 3}')
    damaged = read_study(tmp_path / "s")
    assert damaged.design is None
    assert damaged.faults[0].startswith("sequential.json is not valid: restore it")
