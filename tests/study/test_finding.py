"""The finding in one sentence: one verb for kinds that agree, two for kinds that do not, and what decided settings do."""

import pytest

from resnet_lab.study.finding import NOTHING_YET, finding
from tests.builders import compared, four_runs, made_run


def found(plain_deep, residual_deep):
    return finding(compared(four_runs(plain_deep, residual_deep)).gaps)


@pytest.mark.parametrize(
    ("plain", "residual", "sentence"),
    [
        (
            0.3,
            0.108,
            "Going from 20 to 56 layers raises the training error of plain networks by 10.0 points and that of residual networks "
            "by 0.8.",
        ),
        (
            0.3,
            0.05,
            "Going from 20 to 56 layers raises the training error of plain networks by 10.0 points and lowers that of residual "
            "networks by 5.0.",
        ),
        (
            0.3,
            0.1,
            "Going from 20 to 56 layers raises the training error of plain networks by 10.0 points and leaves that of residual "
            "networks unchanged.",
        ),
    ],
)
def test_one_sentence_compares_the_kinds(plain, residual, sentence):
    assert found(plain, residual) == sentence


def test_without_two_depths_there_is_no_finding():
    assert finding(compared([made_run("plain", 20)]).gaps) == NOTHING_YET


def test_kinds_of_different_depths_have_a_sentence_each():
    runs = [*four_runs()[:2], made_run("residual", 20, train=0.1), made_run("residual", 44, train=0.2)]
    assert finding(compared(runs).gaps) == (
        "Going from 20 to 56 layers raises the training error of plain networks by 10.0 points. "
        "Going from 20 to 44 layers raises the training error of residual networks by 10.0 points."
    )


def test_a_third_variant_joins_the_list():
    runs = [*four_runs(), made_run("residual", 20, shortcut="B", train=0.1), made_run("residual", 56, shortcut="B", train=0.06)]
    assert finding(compared(runs).gaps).endswith(
        "and lowers that of residual networks by 5.0 and that of residual-B networks by 4.0."
    )
