"""Damaged and foreign files of a study: every command reports what it can read, and none ends in a traceback."""

import json
import os
import re

import pytest

from resnet_lab.record.lines import EvalRecord, TrainRecord
from resnet_lab.record.store import RunFolder
from tests.builders import tiny

NESTED = "[" * 100_000


def rewrite_metrics(pattern, replacement):
    def damage(folder):
        path = folder.path / "metrics.jsonl"
        path.write_text(re.sub(pattern, replacement, path.read_text()))

    return damage


def replace_file(name, content):
    return lambda folder: (folder.path / name).write_text(content)


def replace_events(*contents):
    return replace_file("events.jsonl", "".join(f"{line}\n" for line in ("junk", "[]", *map(json.dumps, contents))))


def event(name, step=0, **detail):
    return {"time": "2026", "name": name, "step": step, "detail": detail}


DAMAGE = {
    "strings for numbers": rewrite_metrics(r'"(step|error|train_error)":([\d.]+)', r'"\1":"\2"'),
    "NaN for numbers": rewrite_metrics(r'"(error|train_error|lr|seconds)":[\d.]+', r'"\1":NaN'),
    "negative steps": rewrite_metrics(r'"step":', r'"step":-1'),
    "no time": rewrite_metrics(r'"seconds":[\d.]+', '"seconds":0'),
    "nested without end": lambda folder: [replace_file(name, NESTED)(folder) for name in ("config.json", "environment.json")],
    "foreign environment": replace_file("environment.json", '{"versions":3,"data":null,"<b>":[{}],"threads":"\\u001b[31m"}'),
    "foreign digests": replace_file("environment.json", '{"data":{"sha256":{"names":[1],"files":{}}}}'),
    "foreign digests in an event": replace_events(event("resumed", 3, changed={"images": {"names": {}, "files": 3}})),
    "foreign events": replace_events(
        event("started", parameters="many"), event("resumed", 3, changed=3), event("resumed", 3, changed={"a|b": {"c": None}}),
        {"time": 3, "name": "failed", "step": 3}, event("<script>"), event("finished", 30),
    ),
}  # fmt: skip


def write_study(path):
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


def run_all_commands(cli, path):
    """Run all commands that read a study: they succeed, and their output has no control characters."""
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
        pytest.param(damage, id=name, marks=pytest.mark.slow if index % 3 else ())
        for index, (name, damage) in enumerate(DAMAGE.items())
    ],
)
def test_damaged_run_stops_no_command_and_the_others_are_compared(damage, tmp_path, cli):
    path = tmp_path / "runs" / "study"
    first, *_ = write_study(path)
    damage(first)
    compare, listed = run_all_commands(cli, path)
    assert "residual, 14 - 8" in compare.out
    assert "plain-14-s0" in listed.out


@pytest.mark.parametrize("name", ["<b>*s*_x_`[a](b)\x1b[31m[bold]|\u202e", "$x^{$", os.fsdecode(b"bytes \xff")])
def test_control_characters_and_markup_in_a_study_name_have_no_effect(name, tmp_path, cli):
    path = tmp_path / "runs" / name
    write_study(path)
    run_all_commands(cli, path)
