"""Figure 14: any list of arguments ends with a documented exit code and without a traceback."""

import webbrowser
from collections import Counter

import pytest
import typer
from hypothesis import given, settings

from resnet_lab.analysis.definition import Request
from resnet_lab.cli import watch
from resnet_lab.cli.main import app
from resnet_lab.data import download
from resnet_lab.report import architecture, write
from resnet_lab.run import bench, experiment
from resnet_lab.sweep import plan, ray
from tests.builders import write_config
from tests.reliability.scale import times
from tests.reliability.strategies import arguments

LISTS = times(100, 10_000)
CODES = (0, 2, 3, 4, 5, 6, 7, 74, 75, 130)


def commands_of(group, name=()):
    """The parameters of every command by its name, without `--install-completion`, which writes to the home folder."""
    found = {name: [each for each in group.params if "--install-completion" not in each.opts]}
    for word, command in getattr(group, "commands", {}).items():
        found |= commands_of(command, (*name, word))
    return found


class Accepted(BaseException):
    """Raised where the work would begin: the arguments were accepted."""


def accept(*arguments, **options):
    raise Accepted


@pytest.fixture
def place(study, monkeypatch, cli):
    """A study and files to name in arguments; work, downloads, connections and waits raise Accepted."""
    write_config(study.parent.parent / "tiny.toml")
    for name, content in {"bad.toml": "[model\n", "file.txt": "no folder"}.items():
        (study.parent.parent / name).write_text(content)
    assert cli("export", "s/plain-8-s0", "--to", "safetensors", "--out", ".").code == 0
    (study.parent.parent / "plain-8-s0.safetensors").rename(study.parent.parent / "w.safetensors")
    (study.parent.parent / "images" / "train" / "class").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(study.parent.parent))
    for module, name in (
        (experiment, "fetch_data"), (plan, "fetch_data"), (plan, "_measured"), (bench, "bench"), (download, "download"),
        (write, "_draw"), (architecture, "architecture"), (watch.time, "sleep"), (Request, "load"), (ray, "_connect"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, accept)
    monkeypatch.setattr(webbrowser, "open", lambda page: False)


@pytest.mark.usefixtures("place")
def test_no_list_of_arguments_ends_in_a_traceback(cli, figure):
    outcomes = Counter()

    @settings(max_examples=LISTS)
    @given(arguments(commands_of(typer.main.get_command(app))))
    def check(words):
        try:
            answer = cli(*words)
        except Accepted:
            outcomes["accepted"] += 1
            return
        assert answer.code in CODES, answer.err
        assert "Traceback" not in answer.err
        outcomes[answer.code] += 1

    check()
    listed = ", ".join(
        f"{number:,} exit {code}" if code != "accepted" else f"{number:,} accepted" for code, number in outcomes.items()
    )
    figure("14", f"{LISTS:,} lists of arguments", f"no traceback, no exit 1: {listed}")


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("number", ["nan", "inf", "1e300", str(10**400)])
@pytest.mark.parametrize(
    "words",
    [
        "report s --watch --every",
        "bench --seconds",
        "analyze landscape s/plain-8-s0 --reach",
        "summary --plain --depth 8 --classes",
    ],
)
def test_a_number_of_no_use_is_refused(words, number, cli):
    assert cli(*words.split(), number).code == 2
