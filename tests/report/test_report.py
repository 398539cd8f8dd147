"""Figures and the report: valid files, the same bytes twice, nothing from outside, markup in names without effect."""

import dataclasses
import itertools
import re
import shlex
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import numpy as np
import pytest

from resnet_lab.config.files import load_study
from resnet_lab.config.paper import departures
from resnet_lab.record.lines import Event, TrainRecord
from resnet_lab.record.store import RunFolder
from resnet_lab.record.study import read_study
from resnet_lab.report import charts, figures, html, markdown
from resnet_lab.report.document import command
from resnet_lab.report.illustrations import curves
from resnet_lab.report.tables import NO_INTERVAL, difference_table, error_table, interval_table
from resnet_lab.report.write import write_report
from resnet_lab.study.compare import compare_study
from resnet_lab.study.published import NUMBERS, PAPER
from tests.builders import compared, document_of, four_runs, made_run, tiny


class Balance(HTMLParser):
    """Fails where a tag is closed that is not open, or in the wrong order."""

    VOID = ("meta", "br", "hr", "img", "input", "link")

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def write(study):
    return write_report(compare_study(study))


PAYLOAD = "<script>alert(1)</script>"


@pytest.fixture
def comparison():
    return compared(four_runs(), "study")


def test_the_page_is_well_formed_and_self_contained(comparison):
    page = html.render(document_of(comparison))
    assert "default-src 'none'" in page
    assert not re.search(r"<link|<img|\ssrc=|@import|url\((?!#)", page)
    assert {link for link in re.findall(r'href="([^"]*)"', page) if not link.startswith("#")} == set()
    Balance().feed(page)
    for title in ("Verdict", "Curves", "Errors", "Recipe", "Departures from the paper", "Environment and data", "Runs"):
        assert f">{title}</h2>" in page


def test_two_reports_of_the_same_runs_are_byte_identical(tmp_path):
    study = tmp_path / "study"
    for kind in ("plain", "residual"):
        RunFolder(study / f"{kind}-8-s0").create(tiny(model={"kind": kind, "depth": 8, "width": 4}))
    first = [path.read_bytes() for path in write(study)]
    files = {path: path.read_bytes() for path in [*study.glob("curves.*"), *(study / "report").iterdir()]}
    assert len(files) == 6
    second = [path.read_bytes() for path in write(study)]
    assert first == second
    assert files == {path: path.read_bytes() for path in files}


def test_markup_from_disk_does_no_harm(tmp_path):
    study = tmp_path / f"<b>study{PAYLOAD.replace('/', '')}"
    folder = RunFolder(study / "plain-8-s0<img src=x onerror=alert(1)>")
    folder.create(tiny(model={"kind": "plain", "depth": 8, "width": 4}))
    (folder.path / "environment.json").write_text('{"device": "' + PAYLOAD + '"}')
    page, text = (path.read_text() for path in write(study))
    assert PAYLOAD not in page
    assert "<script>alert" not in page
    assert "<img" not in page
    assert "<b>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert not re.search(r"(?<!\\)<script", text)


def test_the_markdown_has_the_same_sections_and_numbers(comparison):
    built = document_of(comparison)
    text = markdown.render(built)
    for section in built.sections:
        assert f"## {section.title}" in text
    assert "| 56 | 30.00 | 35.00 | 5.00 | 20.00 | 1 |" in text
    assert "![Error in percent" in text
    assert "(../curves.svg)" in text


def test_the_table_has_plain_beside_residual_and_the_gap(comparison):
    rows = error_table(comparison).rows
    assert rows[0] == ("20", "20.00", "20.00", "10.00", "20.00", "1")
    assert len(rows) == 2
    best = error_table(comparison, best=True)
    assert best.header[:4] == ("depth", "plain train", "plain test", "plain best test")
    assert best.rows[0][:4] == ("20", "20.00", "20.00", "2.00")
    assert "selected on the test set" in best.caption


def test_differences_and_intervals_are_tables_that_say_why_there_is_no_interval(comparison):
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


def test_the_figure_draws_every_run_on_one_scale_with_names_at_the_lines(comparison):
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


def test_the_points_are_all_there_with_all_their_digits(comparison):
    lines = charts.curve_points(comparison).splitlines()
    assert lines[0] == "run,variant,kind,shortcut,depth,seed,step,series,error"
    assert "plain-56-s0,plain,plain,A,56,0,30,test,0.35" in lines
    assert len(lines) == 1 + 4 * (1 + 2 * 2)


def test_the_stand_in_is_named_in_title_page_and_markdown():
    runs = [made_run("plain", 20), made_run("plain", 56)]
    runs = [dataclasses.replace(run, config=tiny(model=run.config.model.model_dump())) for run in runs]
    comparison = compared(runs)
    assert comparison.stand_in
    built = document_of(comparison)
    assert figures.STAND_IN_NOTICE in figures.entitled(curves(comparison), comparison).get_suptitle()
    assert figures.STAND_IN_NOTICE in html.render(built)
    assert figures.STAND_IN_NOTICE.replace("_", "\\_") in markdown.render(built)


@pytest.mark.parametrize(
    "runs", [[], [made_run("plain", 20)], [made_run("residual", 20, state="running")], [made_run("plain", 20, state="diverged")]]
)
def test_incomplete_studies_get_a_page_that_says_what_is_missing(runs):
    page = html.render(document_of(compared(runs)))
    assert "No verdict" in page
    assert "run has finished" in page


def test_a_change_of_environment_on_the_way_is_told():
    run = made_run("plain", 20)
    run.events.append(Event("2026-01-01T00:00:00+00:00", "resumed", 12, {"changed": {"threads": 2}}))
    assert "plain-20-s0 was resumed at step 12 with threads = 2: from this step on" in html.render(document_of(compared([run])))


def test_an_empty_folder_of_runs_is_a_page_too(tmp_path):
    RunFolder(tmp_path / "plain-8-s0").create(tiny())
    (tmp_path / "plain-8-s0" / "metrics.jsonl").write_bytes(b"\x00\xff garbage\n{}\n[1]\n")
    page, _ = write(tmp_path)
    assert "planned" in page.read_text()
    assert read_study(tmp_path).runs[0].train == []


def test_the_papers_recipe_departs_in_nothing_and_others_say_where():
    assert departures(load_study("paper").run(kind="plain", depth=56)) == []
    found = " ".join(departures(load_study("smoke").run(kind="plain", depth=8)))
    for words in (
        "synthetic stand-in",
        "800 images are used for training",
        "30 steps",
        "batch has 32",
        "starts at 0.05",
        "stem has 4",
    ):
        assert words in found
    assert "plateau" not in found
    assert any("15 checks" in sentence for sentence in departures(load_study().run(kind="plain", depth=20)))


def test_other_networks_than_the_papers_for_cifar_are_departures():
    overrides = ["model.layout=imagenet", "model.block=bottleneck", "model.shortcut=B"]
    found = departures(load_study("paper", overrides).run(kind="residual", depth=50))
    assert [sentence.split()[:3] for sentence in found] == [
        ["The", "network", "has"], ["Blocks", "are", "bottlenecks;"], ["Shortcuts", "are", "option"]
    ]  # fmt: skip


def test_a_study_of_shortcuts_has_a_row_a_network_and_a_colour_a_shortcut():
    models = [{"kind": "plain"}, *({"kind": "residual", "shortcut": option} for option in "ABC")]
    runs = [made_run(**model, depth=depth, parameters=100 + index) for index, model in enumerate(models) for depth in (20, 56)]
    comparison = compared(runs)
    table = error_table(comparison)
    assert table.header == ("network", "train", "test", "seeds")
    assert [row[0] for row in table.rows][::2] == ["plain-20", "residual-20", "residual-B-20", "residual-C-20"]
    assert len(set(figures.colours(comparison).values())) == 8
    assert "residual-B-20 and plain-20 are not a matched pair" in html.render(document_of(comparison))


def test_the_command_in_the_report_makes_the_same_config():
    paper, demo = load_study("paper").run(kind="plain", depth=56, seed=3), load_study("demo").run(kind="plain", depth=20)
    assert command(paper) == "resnet-lab train --config paper --depth 56 --plain --seed 3"
    others = (
        {"kind": "residual", "depth": 20, "shortcut": "C"},
        {"kind": "plain", "depth": 29, "block": "bottleneck", "stride_on": "3x3"},
        {"kind": "residual", "depth": 50, "block": "bottleneck", "layout": "imagenet", "shortcut": "B"},
    )
    for config in (tiny(), paper, demo, *(tiny(model=model) for model in others)):
        words = shlex.split(command(config))
        assert words[:3] == ["resnet-lab", "train", "--config"]
        overrides = [value for flag, value in itertools.pairwise(words) if flag == "--set"]
        seed = int(words[words.index("--seed") + 1]) if "--seed" in words else None
        again = load_study(words[3], overrides).run(kind=config.model.kind, depth=config.model.depth, seed=seed)
        assert again == config


@pytest.mark.parametrize(
    ("x", "label"), [("step", "steps"), ("epoch", "epochs"), ("hours", "minutes of training and evaluation")]
)
def test_the_horizontal_axis_is_steps_epochs_or_time(x, label, comparison):
    axes = figures.curves(comparison, x).axes[0]
    assert axes.get_xlabel() == label
    (last,) = {line.get_xdata()[-1] for line in axes.lines if line.get_linewidth() == 2.2}
    # 30 steps, in epochs of 5 steps (80 images in batches of 16); a second of training and two evaluations of a second
    assert last == pytest.approx({"step": 30, "epoch": 6, "hours": 3 / 60}[x])
    assert axes.get_xlim()[1] == pytest.approx(last)


def test_seeds_become_a_mean_and_a_band():
    runs = [made_run("plain", depth, seed, test=0.2 + seed / 10) for depth in (20, 56) for seed in range(3)]
    figure = figures.curves(compared(runs))
    axes = figure.axes[0]
    bold = [line for line in axes.lines if line.get_linewidth() == 2.2]
    assert [line.get_ydata()[-1] for line in bold] == [pytest.approx(30.0)] * 2
    assert len(axes.collections) == 2 * 1 + 0  # the tests' bands; the training errors are equal
    assert "range over seeds" in figures.svg(figure)


def test_drops_of_the_lr_are_marked_where_they_happen():
    run = made_run("plain", 20)
    run.train[:] = [TrainRecord(step, 0.5, 1.0, lr, 80, 1.0) for step, lr in [(5, 0.01), (10, 0.1), (20, 0.01), (30, 0.001)]]
    assert charts.lr_drops(run) == [20, 30]
    axes = figures.curves(compared([run])).axes[0]
    assert [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == ":"] == [20, 30]


def test_figure_1_shows_the_shallowest_and_the_deepest_plain_network():
    comparison = compared([made_run(kind, depth) for kind in ("plain", "residual") for depth in (20, 32, 56)])
    training, test = figures.degradation(comparison).axes
    assert (training.get_title(), test.get_title()) == ("training error", "test error")
    assert {text.get_text() for axes in (training, test) for text in axes.texts} == {"plain-20", "plain-56"}
    assert figures.has_figure_1(comparison)
    assert not figures.has_figure_1(compared([made_run("plain", 20), made_run("residual", 56)]))
    planned = dataclasses.replace(made_run("plain", 110, state="planned"), train=[], evaluations=[])
    two = figures.degradation(compared([made_run("plain", 20), made_run("plain", 56), planned])).axes[0]
    assert [text.get_text() for text in two.texts if "plain" in text.get_text()] == ["plain-20", "plain-56"]


def test_published_numbers_stand_only_beside_the_papers_recipe(comparison):
    assert figures.published_depths(comparison) == []
    assert "do not use the paper's recipe at published depths" in html.render(document_of(comparison)).replace("&#39;", "'")
    runs = [
        dataclasses.replace(made_run(kind, 20), config=load_study("paper").run(kind=kind, depth=20))
        for kind in ("plain", "residual")
    ]
    ours = compared(runs)
    assert figures.published_depths(ours) == [20]
    text = markdown.render(document_of(ours))
    assert "| residual-20 | He et al. 2015, Table 6 | 8.75 | - | 20.00 | 10.00 |" in text
    assert "| plain-20 | a-martyn | 9.69 | 0.74 | 20.00 | 10.00 |" in text


def test_published_numbers_are_those_of_table_6():
    found = {number.depth: number.test_error for number in NUMBERS if number.source == PAPER}
    assert found == {20: 8.75, 32: 7.51, 44: 7.17, 56: 6.97, 110: 6.61, 1202: 7.93}


def test_long_curves_are_thinned_by_means_and_keep_their_level():
    run = made_run("plain", 20)
    run.train[:] = [TrainRecord(step, 0.25 + 0.05 * (step % 2), 1.0, 0.1, 80, 1.0) for step in range(1, 1281)]
    axes = figures.curves(compared([run])).axes[0]
    (thin,) = [line for line in axes.lines if line.get_linewidth() == 1.0]
    assert len(thin.get_xdata()) <= 300
    assert np.mean(thin.get_ydata()) == pytest.approx(27.5, abs=0.2)


def test_events_are_listed_and_checkpoints_counted(comparison):
    comparison.runs[0].events.append(Event("2026-01-01T00:01:00+00:00", "checkpointed", 9, {"file": "step-9.pt"}))
    text = markdown.render(document_of(comparison))
    assert "1 checkpoints are not listed" in text
    assert "step-9.pt" not in text
    assert "| started | 0 | parameters: 123 |" in text
