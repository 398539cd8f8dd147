"""Figure 13: records truncated at any byte, a clock that goes backwards, and a read-only runs folder."""

import csv
import dataclasses
import datetime
import json
import os
import shutil
import time
from pathlib import Path

import pytest

from resnet_lab.errors import CheckpointError
from resnet_lab.record import checkpoint
from resnet_lab.record.lines import event_from_line, record_from_line
from resnet_lab.record.store import Follower, RunFolder
from resnet_lab.report import figures
from resnet_lab.run.experiment import run
from tests.builders import CPU, tiny
from tests.reliability.rights import read_only
from tests.reliability.scale import times

CUTS = range(1, 201)
CONFIG = tiny(log__keep=[8], evaluation__every=2, log__every=2)


def without_times(records):
    return [dataclasses.replace(record, seconds=0.0) for record in records]


def steps_of(records):
    return [(record.type, record.step) for record in records]


def content_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> RunFolder:
    """A run killed at step 20, with a checkpoint of step 8."""
    folder = RunFolder(tmp_path_factory.mktemp("killed") / "s" / CONFIG.name)
    for said in run(CONFIG, folder, CPU):
        if getattr(said, "step", 0) == 20:
            break
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> RunFolder:
    """The same run, uninterrupted."""
    folder = RunFolder(tmp_path_factory.mktemp("whole") / "s" / CONFIG.name)
    list(run(CONFIG, folder, CPU))
    return folder


@pytest.mark.parametrize("name", ["metrics.jsonl", "events.jsonl"])
def test_complete_lines_are_read_from_a_file_cut_at_any_of_its_last_200_bytes(name, killed, tmp_path, figure):
    folder = RunFolder(Path(shutil.copytree(killed.path, tmp_path / "runs" / "s" / CONFIG.name)))
    content = (folder.path / name).read_bytes()
    read = record_from_line if name == "metrics.jsonl" else event_from_line
    for cut in CUTS:
        (folder.path / name).write_bytes(content[:-cut])
        lines = [line for line in content[:-cut].decode().split("\n") if read(line) is not None]
        found, followed = folder.read(), Follower().read(folder)
        if name == "events.jsonl":
            assert found.events == followed.events == [read(line) for line in lines]
        else:
            records = folder.records()
            assert sorted(steps_of(records)) == sorted(steps_of(map(read, lines)))
            assert len(set(steps_of(records))) == len(records)
            assert followed.step in (found.step, found.step - 2)  # it reads a line once it is complete
    figure("13", f"{name} cut at each of the last {len(CUTS)} bytes", "complete lines read, no duplicate step")


@pytest.mark.parametrize("name", ["metrics.jsonl", "events.jsonl"])
def test_a_run_with_cut_records_resumes_to_the_records_of_an_uninterrupted_one(name, killed, whole, tmp_path, figure):
    cuts = CUTS[:: len(CUTS) // times(2, len(CUTS))]
    for cut in cuts:
        folder = RunFolder(Path(shutil.copytree(killed.path, tmp_path / str(cut) / CONFIG.name)))
        content = (folder.path / name).read_bytes()
        (folder.path / name).write_bytes(content[:-cut])
        list(run(CONFIG, folder, CPU))
        assert without_times(folder.records()) == without_times(whole.records())
        assert [event.name for event in folder.events()].count("finished") == 1
        assert without_times(Follower().read(folder).train) == without_times(whole.read().train)
        shutil.rmtree(folder.path)
    figure(
        "13",
        f"{name} cut at {len(cuts)} of the last {len(CUTS)} bytes, then resumed",
        "records identical to an uninterrupted run's",
    )


def test_a_cut_manifest_is_refused_and_nothing_is_overwritten(killed, tmp_path, cli, figure):
    folder = RunFolder(Path(shutil.copytree(killed.path, tmp_path / "runs" / "s" / CONFIG.name)))
    list(run(CONFIG, folder, CPU))
    manifest = folder.checkpoints / "manifest.json"
    content = manifest.read_bytes()
    codes = []
    for cut in range(1, min(len(CUTS), len(content)) + 1):
        manifest.write_bytes(content[:-cut])
        before = content_of(folder.path)
        if cut == 1:  # the newline
            assert checkpoint.load_newest(folder)[1] == []
        else:
            with pytest.raises(CheckpointError, match=r"manifest\.json is missing or damaged"):
                checkpoint.load_newest(folder)
        if cut > 1 and cut % times(40, 1) == 0:
            codes += [cli("evaluate", f"s/{CONFIG.name}").code, cli("export", "--to", "safetensors", "s").code]
        assert content_of(folder.path) == before
    assert set(codes) == {6}
    figure(
        "13", f"manifest.json cut at each of the last {cut} bytes", "newest checkpoint loaded, or exit 6 and nothing overwritten"
    )


def test_commands_read_a_finished_study_whose_records_are_cut(study, cli, figure):
    """No command fails or shows a step twice, and an earlier evaluation does not replace a lost last one."""
    cuts = [*range(1, 201, 200 // times(3, 100))]
    for name in ("metrics.jsonl", "events.jsonl"):
        path = study / "plain-8-s0" / name
        content = path.read_bytes()
        for cut in cuts:
            path.write_bytes(content[:-cut])
            for words in (["runs", "--json"], ["export", "--to", "csv"], ["export", "--to", "tensorboard"]):
                answer = cli(*words)
                assert answer.code == 0, answer.err
            rows = list(csv.DictReader((study / "export" / "training.csv").read_text().splitlines()))
            assert len({(row["run"], row["step"]) for row in rows}) == len(rows)
        path.write_bytes(content)
    (study / "plain-8-s0" / "metrics.jsonl").write_bytes((study / "plain-8-s0" / "metrics.jsonl").read_bytes()[:-150])
    answer = cli("compare", "--json")
    assert answer.code == 0
    compared = json.loads(answer.out)
    assert ("plain", 8) not in {(cell["variant"], cell["depth"]) for cell in compared["cells"]}
    assert any(
        "plain-8-s0 is not in the table: it is finished, but metrics.jsonl lacks its last evaluation" in sentence
        for sentence in compared["missing"]
    )
    figure(
        "13", f"metrics and events of a finished run cut at {len(cuts)} bytes, read by 3 commands", "exit 0, no duplicate step"
    )


@pytest.mark.parametrize("first_year", [1, 2026, 1969, 9999][: times(2, 4)])
def test_a_clock_that_goes_backwards_is_harmless(first_year, study, cli, monkeypatch, figure):
    class Backwards(datetime.datetime):
        hours = 0

        @classmethod
        def now(cls, tz=None):
            cls.hours += 1
            return datetime.datetime(first_year, 12, 31, 23, tzinfo=tz) - datetime.timedelta(hours=cls.hours)

    seconds = iter(range(10**9, 0, -1000))
    monkeypatch.setattr(datetime, "datetime", Backwards)
    monkeypatch.setattr(time, "time", lambda: float(next(seconds)))
    late = tiny(model__depth=20, recipe__steps=8, evaluation__every=4)
    assert [record.step for record in run(late, RunFolder(study / late.name), CPU) if getattr(record, "type", "") == "eval"] == [
        4,
        8,
    ]
    for index, path in enumerate(sorted(study.rglob("*.json*"))):
        os.utime(path, ((-1) ** index * 4e9, (-1) ** index * 4e9))
    for words in (
        ["runs"], ["runs", "--watch"], ["compare", "--x", "hours", "--json"], ["export", "--to", "csv"],
        ["export", "--to", "tensorboard"],
    ):  # fmt: skip
        answer = cli(*words)
        assert answer.code == 0, answer.err
    figure(
        "13",
        f"a clock that goes backwards from the year {first_year}, file times of 1843 and 2096",
        "training and reading unaffected",
    )


def test_commands_read_a_read_only_runs_folder(study, tmp_path, cli, monkeypatch, figure):
    monkeypatch.setattr(figures, "entitled", lambda *arguments: None)  # drawing is slow and does not depend on the folder
    monkeypatch.setattr(figures, "rendered", lambda *arguments: b"<svg></svg>")
    before = content_of(study)
    with read_only(study.parent) as binds:
        if not binds:
            pytest.skip("file modes do not restrict this process")
        for words in (
            ["runs"], ["runs", "--json"], ["runs", "--watch"], ["compare", "--out", "out"], ["report", "--out", "out"],
            ["report", "--watch", "--out", "out"], ["export", "--to", "csv", "--out", "out"],
            ["summary", "--pair", "--depth", "8"], ["verify"],
            ["export", "--to", "safetensors", "--out", "out"], ["evaluate", "s/plain-8-s0"], ["config", "show", "smoke"],
            ["train", "--run", "runs/s/plain-8-s0"],
        ):  # fmt: skip
            answer = cli(*words)
            assert answer.code == 0, (words, answer.err)
        for words in (["compare"], ["report"]):
            answer = cli(*words)
            assert answer.code == 74
            assert "another folder with --out" in answer.err.strip().split("\n")[-1]
        assert (tmp_path / "out" / "report" / "index.html").exists()
    assert content_of(study) == before
    figure("13", "13 commands that read a read-only runs folder", "all exit 0, nothing changed")
