"""The report of a study: its sections, incomplete studies, published numbers, and the command of a run."""

import dataclasses
import itertools
import shlex

import pytest

from resnet_lab.config.files import load_study
from resnet_lab.record.lines import Event
from resnet_lab.report import figures, html, markdown
from resnet_lab.report.details import command
from resnet_lab.report.illustrations import curves
from tests.builders import compared, document_of, four_runs, made_run, tiny


@pytest.fixture
def comparison():
    return compared(four_runs(), "study")


def test_markdown_has_the_sections_and_numbers_of_the_document(comparison):
    built = document_of(comparison)
    text = markdown.render(built)
    for section in built.sections:
        assert f"## {section.title}" in text
    assert "| 56 | 30.00 | 35.00 | 5.00 | 20.00 | 1 |" in text
    assert "![Error in percent" in text
    assert "(../curves.svg)" in text


def test_synthetic_data_is_named_in_figure_page_and_markdown():
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
def test_page_of_an_incomplete_study_says_what_is_missing(runs):
    page = html.render(document_of(compared(runs)))
    assert "No verdict" in page
    assert "run has finished" in page


def test_environment_change_at_a_resume_is_reported():
    run = made_run("plain", 20)
    run.events.append(Event("2026-01-01T00:00:00+00:00", "resumed", 12, {"changed": {"threads": 2}}))
    assert "plain-20-s0 was resumed at step 12 with threads = 2: from this step on" in html.render(document_of(compared([run])))


def test_command_in_the_report_reproduces_the_config():
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


def run_with_papers_recipe(kind):
    run, config = made_run(kind, 20), load_study("paper").run(kind=kind, depth=20)
    last = dataclasses.replace(run.evaluations[-1], step=config.recipe.steps)
    return dataclasses.replace(run, config=config, evaluations=[last])


def test_published_numbers_are_shown_only_beside_runs_of_the_papers_recipe(comparison):
    assert figures.published_depths(comparison) == []
    assert "Paper against ours" not in html.render(document_of(comparison))
    with_papers_recipe = compared([run_with_papers_recipe("plain"), run_with_papers_recipe("residual")])
    assert figures.published_depths(with_papers_recipe) == [20]
    text = markdown.render(document_of(with_papers_recipe))
    assert "| residual-20 | He et al. 2015, Table 6 | 8.75 | - | 20.00 | 10.00 |" in text
    assert "| plain-20 | a-martyn | 9.69 | 0.74 | 20.00 | 10.00 |" in text


def test_takeover_does_not_publish_the_name_of_a_machine(comparison):
    detail = {"skipped": [], "changed": {}, "taken_over": {"host": "my-laptop", "pid": 4711}}
    comparison.runs[0].events.append(Event("2026-01-01T00:01:00+00:00", "resumed", 9, detail))
    text = markdown.render(document_of(comparison))
    assert "| resumed | 9 |" in text
    assert "my-laptop" not in text
    assert "4711" not in text


def test_events_are_listed_and_checkpoints_only_counted(comparison):
    comparison.runs[0].events.append(Event("2026-01-01T00:01:00+00:00", "checkpointed", 9, {"file": "step-9.pt"}))
    text = markdown.render(document_of(comparison))
    assert "1 checkpoints are not listed" in text
    assert "step-9.pt" not in text
    assert "| started | 0 | parameters: 123 |" in text
