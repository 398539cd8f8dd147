"""The tables of errors, differences and intervals."""

import pytest

from resnet_lab.report import figures, html
from resnet_lab.report.tables import NO_INTERVAL, difference_table, error_table, interval_table
from tests.builders import compared, document_of, four_runs, made_run


@pytest.fixture
def comparison():
    return compared(four_runs(), "study")


def test_error_table_has_plain_beside_residual_and_best_only_if_asked(comparison):
    rows = error_table(comparison).rows
    assert rows[0] == ("20", "20.00", "20.00", "10.00", "20.00", "1")
    assert len(rows) == 2
    best = error_table(comparison, best=True)
    assert best.header[:4] == ("depth", "plain train", "plain test", "plain best test")
    assert best.rows[0][:4] == ("20", "20.00", "20.00", "2.00")
    assert "selected on the test set" in best.caption


def test_tables_of_differences_and_intervals_explain_a_missing_interval(comparison):
    differences = difference_table(comparison)
    assert differences.rows[0] == ("plain, 56 - 20", "1", "+10.00", "+15.00")
    assert differences.rows[-1] == ("interaction", "1", "-15.00", "-15.00")
    assert NO_INTERVAL in differences.caption
    runs = [made_run("plain", 20, seed, train=0.2 + seed / 100) for seed in range(3)] + [
        made_run("plain", 20, 3, state="diverged")
    ]
    intervals = interval_table(compared(runs))
    assert intervals.rows == (
        ("plain-20", "3", "21.00 [18.52, 23.48]", "20.00 [20.00, 20.00]", "26.00 [23.52, 28.48]", "plain-20-s3 (diverged)"),
    )
    assert NO_INTERVAL not in intervals.caption


def test_each_shortcut_option_has_its_own_row_and_colour():
    models = [{"kind": "plain"}, *({"kind": "residual", "shortcut": option} for option in "ABC")]
    runs = [made_run(**model, depth=depth, parameters=100 + index) for index, model in enumerate(models) for depth in (20, 56)]
    comparison = compared(runs)
    table = error_table(comparison)
    assert table.header == ("network", "train", "test", "seeds")
    assert [row[0] for row in table.rows][::2] == ["plain-20", "residual-20", "residual-B-20", "residual-C-20"]
    assert len(set(figures.colours(comparison).values())) == 8
    assert "residual-B-20 and plain-20 are not a matched pair" in html.render(document_of(comparison))
