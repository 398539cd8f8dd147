"""The figures: scales, line styles, labels, bands over seeds, drops of the learning rate, colours, and the points behind them."""

import dataclasses
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from resnet_lab.presentation.style import DOTTED, RUNNING, TEST, TRAINING, apart, label_ends, new_panels, shade
from resnet_lab.record.lines import TrainRecord, ValidationRecord
from resnet_lab.report import charts, figures, over_time
from tests.builders import compared, four_runs, made_run


def drawn_as(style, axes):
    """The lines of a panel with this line style."""
    dashes = "--" if style is TRAINING else "-"
    return [line for line in axes.lines if line.get_linestyle() == dashes and line.get_linewidth() == style["linewidth"]]


@pytest.fixture
def comparison():
    return compared(four_runs(), "study")


@pytest.mark.parametrize("layout", ["wide", "narrow"])
def test_curves_of_every_run_share_one_scale_and_are_labelled(comparison, layout):
    figure = over_time.curves(comparison, layout=layout)
    plain, residual = figure.axes
    assert plain.get_ylim() == residual.get_ylim()
    assert (plain.get_title(), residual.get_title()) == ("plain networks", "residual networks")
    assert {text.get_text() for text in plain.texts} == {"plain-20", "plain-56"}
    boxes = [axes.get_subplotspec() for axes in figure.axes]
    assert [box.rowspan.start for box in boxes] == ([0, 0] if layout == "wide" else [0, 1])
    for axes in figure.axes:
        for style in (RUNNING, TRAINING, TEST):
            assert len(drawn_as(style, axes)) == 2
    assert len({line.get_color() for axes in figure.axes for line in axes.lines}) == 4
    assert ET.fromstring(figures.svg(figure)).tag.endswith("svg")


def test_study_of_one_kind_has_one_panel():
    (axes,) = over_time.curves(compared([made_run("residual", 20), made_run("residual", 56)])).axes
    assert axes.get_title() == "residual networks"
    assert over_time.curves(compared([])).axes[0].get_title() == "no runs"


def test_bold_dashed_line_is_the_clean_training_error_of_the_verdict(comparison):
    plain, _ = over_time.curves(comparison).axes
    assert sorted(line.get_ydata()[-1] for line in drawn_as(TRAINING, plain)) == [20, 30]
    assert sorted(line.get_ydata()[-1] for line in drawn_as(RUNNING, plain)) == [25, 35]


def test_labels_are_as_near_to_the_ends_of_their_lines_as_their_height_allows():
    assert apart([0.1, 0.5], 0.1) == [0.1, 0.5]
    assert apart([0.2, 0.2, 0.2, 0.9], 0.1) == pytest.approx([0.1, 0.2, 0.3, 0.9])
    assert apart([0.0, 0.0], 0.1) == pytest.approx([0, 0.1])
    assert apart([1.0, 1.0], 0.1) == pytest.approx([0.9, 1.0])
    with new_panels("wide", 2, 3.6) as (figure, (axes, other)):
        axes.set_ylim(1, 100)
        axes.set_yscale("log")
        label_ends(axes, [(10, "one", "k"), (10.1, "two", "k"), (90, "three", "k")])
        label_ends(other, [])
        figure.draw_without_rendering()
    boxes = {text.get_text(): text.get_window_extent() for text in axes.texts}
    middle = (boxes["one"].y1 + boxes["two"].y0) / 2
    assert boxes["one"].y1 <= boxes["two"].y0 + 2
    assert middle == pytest.approx(axes.transData.transform((0, 10.05))[1], abs=3)


@pytest.mark.parametrize("variant", ["plain", "residual", "residual-B", "residual-C"])
def test_every_colour_can_be_read_as_text_on_white_and_deeper_is_darker(variant):
    contrasts = [1.05 / (luminance(shade(variant, index, 4)) + 0.05) for index in range(4)]
    assert contrasts[0] >= 4.5
    assert contrasts == sorted(contrasts)
    assert 1.05 / (luminance(shade(variant)) + 0.05) >= 4.5


def luminance(colour):
    """The relative luminance of WCAG 2."""
    channels = [value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4 for value in to_rgb(colour)]
    return np.dot((0.2126, 0.7152, 0.0722), channels)


def test_csv_of_curves_has_every_point_in_full_precision(comparison):
    lines = charts.curve_points(comparison).splitlines()
    assert lines[0] == "run,variant,kind,shortcut,depth,seed,step,series,error"
    assert "plain-56-s0,plain,plain,A,56,0,30,test,0.35" in lines
    assert len(lines) == 1 + 4 * (1 + 2 * 2)


@pytest.mark.parametrize(
    ("x", "label"), [("step", "steps"), ("epoch", "epochs"), ("hours", "minutes of training and evaluation")]
)
def test_horizontal_axis_is_steps_epochs_or_time(x, label, comparison):
    axes = over_time.curves(comparison, x).axes[0]
    assert axes.get_xlabel() == label
    (last,) = {line.get_xdata()[-1] for line in drawn_as(TEST, axes)}
    # 30 steps, in epochs of 5 steps (80 images in batches of 16); a second of training and two evaluations of a second
    assert last == pytest.approx({"step": 30, "epoch": 6, "hours": 3 / 60}[x])
    assert axes.get_xlim()[1] == pytest.approx(last)


def test_several_seeds_are_drawn_as_mean_and_band():
    runs = [made_run("plain", depth, seed, test=0.2 + seed / 10) for depth in (20, 56) for seed in range(3)]
    figure = over_time.curves(compared(runs))
    axes = figure.axes[0]
    assert [line.get_ydata()[-1] for line in drawn_as(TEST, axes)] == [pytest.approx(30.0)] * 2
    assert len(axes.collections) == 2  # those of the test errors; the training errors are equal
    assert "range over seeds" in figures.svg(figure)


def drops_in(axes):
    return [line.get_xdata()[0] for line in axes.lines if line.get_linewidth() == DOTTED["linewidth"]]


LRS = [(5, 0.01), (10, 0.1), (20, 0.01), (30, 0.001)]


def test_checks_and_evaluations_count_as_time():
    run = made_run("plain", 20)  # a second of training, and of each of the evaluations at steps 15 and 30
    run.validation[:] = [ValidationRecord(step, 0.5, 1.0, 10.0) for step in (10, 30)]
    assert charts.hours_at(run) == pytest.approx({15: 11 / 3600, 30: 23 / 3600})
    assert (run.seconds, run.evaluation_seconds) == (23, 22)


@pytest.mark.parametrize(
    ("schedule", "checks", "drops"),
    [
        ({"name": "plateau", "every": 4, "patience": 1}, [], [20, 30]),  # not known: the records after the drops
        ({"name": "plateau", "every": 4, "patience": 1}, [4, 8, 12, 16, 20, 24, 28], [16, 28]),
        ({"name": "milestones", "milestones": [12, 27]}, [], [12, 27]),
    ],
)
def test_drops_of_the_learning_rate_are_marked_at_their_steps(schedule, checks, drops):
    run = made_run("plain", 20, recipe__schedule=schedule)
    run.train[:] = [TrainRecord(step, 0.5, 1.0, lr, 80, 1.0) for step, lr in LRS]
    run.validation[:] = [ValidationRecord(step, 0.5, 1.0, 0.0) for step in checks]
    assert charts.lr_drops(run) == drops
    assert drops_in(over_time.curves(compared([run])).axes[0]) == drops
    (last, *_) = drops_in(over_time.curves(compared([run]), "hours").axes[0])
    assert last == pytest.approx(np.interp(drops[0], [10, 15, 20], [2, 3, 4]) / 60)  # minutes, with an evaluation at step 15


def test_lr_that_all_runs_share_is_one_grey_line():
    run = made_run("plain", 20)
    left, _ = over_time.traces(compared([run, made_run("residual", 20)])).axes
    assert [line.get_color() for line in left.lines] == ["0.3"]


def test_figure_1_shows_the_shallowest_and_the_deepest_plain_net():
    comparison = compared([made_run(kind, depth) for kind in ("plain", "residual") for depth in (20, 32, 56)])
    training, test = over_time.degradation(comparison).axes
    assert (training.get_title(), test.get_title()) == ("training error", "test error")
    assert {text.get_text() for axes in (training, test) for text in axes.texts} == {"plain-20", "plain-56"}
    assert over_time.has_figure_1(comparison)
    assert not over_time.has_figure_1(compared([made_run("plain", 20), made_run("residual", 56)]))
    planned = dataclasses.replace(made_run("plain", 110, state="planned"), train=[], evaluations=[])
    without_planned = over_time.degradation(compared([made_run("plain", 20), made_run("plain", 56), planned])).axes[0]
    assert [text.get_text() for text in without_planned.texts if "plain" in text.get_text()] == ["plain-20", "plain-56"]


def test_long_curves_are_thinned_without_changing_their_mean():
    run = made_run("plain", 20)
    run.train[:] = [TrainRecord(step, 0.25 + 0.05 * (step % 2), 1.0, 0.1, 80, 1.0) for step in range(1, 1281)]
    axes = over_time.curves(compared([run])).axes[0]
    (thin,) = drawn_as(RUNNING, axes)
    assert len(thin.get_xdata()) <= 300
    assert np.mean(thin.get_ydata()) == pytest.approx(27.5, abs=0.2)


def test_depths_start_at_zero_and_training_is_dashed(comparison):
    training, test = figures.by_depth(comparison).axes
    assert training.get_ylim()[0] == test.get_ylim()[0] == 0
    styles = [{container.lines[0].get_linestyle() for container in axes.containers} for axes in (training, test)]
    assert styles == [{"--"}, {"-"}]
