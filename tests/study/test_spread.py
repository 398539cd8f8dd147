"""The statistics over seeds: compared with scipy and with full enumeration, and the coverage of the interval."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from resnet_lab.study.spread import Spread, half_width, sign_flip_p

SAMPLES = [(0.1, 0.2, 0.6), (0.31, 0.29, 0.3, 0.35), tuple(np.linspace(0.1, 0.2, 12))]


@pytest.mark.parametrize("values", SAMPLES)
def test_mean_deviation_and_interval_equal_those_of_scipy(values):
    spread = Spread(values)
    assert spread.mean == pytest.approx(np.mean(values))
    assert spread.deviation == pytest.approx(np.std(values, ddof=1))
    expected = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    assert spread.interval == pytest.approx(expected)
    assert half_width(len(values), spread.deviation) == pytest.approx((expected[1] - expected[0]) / 2)


def test_interval_equals_a_computation_by_hand():
    assert Spread((0.1, 0.2, 0.3)).deviation == pytest.approx(0.1)
    low, high = Spread((0.1, 0.2, 0.3)).interval
    assert high - 0.2 == pytest.approx(4.302653 * 0.1 / math.sqrt(3), rel=1e-6)  # t of 2 degrees of freedom, two-sided 5 %
    assert low == pytest.approx(0.4 - high)


def test_one_seed_has_no_deviation_and_two_have_no_interval():
    assert (Spread((0.1,)).deviation, Spread((0.1,)).interval) == (None, None)
    assert Spread((0.1, 0.2)).deviation is not None
    assert Spread((0.1, 0.2)).interval is None


def test_equal_values_have_an_interval_of_zero_width():
    assert Spread((0.25, 0.25, 0.25)).interval == (0.25, 0.25)


def enumerated_p_value(values):
    """The share of all choices of signs whose sum is at least that of the values."""
    choices = itertools.product((1, -1), repeat=len(values))
    sums = [sum(sign * value for sign, value in zip(signs, values, strict=True)) for signs in choices]
    return sum(total >= sum(values) - 1e-9 for total in sums) / len(sums)


@pytest.mark.parametrize(
    "values",
    [
        (0.1,),
        (-0.1,),
        (0.1, 0.2),
        (0.1, 0.1, -0.1),
        (0.3, -0.1, 0.2, 0.05, 0.1),
        (0.01,) * 5,
        (-0.2, 0.1, 0.4, 0.4, -0.3, 0.2, 0.1),
    ],
)
def test_sign_flip_p_value_equals_full_enumeration(values):
    assert sign_flip_p(values) == enumerated_p_value(values)


def test_sign_flip_p_value_equals_scipy_and_works_for_30_seeds():
    source = np.random.default_rng(0)
    values = source.normal(0.02, 0.05, size=9)
    reference = stats.permutation_test((values,), np.sum, permutation_type="samples", alternative="greater", n_resamples=np.inf)
    assert sign_flip_p(tuple(values)) == pytest.approx(reference.pvalue)
    assert sign_flip_p((0.1,) * 5) == 1 / 32
    assert sign_flip_p((0.1,) * 30) == 2**-30


def test_p_value_of_many_seeds_is_estimated():
    values = tuple(np.random.default_rng(1).normal(0.003, 0.02, size=33))
    assert sign_flip_p(values) == pytest.approx(stats.ttest_1samp(values, 0, alternative="greater").pvalue, abs=0.01)
    assert sign_flip_p((0.1,) * 100) == 1 / 100_001


def test_interval_covers_the_true_mean_in_95_percent_of_studies():
    """In 4,000 simulated studies of five seeds the share has a standard error of 0.34 points."""
    source = np.random.default_rng(1)
    hits = 0
    for values in source.normal(0.3, 0.02, size=(4_000, 5)):
        low, high = Spread(tuple(values)).interval
        hits += low <= 0.3 <= high
    assert hits / 4_000 == pytest.approx(0.95, abs=0.012)


def test_sign_flip_test_rejects_at_its_nominal_rate():
    source = np.random.default_rng(2)
    rejected = sum(sign_flip_p(tuple(values)) <= 0.0625 for values in source.normal(0.0, 0.02, size=(3_000, 5)))
    assert rejected / 3_000 == pytest.approx(0.0625, abs=0.015)  # 2 of the 32 choices of signs
