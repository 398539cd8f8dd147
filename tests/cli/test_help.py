"""Help and completion as a user sees them."""

import itertools
import os
import re
import subprocess
import sys

import pytest

from resnet_lab.record.store import RunFolder
from tests.builders import ROOT, tiny

COMMANDS = (
    *("train", "sweep", "compare", "report", "evaluate", "analyze"),
    *("runs", "verify", "export", "data", "summary", "bench", "config"),
)


def run(*argv, cwd=ROOT, **variables):
    environment = os.environ | {"COLUMNS": "80", "PYTHONPATH": str(ROOT)} | variables
    argv = [sys.executable, "-m", "resnet_lab", *argv]
    return subprocess.run(argv, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False).stdout


def test_help_lists_the_commands_in_groups():
    text = run("--help")
    panels = [line.strip("╭─╮ ") for line in text.splitlines() if line.startswith("╭")]
    assert panels == ["Options", "Train", "See and explain the results", "Manage runs and records", "Before training"]
    names = [line.split()[1] for line in text.splitlines() if line.startswith("│ ") and line[2] not in " -"]
    assert sorted(names) == sorted(COMMANDS)


@pytest.mark.parametrize("command", [*COMMANDS, "analyze paths", "config show", "runs rm", "runs import"])
def test_help_has_no_python_types_and_fits_80_columns(command):
    text = run(*command.split(), "--help")
    assert "Usage: resnet-lab" in text
    for noise in ("<bool>", "<int", "<str>", "<path>", "list[", "[[", "<x", "x>="):
        assert noise not in text
    assert not re.search(r"<[^<>]*$", text, re.MULTILINE)  # a list of choices that is broken inside a word
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    "command",
    [
        *("", *COMMANDS),
        *("runs rm", "runs import", "analyze identity", "analyze line", "config show", "config schema"),
    ],
)
def test_help_ends_with_an_example(command):
    last = run(*command.split(), "--help").strip().splitlines()[-1].strip()
    assert last.startswith(f"Example: resnet-lab {command}".rstrip())


def test_paragraphs_of_the_help_fill_the_lines():
    lines = [line.strip() for line in run("sweep", "--help").splitlines()]
    begin = next(number for number, line in enumerate(lines) if line.startswith("Run the same command"))
    paragraph = lines[begin : lines.index("", begin)]
    for line, following in itertools.pairwise(paragraph):
        assert len(line) + 1 + len(following.split()[0]) > 78


def completed(line, cwd=ROOT):
    words = f"resnet-lab {line}"
    number = str(len(line.split()))
    return run(cwd=cwd, COMP_WORDS=words, COMP_CWORD=number, _RESNET_LAB_COMPLETE="complete_bash").split()


def test_presets_settings_and_files_are_completed(tmp_path):
    (tmp_path / "mine.toml").touch()
    assert completed("sweep pa", tmp_path) == ["paper"]
    assert completed("train --config mi", tmp_path) == ["mine.toml"]
    assert completed("train --set recipe.l") == ["recipe.lr=", "recipe.lr_factor="]
    assert completed("sweep --set sweep.se") == ["sweep.seeds="]


def test_commands_of_runs_are_completed(tmp_path):
    RunFolder(tmp_path / "runs/revised/plain-8-s0").create(tiny())
    assert completed("runs r", tmp_path) == ["rm", "revised"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_completed(shell):
    action = {"_TYPER_COMPLETE_FISH_ACTION": "get-args"} if shell == "fish" else {}
    variables = {"_TYPER_COMPLETE_ARGS": "resnet-lab sweep pa", "_RESNET_LAB_COMPLETE": f"complete_{shell}"}
    assert "paper" in run(**variables, **action)


def test_studies_and_runs_are_completed(tmp_path):
    RunFolder(tmp_path / "here/first/plain-8-s0").create(tiny())
    assert completed("compare --runs here fi", tmp_path) == ["first"]
    assert completed("evaluate --runs here first/", tmp_path) == ["first/plain-8-s0"]
    assert completed("train --runs here --study fi", tmp_path) == ["first"]
    assert completed("compare fi", tmp_path) == []
    (tmp_path / "file").touch()
    assert completed("compare --runs file fi", tmp_path) == []


def test_a_run_is_plain_or_residual_not_both(cli):
    answer = cli("train", "--depth", 20, "--plain", "--residual")
    assert (answer.code, answer.out) == (2, "")
    assert "--plain and --residual exclude each other; `resnet-lab sweep` trains both." in " ".join(answer.err.split())


@pytest.mark.parametrize(("argument", "code"), [("--version", 0), ("--nonsense", 2)])
def test_a_process_of_torchrun_ends_without_teardown_with_the_exit_code(argument, code):
    program = "import atexit, sys; atexit.register(print, 'teardown'); from resnet_lab.__main__ import main; main()"
    ends = {}
    for variables in ({}, {"TORCHELASTIC_RUN_ID": "none"}):
        environment = os.environ | {"PYTHONPATH": str(ROOT)} | variables
        argv = [sys.executable, "-c", program, argument]
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=120, check=False)
        ends[bool(variables)] = (done.returncode, "teardown" in done.stdout, bool(done.stdout + done.stderr))
    assert ends == {False: (code, True, True), True: (code, False, True)}
