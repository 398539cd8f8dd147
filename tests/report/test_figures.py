"""The figures: scales, labels, bands over seeds, drops of the learning rate, and the points behind them."""

import dataclasses
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from resnet_lab.record.lines import TrainRecord
from resnet_lab.report import charts, figures
from tests.builders import compared, four_runs, made_run


@pytest.fixture
def comparison():
    return compared(four_runs(), "study")


def test_curves_of_every_run_share_one_scale_and_are_labelled(comparison):
    figure = figures.curves(comparison)
    plain, residual = figure.axes
    assert plain.get_ylim() == residual.get_ylim()
    assert (plain.get_title(), residual.get_title()) == ("plain networks", "residual networks")
    assert {text.get_text() for text in plain.texts} == {"plain-20", "plain-56"}
    widths = sorted({line.get_linewidth() for line in plain.lines})
    assert widths == [1, 2.2]
    colours = {line.get_color() for axes in figure.axes for line in axes.lines}
    assert len(colours) == 4
    root = ET.fromstring(figures.svg(figure))
    assert root.tag.endswith("svg")


def test_csv_of_curves_has_every_point_in_full_precision(comparison):
    lines = charts.curve_points(comparison).splitlines()
    assert lines[0] == "run,variant,kind,shortcut,depth,seed,step,series,error"
    assert "plain-56-s0,plain,plain,A,56,0,30,test,0.35" in lines
    assert len(lines) == 1 + 4 * (1 + 2 * 2)


@pytest.mark.parametrize(
    ("x", "label"), [("step", "steps"), ("epoch", "epochs"), ("hours", "minutes of training and evaluation")]
)
def test_horizontal_axis_is_steps_epochs_or_time(x, label, comparison):
    axes = figures.curves(comparison, x).axes[0]
    assert axes.get_xlabel() == label
    (last,) = {line.get_xdata()[-1] for line in axes.lines if line.get_linewidth() == 2.2}
    # 30 steps, in epochs of 5 steps (80 images in batches of 16); a second of training and two evaluations of a second
    assert last == pytest.approx({"step": 30, "epoch": 6, "hours": 3 / 60}[x])
    assert axes.get_xlim()[1] == pytest.approx(last)


def test_several_seeds_are_drawn_as_mean_and_band():
    runs = [made_run("plain", depth, seed, test=0.2 + seed / 10) for depth in (20, 56) for seed in range(3)]
    figure = figures.curves(compared(runs))
    axes = figure.axes[0]
    bold = [line for line in axes.lines if line.get_linewidth() == 2.2]
    assert [line.get_ydata()[-1] for line in bold] == [pytest.approx(30.0)] * 2
    assert len(axes.collections) == 2 * 1 + 0  # the tests' bands; the training errors are equal
    assert "range over seeds" in figures.svg(figure)


def test_drops_of_the_learning_rate_are_marked_at_their_steps():
    run = made_run("plain", 20)
    run.train[:] = [TrainRecord(step, 0.5, 1.0, lr, 80, 1.0) for step, lr in [(5, 0.01), (10, 0.1), (20, 0.01), (30, 0.001)]]
    assert charts.lr_drops(run) == [20, 30]
    axes = figures.curves(compared([run])).axes[0]
    assert [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == ":"] == [20, 30]


def test_figure_1_shows_the_shallowest_and_the_deepest_plain_net():
    comparison = compared([made_run(kind, depth) for kind in ("plain", "residual") for depth in (20, 32, 56)])
    training, test = figures.degradation(comparison).axes
    assert (training.get_title(), test.get_title()) == ("training error", "test error")
    assert {text.get_text() for axes in (training, test) for text in axes.texts} == {"plain-20", "plain-56"}
    assert figures.has_figure_1(comparison)
    assert not figures.has_figure_1(compared([made_run("plain", 20), made_run("residual", 56)]))
    planned = dataclasses.replace(made_run("plain", 110, state="planned"), train=[], evaluations=[])
    without_planned = figures.degradation(compared([made_run("plain", 20), made_run("plain", 56), planned])).axes[0]
    assert [text.get_text() for text in without_planned.texts if "plain" in text.get_text()] == ["plain-20", "plain-56"]


def test_long_curves_are_thinned_without_changing_their_mean():
    run = made_run("plain", 20)
    run.train[:] = [TrainRecord(step, 0.25 + 0.05 * (step % 2), 1.0, 0.1, 80, 1.0) for step in range(1, 1281)]
    axes = figures.curves(compared([run])).axes[0]
    (thin,) = [line for line in axes.lines if line.get_linewidth() == 1.0]
    assert len(thin.get_xdata()) <= 300
    assert np.mean(thin.get_ydata()) == pytest.approx(27.5, abs=0.2)
