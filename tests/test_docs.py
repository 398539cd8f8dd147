"""The commands in README, docs and presets exist, with valid options and settings."""

import itertools
import re
import shlex

import pytest

from resnet_lab.config.files import load_study
from resnet_lab.sweep.grid import expand
from tests.builders import COMMANDS, ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


def documented_calls() -> list[list[str]]:
    """The arguments of every documented call, without the name of the program."""
    lines = [line for page in PAGES for block in BLOCK.findall(page.read_text()) for line in block.splitlines()]
    headers = [path.read_text().splitlines() for path in (ROOT / "configs").glob("*.toml")]
    lines += [line.removeprefix("#").split("(")[0] for header in headers for line in header if line.startswith("#   resnet-lab")]
    calls = [call.strip() for line in lines for call in line.split("&&")]
    return [shlex.split(call, comments=True)[1:] for call in dict.fromkeys(calls) if call.startswith("resnet-lab ")]


def option_values(arguments: list[str], option: str) -> list[str]:
    return [value for name, value in itertools.pairwise(arguments) if name == option]


@pytest.mark.parametrize("arguments", documented_calls(), ids=" ".join)
def test_documented_command_exists_with_valid_options_and_settings(cli, arguments):
    command = next(name for name in sorted(COMMANDS, key=len, reverse=True) if f"{' '.join(arguments)} ".startswith(f"{name} "))
    given = {argument for argument in arguments if argument.startswith("--")}
    known = set(re.findall(r"--[a-z-]+", cli(*command.split(), "--help").out))
    assert given <= known
    if command in ("train", "sweep", "bench"):
        [source] = (
            option_values(arguments, "--config") or arguments[1:2]
            if command != "train"
            else option_values(arguments, "--config") or [None]
        )
        study = load_study(source, option_values(arguments, "--set"), compile=False if "--no-compile" in given else None)
        if command == "sweep":
            assert expand(study)
        elif command == "train":
            study.run(kind="plain" if "--plain" in given else "residual", depth=int(option_values(arguments, "--depth")[0]))
    if command == "summary":
        assert cli(*arguments).code == 0


def test_documents_show_every_command():
    assert len(documented_calls()) > 40
    assert {arguments[0] for arguments in documented_calls()} == {command.split()[0] for command in COMMANDS} - {"config"}
