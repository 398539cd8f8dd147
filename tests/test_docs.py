"""Commands that README, docs and presets print: each exists, with these options and with settings that are valid."""

import itertools
import re
import shlex

import pytest

from resnet_lab.config.files import load_study
from resnet_lab.sweep.grid import expand
from tests.builders import COMMANDS, ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


def documented() -> list[list[str]]:
    """The arguments of every documented call, without the name of the program."""
    lines = [line for page in PAGES for block in BLOCK.findall(page.read_text()) for line in block.splitlines()]
    headers = [path.read_text().splitlines() for path in (ROOT / "configs").glob("*.toml")]
    lines += [line.removeprefix("#").split("(")[0] for header in headers for line in header if line.startswith("#   resnet-lab")]
    calls = [call.strip() for line in lines for call in line.split("&&")]
    return [shlex.split(call, comments=True)[1:] for call in dict.fromkeys(calls) if call.startswith("resnet-lab ")]


def values(arguments: list[str], option: str) -> list[str]:
    return [value for name, value in itertools.pairwise(arguments) if name == option]


@pytest.mark.parametrize("arguments", documented(), ids=" ".join)
def test_a_documented_command_is_one(cli, arguments):
    command = next(name for name in sorted(COMMANDS, key=len, reverse=True) if f"{' '.join(arguments)} ".startswith(f"{name} "))
    given = {argument for argument in arguments if argument.startswith("--")}
    known = set(re.findall(r"--[a-z-]+", cli(*command.split(), "--help").out))
    assert given <= known
    if command in ("train", "sweep", "bench"):
        [source] = (
            values(arguments, "--config") or arguments[1:2] if command != "train" else values(arguments, "--config") or [None]
        )
        study = load_study(source, values(arguments, "--set"), compile=False if "--no-compile" in given else None)
        if command == "sweep":
            assert expand(study)
        elif command == "train":
            study.run(kind="plain" if "--plain" in given else "residual", depth=int(values(arguments, "--depth")[0]))
    if command == "summary":
        assert cli(*arguments).code == 0


def test_documents_show_commands_at_all():
    assert len(documented()) > 40
    assert {arguments[0] for arguments in documented()} == {command.split()[0] for command in COMMANDS} - {"config"}
