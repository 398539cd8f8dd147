"""The curves as text: places of marks, the common scale, the width, and when the chart is shown."""

import dataclasses
import io

import pytest
from rich.console import Console

from resnet_lab.cli import plot, terminal
from resnet_lab.record.lines import EvalRecord, TrainRecord
from tests.builders import four_runs, made_run, written_study


def chart_lines(runs, width=80):
    return ["".join(span.text for span in line) for line in plot.curves(runs, width)]


def run_with_errors(kind="plain", depth=20, seed=0, *, test=(), training=None):
    """A run of 30 steps with these pairs of step and error; by default, training errors are those on test images.

    The running training error, which the chart does not show, is 100 %.
    """
    clean = dict(test if training is None else training)
    return dataclasses.replace(
        made_run(kind, depth, seed),
        train=[TrainRecord(step, 1.0, 1.0, 0.1, 80, 1.0) for step, _ in test],
        evaluations=[EvalRecord(step, clean[step], 0.1, 30, None, None, error, 0.1, 1.0) for step, error in test],
    )


def test_panels_stand_side_by_side_on_one_scale_in_80_columns():
    lines = chart_lines(four_runs())
    assert max(map(len, lines)) <= 80
    assert len(lines) == 1 + plot.ROWS + 2 + 1
    assert lines[0].split() == ["plain", "residual"]
    assert [line[:5] for line in lines[1 : 1 + plot.ROWS : 3]] == [" 45 ┤", " 30 ┤", " 15 ┤", "  0 ┤"]
    for line in lines[1 : 1 + plot.ROWS]:
        assert line[:5] == line[41:46]  # the same numbers on both
    assert lines[12].split() == ["0", "30", "0", "30"]


@pytest.mark.parametrize("width", [30, 40, 60, 79, 80, 120, 300])
def test_no_line_is_wider_than_the_given_width(width):
    assert max(map(len, chart_lines(four_runs(), width))) <= width


def test_narrow_terminal_has_one_panel_below_the_other():
    lines = chart_lines(four_runs(), 50)
    assert lines[0].strip() == "plain"
    assert lines[plot.ROWS + 3].strip() == "residual"


def test_test_errors_are_drawn_as_filled_marks_at_their_points():
    lines = chart_lines([run_with_errors(test=[(0, 0.9), (30, 0.3)])])
    assert lines[1].startswith(" 90 ┤●")
    assert next(line for line in lines if "●20" in line)[33] == "●"  # the last column of the panel, and its label beside it
    assert "▲" not in "".join(lines)
    assert "no residual runs" in lines[0]


def test_clean_training_errors_are_dotted_lines_with_hollow_marks_between_the_evaluations():
    ends = {depth: [(0, depth / 100), (30, depth / 100)] for depth in (20, 56)}
    runs = [run_with_errors("plain", depth, test=[(0, 0.9), (30, 0.8)], training=training) for depth, training in ends.items()]
    lines = chart_lines(runs)
    (shallow,) = [line for line in lines if "○" in line]
    (deep,) = [line for line in lines if "△" in line]
    assert lines.index(deep) < lines.index(shallow)
    for line in (shallow, deep):
        drawn = line[5:33]
        assert all(char in "○△" or 0x2800 <= ord(char) <= 0x28FF for char in drawn)
        assert sum(char in "○△" for char in drawn) > 2


def test_deeper_networks_are_darker_and_test_errors_are_bold():
    levels = {depth: [(0, depth / 100), (30, depth / 100)] for depth in (20, 56)}
    runs = [run_with_errors("plain", depth, test=test, training=[(0, 0.4), (30, 0.4)]) for depth, test in levels.items()]
    spans = [span for line in plot.curves(runs, 80) for span in line]
    shallow, deep = (next(span for span in spans if span.text == mark) for mark in "●▲")
    assert (shallow.bold, deep.bold) == (True, True)
    assert sum(int(shallow.colour[i : i + 2], 16) for i in (1, 3, 5)) > sum(int(deep.colour[i : i + 2], 16) for i in (1, 3, 5))
    assert {span.colour for span in spans if span.text.strip() == "▲56"} == {deep.colour}
    assert not any(span.bold for span in spans if span.text in ("○", "△"))


def test_several_seeds_are_drawn_as_their_mean():
    both = chart_lines(
        [
            run_with_errors(seed=0, test=[(30, 0.2)]),
            run_with_errors(seed=1, test=[(30, 0.4)]),
            run_with_errors(depth=56, test=[(0, 0.0), (30, 0.9)]),
        ]
    )
    one = chart_lines([run_with_errors(seed=0, test=[(30, 0.3)]), run_with_errors(depth=56, test=[(0, 0.0), (30, 0.9)])])
    assert both[:-1] == one[:-1]
    assert "means over seeds" in both[-1]
    assert "means" not in one[-1]


def test_runs_without_records_make_no_chart():
    assert plot.curves([], 80) == []
    assert plot.curves([run_with_errors()], 80) == []


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.0, 0.0), (0.15, 0.88), (0.001, 0.002), (0.9, 0.91), (0.5, 0.5)])
def test_every_error_lies_within_the_scale(low, high):
    lines = chart_lines([run_with_errors(test=[(0, high), (30, low)])])
    marks = [(row, line.index("●")) for row, line in enumerate(lines[1:-1]) if "●" in line]
    assert all(row < plot.ROWS for row, _ in marks)
    highest, *_, lowest = (int(line[:3]) for line in lines[1 : 1 + plot.ROWS] if line[4] == "┤")
    assert lowest <= 100 * low <= 100 * high <= highest


def test_chart_appears_only_at_a_terminal_and_respects_no_color(monkeypatch, capsys):
    terminal.curves(four_runs())
    assert capsys.readouterr().out == ""
    for environment, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        screen = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        console = Console(file=screen, force_terminal=True, width=80, color_system="truecolor", _environ=environment)
        monkeypatch.setattr(terminal, "stdout", console)
        terminal.curves(four_runs())
        screen.seek(0)
        shown = screen.read()
        assert "▲56" in shown
        assert ("38;2;" in shown) == coloured


def test_terminal_without_unicode_gets_no_chart(monkeypatch):
    screen = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(terminal, "stdout", Console(file=screen, force_terminal=True, width=80))
    terminal.curves(four_runs())
    screen.seek(0)
    assert screen.read() == ""


def test_compare_shows_the_chart_at_a_terminal_and_not_with_json(cli, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes stdout for a terminal
    written_study()
    with_json = cli("compare", "--json")
    assert with_json.code == 0
    assert "┤" not in with_json.out
    at_terminal = cli("compare")
    assert at_terminal.code == 0
    assert "┤" in at_terminal.out
