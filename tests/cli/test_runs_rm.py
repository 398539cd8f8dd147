"""`runs rm`: what it shows, asks and deletes, what it refuses, and what an interruption leaves."""

import contextlib
import io
import json
import os
import shutil
import threading
from pathlib import Path

import pytest

from resnet_lab.record import delete as deletion
from resnet_lab.record.lines import TrainRecord
from resnet_lab.record.store import RunFolder
from resnet_lab.record.study import study_folders
from tests.builders import tiny, written_study

RUNS = ["plain-8-s0", "residual-8-s0"]


@pytest.fixture
def study() -> Path:
    folder = written_study()
    (folder / "report").mkdir()
    return folder


def files() -> list[Path]:
    return sorted(path for path in Path().rglob("*") if path.name != ".lock")


def answer_with(monkeypatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_it_shows_runs_steps_and_size_and_deletes_after_a_yes_alone(cli, study, monkeypatch):
    before = files()
    answer_with(monkeypatch, "n\n")
    answer = cli("runs", "rm", "study/plain-8-s0")
    assert answer.code == 0
    assert "Delete 1 run, " in answer.err
    assert answer.err.rstrip().endswith("Nothing was deleted.")
    assert [line.split()[:3] for line in answer.err.splitlines()[1:2]] == [["study/plain-8-s0", "interrupted", "10"]]
    assert files() == before
    answer_with(monkeypatch, "")
    answer = cli("runs", "rm", "study")
    assert answer.code == 2
    assert "Use --yes" in answer.err
    assert files() == before
    answer_with(monkeypatch, "y\n")
    answer = cli("runs", "rm", "study/plain-8-s0")
    assert "Deleted 1 run." in answer.err
    assert "`resnet-lab report runs/study` updates them" in answer.err
    assert sorted(path.name for path in study.iterdir()) == ["report", "residual-8-s0"]
    assert [path.name for path in Path("runs").iterdir()] == ["study"]


def test_json_lists_what_was_deleted(cli, study, monkeypatch):
    answer_with(monkeypatch, "n\n")
    assert json.loads(cli("runs", "rm", "study", "--json").out) == {"deleted": [], "bytes": 0}
    size = sum(path.stat().st_size for path in (study / "plain-8-s0").rglob("*") if path.is_file())
    answer = cli("runs", "rm", "study/plain-8-s0", "--yes", "--json")
    assert json.loads(answer.out) == {"deleted": [str(study / "plain-8-s0")], "bytes": size}


def test_a_study_is_deleted_with_all_that_is_in_its_folder(cli, study):
    RunFolder(Path("runs/other/residual-8-s0")).create(tiny())
    answer = cli("runs", "rm", "--yes", "study", "study/plain-8-s0", "runs/other/residual-8-s0")
    assert answer.code == 0, answer.err
    assert "Deleted 1 study with 2 runs and 1 run." in answer.err
    assert [path.name for path in Path("runs").rglob("*")] == ["other"]


def test_a_run_that_cannot_be_read_can_be_deleted(cli, study):
    (study / "plain-8-s0" / "config.json").write_text("{")
    answer = cli("runs", "rm", "--yes", "study/plain-8-s0")
    assert answer.code == 0
    assert "cannot be read" in answer.err
    assert not (study / "plain-8-s0").exists()


@pytest.mark.parametrize("held", ["runs/study/residual-8-s0", "runs/study/residual-8-s0/analysis/identity/deep"])
def test_a_run_that_a_process_holds_is_refused_with_all_others(cli, study, held):
    folder = RunFolder(Path(held))
    folder.create(tiny(model={"kind": "residual", "depth": 8, "width": 4}) if "deep" in held else folder.config())
    with folder.lock():
        before = files()
        for name in ("study", "study/residual-8-s0"):
            answer = cli("runs", "rm", "--yes", name)
            assert answer.code == 75
            assert f"Nothing was deleted: {held} is in use by process " in answer.err
        assert files() == before
    assert cli("runs", "rm", "--yes", "study").code == 0


def test_what_is_not_in_the_runs_folder_is_refused(cli, study):
    shutil.copytree(study, "elsewhere/study")
    Path("runs/link").symlink_to(Path("elsewhere/study").resolve())
    before = files()
    inside = Path("runs/study/plain-8-s0/analysis/residual-8-s0")
    shutil.copytree(study / "residual-8-s0", inside)
    for name in ("elsewhere/study", "elsewhere/study/plain-8-s0", "link", "link/plain-8-s0", "../runs/study/..", inside, ""):
        answer = cli("runs", "rm", "--yes", name)
        assert answer.code == 2, name
        assert "Traceback" not in answer.err
    shutil.rmtree(inside.parent)
    assert files() == before
    assert "name its runs folder with --runs" in cli("runs", "rm", "--yes", "elsewhere/study").err
    assert cli("runs", "rm", "--yes", "elsewhere/study", "--runs", "elsewhere").code == 0


def test_an_interrupted_deletion_leaves_no_half_run_and_the_next_one_finishes_it(cli, study, monkeypatch):
    def interrupted(path, **_):
        (next(Path(path).rglob("metrics.jsonl"))).unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(deletion.shutil, "rmtree", interrupted)
        with pytest.raises(KeyboardInterrupt):
            deletion.delete(Path("runs"), [study / "plain-8-s0"])
    assert [path.name for path in study_folders(Path("runs"))] == ["study"]
    assert [run for run in RUNS if run in cli("runs").out] == ["residual-8-s0"]
    assert list(Path("runs").glob(".deleted/*/*/plain-8-s0"))
    assert cli("runs", "rm", "--yes", "study/residual-8-s0").code == 0
    assert [path.name for path in Path("runs").iterdir()] == ["study"]


def test_a_whole_study_that_was_being_deleted_is_not_listed(study, monkeypatch):
    monkeypatch.setattr(deletion.shutil, "rmtree", lambda path, **_: None)
    deletion.delete(Path("runs"), [study])
    assert study_folders(Path("runs")) == []


def test_runs_is_a_command_of_its_own_beside_its_commands(cli, study):
    listed = cli("runs", "study").out
    assert all(name in listed for name in RUNS)
    assert cli("runs").out == listed
    assert cli("runs", "--json", "study").out == cli("runs", "study", "--json").out
    assert "Usage: resnet-lab runs [OPTIONS]" in cli("runs", "--help").out
    RunFolder(Path("runs/rm/residual-8-s0")).create(tiny())
    RunFolder(Path("runs/rm/residual-8-s0")).append(TrainRecord(5, 0.5, 0.5, 0.1, 80, 1.0))
    assert "residual-8-s0" in cli("runs", "./runs/rm").out


def test_runs_left_by_another_machine_are_waited_for_together(study, monkeypatch):
    owner = json.dumps({"host": "elsewhere", "boot": "", "pid": 7, "token": "t", "since": "2026-01-01T00:00:00+00:00"})
    for name in RUNS:
        path = study / name / ".owner.json"
        path.write_text(owner)
        os.utime(path, (0, 0))
    together = threading.Barrier(len(RUNS), timeout=10)

    @contextlib.contextmanager
    def lock(self):
        together.wait()  # breaks unless all are being locked at once
        yield

    monkeypatch.setattr(RunFolder, "lock", lock)
    deletion.delete(Path("runs"), [study])
    assert list(Path("runs").iterdir()) == []


def test_a_deletion_beside_another_one_makes_its_place_again(study, monkeypatch):
    rename, failed = Path.rename, []

    def rename_after_another_deletion(self, target):
        if not failed:
            failed.append(self)
            shutil.rmtree("runs/.deleted")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", rename_after_another_deletion)
    deletion.delete(Path("runs"), [study / name for name in RUNS])
    assert failed
    assert [path.name for path in study.iterdir()] == ["report"]
