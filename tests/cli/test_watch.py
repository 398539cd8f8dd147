"""Following runs: until none is running, pages rewritten after changes, Ctrl-C, and the browser. No test sleeps."""

import io
import re
import time
import webbrowser
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock
from rich.console import Console
from rich.text import Text

from resnet_lab.cli import terminal, watch
from resnet_lab.cli.screens import RUN_HEADER, run_row, runs_screen, sparkline, sweep_screen
from resnet_lab.record.lines import EvalRecord, TrainRecord
from resnet_lab.record.store import RunFolder
from resnet_lab.record.study import Study, read_study
from resnet_lab.run.estimate import Forecast
from resnet_lab.sweep.disk import DiskSpace
from resnet_lab.sweep.launch import Allocation
from resnet_lab.sweep.plan import Plan, PlannedRun
from tests.builders import made_run, tiny, write_config


@pytest.fixture
def folder():
    """A planned run in runs/study."""
    config = tiny(data__dataset="cifar10")
    folder = RunFolder(Path("runs/study") / config.name)
    folder.create(config)
    return folder


@pytest.fixture
def lock(folder):
    """Hold the run's lock, as a process that trains it does."""
    lock = FileLock(folder.path / ".lock")
    with lock:
        folder.append_event("started", 0)
        yield lock


@pytest.fixture
def script(monkeypatch):
    """Replace each sleep by the next of these actions; returns the seconds that the sleeps were to take."""

    def play(*actions):
        remaining, pauses = list(actions), []

        def sleep(seconds):
            pauses.append(seconds)
            remaining.pop(0)()

        monkeypatch.setattr(time, "sleep", sleep)
        return pauses

    return play


def interrupt():
    raise KeyboardInterrupt


def nothing():
    pass


def test_watching_ends_when_no_run_is_running(folder, lock, script):
    def end():
        folder.append_event("finished", 30)
        lock.release()

    pauses = script(nothing, end)
    states = [study.runs[0].state for (study,) in watch.poll(lambda: [read_study(Path("runs/study"))], 2.0)]
    assert states == ["running", "running", "finished"]
    assert pauses == [2.0, 2.0]


def test_watching_waits_for_planned_runs_for_a_limited_time(folder, script):
    pauses = script(*[nothing] * 100)
    for (study,) in watch.poll(lambda: [read_study(Path("runs/study"))], 25.0):
        assert study.runs[0].state == "planned"
    assert sum(pauses) == 50.0


def test_watching_goes_on_while_a_run_is_in_the_queue_of_a_cluster(folder, script):
    pauses = script(*[nothing] * 100)
    queue = {"plain-8-s0": "pending 1_0"}

    def read():
        study = read_study(Path("runs/study"))
        return [replace(study, queue=queue if len(pauses) < 20 else {})]

    assert len(list(watch.poll(read, 25.0))) == 20 + 3


def test_runs_watch_prints_a_line_for_each_change_without_a_terminal(cli, folder, lock, script):
    def step():
        folder.append(TrainRecord(5, 0.5, 1.0, 0.1, 80, 1.0))

    def end():
        folder.append_event("finished", 30)
        lock.release()

    pauses = script(step, end)
    answer = cli("runs", "--watch")
    assert answer.code == 0
    assert answer.out.splitlines() == [
        f"runs/study: 0 of 1 finished: {folder.path.name} 0/30",
        f"runs/study: 0 of 1 finished: {folder.path.name} 5/30",
        "runs/study: 1 of 1 finished",
    ]
    assert pauses == [30.0, 30.0]


@pytest.mark.parametrize("command", ["runs", "report"])
def test_ctrl_c_ends_watching_with_exit_130_and_no_message(cli, lock, script, command):
    script(nothing, interrupt)
    answer = cli(command, "study", "--watch")
    assert answer.code == 130
    assert "Abort" not in answer.out + answer.err
    assert "Traceback" not in answer.err


def test_watching_at_a_terminal_shows_live_tables(folder, monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(terminal, "stdout", Console(file=screen, force_terminal=True, width=80, height=40))
    run = made_run("plain", 56)
    with runs_screen() as following:
        assert following.pause == 2.0
        new = Study(Path("runs/new"), (made_run("residual", 20),), ("x cannot be read: torn",))
        following.show([Study(Path("runs/old"), (run,)), new])
    text = screen.getvalue()
    assert text.index("runs/new") < text.index("runs/old")
    for words in ("plain-56-s0", "residual-20-s0", "x cannot be read: torn"):
        assert words in text


def test_table_row_of_a_long_run_fits_80_columns(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(terminal, "stdout", Console(file=screen, width=80))
    run = made_run("residual", 110, state="interrupted", recipe__steps=64_000)
    run.train.append(TrainRecord(32_000, 0.1234, 1.0, 0.1, 80, 0.05))
    run.evaluations.append(EvalRecord(32_000, 0.1, 0.1, 30, None, None, 0.1234, 0.1, 1.0))
    terminal.table(RUN_HEADER, [run_row(run)])
    _, row = screen.getvalue().splitlines()
    assert len(row.rstrip()) <= 80
    for words in ("residual-110-s0", "interrupted", "32,000/64,000", "12.34 %"):
        assert words in row


def test_runs_watch_without_any_runs_says_so(cli):
    assert "There are no runs in runs" in cli("runs", "--watch").out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["runs", "--watch", "--json"], "drop one of them"),
        (["report", "--watch", "--json"], "drop one of them"),
        (["report", "--every", "9"], "add --watch"),
        (["report", "--figures", "paper", "--watch"], "drop --watch and --open"),
        (
            ["report", "--figures", "paper"],
            "Figure 1 needs evaluations of plain networks of two depths, which study does not have.",
        ),
    ],
)
def test_options_that_contradict_each_other_are_refused(cli, folder, arguments, sentence):
    answer = cli(*arguments)
    assert (answer.code, answer.out) == (2, "")
    assert sentence in answer.err


@pytest.mark.parametrize(("arguments", "pause"), [([], 5.0), (["--every", "60"], 60.0)])
def test_report_watch_rewrites_the_page_after_changes_and_at_the_end(cli, folder, lock, script, arguments, pause):
    page = Path("runs/study/report/index.html")
    pages = []

    def note_page(then):
        def note():
            pages.append(page.stat().st_mtime_ns)
            then()

        return note

    def step():
        folder.append(TrainRecord(5, 0.5, 1.0, 0.1, 80, 1.0))

    pauses = script(*map(note_page, (nothing, step, nothing, lock.release)))
    answer = cli("report", "--watch", *arguments)
    assert answer.code == 0, answer.err
    first, before_step, after_step, before_end = pages
    assert first == before_step < after_step == before_end < page.stat().st_mtime_ns
    assert "interrupted" in page.read_text()
    assert pauses == [pause] * 4
    assert "the page is complete" in answer.err


def test_report_watch_of_finished_runs_writes_the_page_once(cli, folder, script):
    folder.append_event("finished", 30)
    assert script() == []
    assert cli("report", "--watch").code == 0
    assert Path("runs/study/report/index.html").exists()


def test_report_open_opens_the_page_or_says_that_no_browser_starts(cli, folder, monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or True)
    answer = cli("report", "--open")
    assert opened == [Path("runs/study/report/index.html").resolve().as_uri()]
    assert "No browser" not in answer.err
    monkeypatch.setattr(webbrowser, "open", lambda address: False)
    assert "No browser could be started; open runs/study/report/index.html" in cli("report", "--open").err


def test_last_errors_are_drawn_as_bars_below_the_highest():
    run = made_run("plain", 20)
    errors = (0.8, 0.6, 0.4, 0.2, 0.0)
    run = replace(run, train=[TrainRecord(step, error, 1.0, 0.1, 64, 1.0) for step, error in enumerate(errors, 1)])
    assert sparkline(run) == "█▆▅▃▁ 0 %"
    assert sparkline(replace(run, train=[])) == "-"
    assert sparkline(replace(run, train=run.train * 4)).startswith("▅▃▁█▆▅▃▁")


def test_live_sweep_shows_every_run_and_the_progress_of_all(tmp_path, monkeypatch):
    configs = [tiny(model__kind=kind) for kind in ("plain", "residual")]
    folders = [RunFolder(tmp_path / config.name) for config in configs]
    runs = tuple(
        PlannedRun(folder, "planned", Forecast(config, 1, 1, 1.0, 0, 60.0), 60.0)
        for folder, config in zip(folders, configs, strict=True)
    )
    plan = Plan(tmp_path, runs, (), Allocation(2, 1, "cpu"), stand_in=False, trial_seconds=0.0, disk=DiskSpace(0, 0))
    for folder, config in zip(folders, configs, strict=True):
        folder.create(config)
    screen = io.StringIO()
    monkeypatch.setattr(terminal, "stderr", Console(file=screen, force_terminal=True, color_system=None, width=100))
    with FileLock(folders[0].path / ".lock"), sweep_screen(plan) as shown:
        folders[0].append_event("started", 0)
        folders[0].append(TrainRecord(15, 0.8, 1.0, 0.1, 300, 2.0))
        folders[0].append(EvalRecord(15, 0.75, 0.1, 80, None, None, 0.7, 0.1, 1.0))
        folders[1].log_file.touch()  # its process has been started
        shown.refresh()
    shown_text = Text.from_ansi(screen.getvalue().replace("\x1b[?25l", "")).plain
    header, first, second = [line for line in shown_text.splitlines() if line.strip()][:3]
    assert header.split() == ["run", "state", "done", "running", "error", "train", "test", "img/s", "left"]
    assert first.split()[:8] == ["plain-8-s0", "running", "50", "%", "█", "80", "%", "75.00"]
    assert second.split()[:4] == ["residual-8-s0", "starting", "0", "%"]
    assert re.search(r"25 % of the work done, 150 images/s together, about .* left\.", screen.getvalue())


def test_sweep_writes_the_report_if_asked_to(cli, tmp_path):
    answer = cli("sweep", write_config(tmp_path / "two.toml"), "--report", "--device", "cpu")
    assert answer.code == 0, answer.err
    assert (tmp_path / "runs/two/report/index.html").exists()
    assert "Report: runs/two/report/index.html" in answer.err
