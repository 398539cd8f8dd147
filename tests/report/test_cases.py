"""The report's section on varied settings: its table, figures, and the points of its runs."""

import shlex

import pytest

from resnet_lab.config.files import load_study
from resnet_lab.report import case_figures, charts, markdown
from resnet_lab.report.details import command
from resnet_lab.report.illustrations import cases
from resnet_lab.report.tables import case_table
from tests.builders import compared, document_of, four_runs, made_run


def varied(kind, train, depth=56, **changes):
    settings = {"varied": ["recipe.lr"], "recipe__lr": 0.2} | changes
    return [made_run(kind, depth, seed, train=train + seed / 1000, **settings) for seed in range(3)]


@pytest.fixture
def runs():
    base = [run for seed in range(3) for run in four_runs(seed=seed)]
    return [*base, *varied("plain", 0.25), *varied("plain", 0.21, recipe__lr=0.01), *varied("residual", 0.07)]


MOMENTUM = {"varied": ["recipe.momentum"], "recipe__momentum": 0.5, "recipe__lr": 0.05}


def test_one_numeric_setting_is_drawn_as_a_curve_with_base_networks_as_lines(runs):
    comparison = compared(runs)
    assert [illustration.stem for illustration in cases(comparison)] == ["cases-lr"]
    (axes,) = case_figures.against_value(comparison, "recipe.lr").axes
    plain, residual = (container.lines[0] for container in axes.containers)
    assert list(plain.get_xdata()) == [0.01, 0.05, 0.2]  # the base runs are at 0.05
    assert list(plain.get_ydata()) == pytest.approx([21.1, 30, 25.1])
    assert list(residual.get_xdata()) == [0.05, 0.2]
    assert axes.get_xlabel() == "lr (base runs: 0.05)"
    assert axes.get_xscale() == "log"
    assert {text.get_text() for text in axes.texts} == {"plain-20", "plain-56", "residual-56"}


def residual(errors=(0.1,) * 3, **settings):
    model = {"kind": "residual", "depth": 56, "width": 4} | settings
    varied = [f"model.{key}" for key in settings]
    return [made_run("residual", 56, seed, train=error, model=model, varied=varied) for seed, error in enumerate(errors)]


def test_the_curve_of_shortcuts_leads_from_the_plain_network_to_the_residual_one():
    base = [run for seed in range(3) for run in four_runs(seed=seed)]
    comparison = compared([*base, *residual([0.2] * 3, shortcut_scale=0.25), *residual(shortcut_scale=0.5)])
    (axes,) = case_figures.against_value(comparison, "model.shortcut_scale").axes
    curve, plain = (container.lines[0] for container in axes.containers)
    assert list(curve.get_xdata()) == [0, 0.25, 0.5, 1]
    assert list(curve.get_ydata()) == pytest.approx([30, 20, 10, 5])
    assert (list(plain.get_xdata()), list(plain.get_ydata())) == ([0], [30])
    assert axes.get_xlabel() == "shortcut_scale (base runs: plain-56 at 0, residual-56 at 1)"
    assert {text.get_text() for text in axes.texts} == {"plain-20", "residual-56"}
    comparison = compared([*base, *residual(shortcut_scale=0.0), *residual(shortcut_scale=0.5)])
    (axes,) = case_figures.against_value(comparison, "model.shortcut_scale").axes
    assert list(axes.containers[0].lines[0].get_xdata()) == [0, 0.5, 1]


def test_effects_are_those_on_the_plain_network_if_it_degrades():
    base = [run for seed in range(3) for run in four_runs(seed=seed)]
    runs = [*base, *residual([0.24, 0.25, 0.26], order="preactivation"), *residual([0.1, 0.11, 0.12], span=1)]
    comparison = compared([*runs, *varied("residual", 0.049)])
    (axes,) = case_figures.side_by_side(comparison).axes
    beside = {text.xy: text.get_text() for text in axes.texts}
    assert beside[1, 0] == "effect on plain-56"
    assert [beside[1, row] for row in (1, 2, 3)] == ["reduces 50 %", "removes", "no effect shown (residual-56)"]
    by_label = {row[1]: row for row in case_table(comparison).rows}
    assert by_label["order = preactivation"][-2:] == ("raises", "50 % of plain-56's (reduces)")
    assert by_label["lr = 0.2"][-2:] == ("no effect shown", "-")


def test_several_settings_are_drawn_side_by_side_with_diverged_ones_marked(runs):
    lost = [made_run("plain", 56, state="diverged", **MOMENTUM)]
    comparison = compared([*runs, *lost])
    assert [illustration.stem for illustration in cases(comparison)] == ["cases-lr", "cases"]
    (axes,) = case_figures.side_by_side(comparison).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["lr = 0.01", "lr = 0.2", "momentum = 0.5", "lr = 0.2"]
    assert list(axes.get_yticks()) == [1, 2, 3, 5]
    beside = {text.xy: text.get_text() for text in axes.texts}
    assert (beside[0, 0], beside[1, 0], beside[0, 4], beside[1, 4]) == (
        "plain-56", "effect on plain-56", "residual-56", "effect on residual-56"
    )  # fmt: skip
    assert [beside[1, row] for row in (1, 2, 3, 5)] == ["removes", "reduces 49 %", "diverged", "raises"]
    means = [container.lines[0].get_xdata()[0] for container in axes.containers]
    assert means == pytest.approx([21.1, 25.1, 7.1])
    (legend,) = axes.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["plain-20", "plain-56", "residual-56"]


def test_the_section_has_sentences_figure_table_and_rules(runs):
    comparison = compared([*runs, *varied("plain", 0.2, **MOMENTUM)])
    text = markdown.render(document_of(comparison))
    section = text.partition("## What changes the error")[2].partition("\n## ")[0]
    assert "- momentum = 0.5 removes the degradation of plain-56: +0.10 points from plain-20" in section
    assert "(../cases-lr.svg)" in section
    assert "(../cases.svg)" in section
    assert "of twenty settings without any effect, one is expected to appear to have one" in section
    assert "Settings that the base runs share" in text
    assert "What changes the error" not in markdown.render(document_of(compared(four_runs())))
    row = next(row for row in case_table(comparison).rows if row[1] == "momentum = 0.5")
    assert row == ("plain-56", "momentum = 0.5", "3", "20.10 ± 0.10", "20.00 ± 0.00", "-9.90 [-10.15, -9.65]", "removes", "99 %")


def test_points_of_varied_runs_are_in_the_csv_with_their_settings(runs):
    lines = charts.curve_points(compared(runs)).splitlines()
    assert lines[0] == "run,variant,kind,shortcut,depth,seed,varied,step,series,error"
    assert "plain-56-lr=0.2-s0,plain,plain,A,56,0,lr = 0.2,30,test,0.2" in lines
    assert "plain-56-s0,plain,plain,A,56,0,,30,test,0.35" in lines


def test_the_command_of_a_varied_run_repeats_it_under_its_name(runs):
    config = runs[-1].config
    words = shlex.split(command(config))
    overrides = [words[index + 1] for index, word in enumerate(words) if word == "--set"]
    again = load_study(words[3], overrides).run(kind="residual", depth=56, seed=2)
    assert (again, again.name) == (config, "residual-56-lr=0.2-s2")
