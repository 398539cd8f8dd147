"""Damaged and foreign files of a study: every command says what it can, and none ends in a traceback."""

import json
import os
import re

import pytest

from resnet_lab.record.lines import EvalRecord, TrainRecord
from resnet_lab.record.store import RunFolder
from tests.builders import tiny

NESTED = "[" * 100_000


def rewritten(pattern, replacement):
    def damage(folder):
        path = folder.path / "metrics.jsonl"
        path.write_text(re.sub(pattern, replacement, path.read_text()))

    return damage


def replaced(name, content):
    return lambda folder: (folder.path / name).write_text(content)


def events(*said):
    return replaced("events.jsonl", "".join(f"{each}\n" for each in ("junk", "[]", *map(json.dumps, said))))


def event(name, step=0, **detail):
    return {"time": "2026", "name": name, "step": step, "detail": detail}


DAMAGE = {
    "strings for numbers": rewritten(r'"(step|error|train_error)":([\d.]+)', r'"\1":"\2"'),
    "NaN for numbers": rewritten(r'"(error|train_error|lr|seconds)":[\d.]+', r'"\1":NaN'),
    "negative steps": rewritten(r'"step":', r'"step":-1'),
    "no time": rewritten(r'"seconds":[\d.]+', '"seconds":0'),
    "nested without end": lambda folder: [replaced(name, NESTED)(folder) for name in ("config.json", "environment.json")],
    "foreign environment": replaced("environment.json", '{"versions":3,"data":null,"<b>":[{}],"threads":"\\u001b[31m"}'),
    "foreign digests": replaced("environment.json", '{"data":{"sha256":{"names":[1],"files":{}}}}'),
    "foreign digests in an event": events(event("resumed", 3, changed={"images": {"names": {}, "files": 3}})),
    "foreign events": events(
        event("started", parameters="many"), event("resumed", 3, changed=3), event("resumed", 3, changed={"a|b": {"c": None}}),
        {"time": 3, "name": "failed", "step": 3}, event("<script>"), event("finished", 30),
    ),
}  # fmt: skip


def study(path):
    folders = [RunFolder(path / f"{kind}-{depth}-s0") for kind in ("plain", "residual") for depth in (8, 14)]
    for folder in folders:
        kind, depth, _ = folder.path.name.split("-")
        folder.create(tiny(model={"kind": kind, "depth": int(depth), "width": 4}))
        for step in (10, 20, 30):
            folder.append(TrainRecord(step, 0.5, 1.0, 0.05, 160, 1.0))
        folder.append(EvalRecord(30, 0.4, 1.0, 30, 0.4, 1.0, 0.5, 1.0, 1.0))
        folder.append_event("started", 0, parameters=1000)
        folder.append_event("finished", 30)
    return folders


def all_commands(cli, path):
    """Every command that reads a study succeeds on this one; what they print and write has no character that acts."""
    compare, listed, page, tables = (
        cli(*words) for words in (["compare", path], ["runs", path], ["report", path], ["export", path, "--to", "csv"])
    )
    for answer in (compare, listed, page, tables):
        assert answer.code == 0, answer.err
        assert "\x1b" not in answer.out + answer.err
    for name in ("index.html", "report.md"):
        assert "\x1b" not in (path / "report" / name).read_text()
    for words in (["compare", path, "--json"], ["runs", path, "--json"]):
        assert "NaN" not in cli(*words).out
    return compare, listed


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(each, id=name, marks=pytest.mark.slow if index % 3 else ())
        for index, (name, each) in enumerate(DAMAGE.items())
    ],
)
def test_a_damaged_run_ends_no_command_and_the_others_are_compared(damage, tmp_path, cli):
    path = tmp_path / "runs" / "study"
    first, *_ = study(path)
    damage(first)
    compare, listed = all_commands(cli, path)
    assert "residual, 14 - 8" in compare.out
    assert "plain-14-s0" in listed.out


@pytest.mark.parametrize("name", ["<b>*s*_x_`[a](b)\x1b[31m[bold]|\u202e", "$x^{$", os.fsdecode(b"bytes \xff")])
def test_a_name_acts_nowhere(name, tmp_path, cli):
    path = tmp_path / "runs" / name
    study(path)
    all_commands(cli, path)
