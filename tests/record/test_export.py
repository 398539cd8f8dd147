"""Exports as CSV and as event files: complete, exact, repeatable, and without changes to the study."""

import csv
import dataclasses
import hashlib
import json
import sys
from pathlib import Path

import pytest

from resnet_lab.errors import ConfigError
from resnet_lab.record.export import write_csv, write_tensorboard
from resnet_lab.record.lines import EvalRecord, TrainRecord, ValidationRecord
from resnet_lab.record.store import RunFolder
from resnet_lab.record.study import read_study
from tests.builders import tiny, written_study

SPEED = 80 / 3.0


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_csv_has_every_record_with_all_digits():
    study = read_study(written_study())
    write_csv(Path("out"), study)
    for name, kind in (("training", TrainRecord), ("evaluation", EvalRecord), ("validation", ValidationRecord)):
        expected = [
            (run, record)
            for run in study.runs
            for record in (*run.train, *run.evaluations, *run.validation)
            if type(record) is kind
        ]
        rows = read(Path(f"out/{name}.csv"))
        assert len(rows) == len(expected) > 0
        for row, (run, record) in zip(rows, expected, strict=True):
            head = [row.pop(key) for key in ("study", "run", "variant", "kind", "shortcut", "depth", "seed")]
            assert head == ["study", run.name, run.config.model.variant, run.config.model.kind, "A", "8", "0"]
            values = {key: json.loads(value) if value else None for key, value in row.items()}
            assert values == dataclasses.asdict(record)


def test_csv_has_one_row_per_run_with_its_settings():
    study = read_study(written_study())
    write_csv(Path("out"), study)
    plain, residual = read(Path("out/runs.csv"))
    assert [plain[key] for key in ("run", "kind", "depth", "seed", "state", "step")] == [
        "plain-8-s0", "plain", "8", "0", "interrupted", "10",
    ]  # fmt: skip
    assert (residual["state"], residual["digest"]) == ("finished", study.runs[1].config.digest())
    assert (plain["recipe.lr"], plain["recipe.schedule.patience"], plain["compute.compile"]) == ("0.05", "1", "false")
    assert (residual["recipe.schedule.milestones"], residual["recipe.schedule.patience"]) == ("[10, 20]", "")


def scalars(folder: Path) -> dict[str, list[tuple[float, int, float]]]:
    """All scalars of a run's folder, as TensorBoard itself reads them."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(folder))
    events.Reload()
    tags = events.Tags()["scalars"]
    return {tag: [(point.wall_time, point.step, point.value) for point in events.Scalars(tag)] for tag in tags}


def near(value: float):
    return pytest.approx(value, rel=1e-6)  # event files hold 32-bit floats


def test_event_files_have_every_record(cli):
    pytest.importorskip("tensorboard")
    study = written_study()
    answer = cli("export", "study", "--to", "tensorboard")
    assert answer.code == 0, answer.err
    assert "tensorboard --logdir runs/study/export" in answer.err
    start = 0.0
    for run in read_study(study).runs:
        exported = scalars(study / "export" / run.name)
        start = exported["lr"][0][0] - 3.0
        assert exported["error/training (running)"] == [
            (start + 3, 5, near(1 / 15)),
            (near(exported["lr"][1][0]), 10, near(1 / 30)),
        ]
        assert exported["images per second"][1][1:] == (10, near(SPEED))
        assert [exported[f"error/{part}"][0][1:] for part in ("training (clean)", "test")] == [
            (10, near(1 / 9)),
            (10, near(1 / 13)),
        ]
        assert [exported[f"loss/{part}"][0][1:] for part in ("training (clean)", "test")] == [
            (10, near(1 / 11)),
            (10, near(1 / 17)),
        ]
        assert ("error/validation" in exported) == (run.name == "plain-8-s0")
    checks = scalars(study / "export" / "plain-8-s0")["error/validation"]
    assert [check[1:] for check in checks] == [(8, near(0.7)), (10, near(0.3))]  # one value per step
    assert scalars(study / "export" / "plain-8-s0")["error/test"][0][0] == near(start + 7)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("to", ["csv", "tensorboard"])
def test_exporting_twice_gives_equal_files_and_leaves_the_study_unchanged(cli, to):
    if to == "tensorboard":
        pytest.importorskip("tensorboard")
    study = written_study()
    before = contents(study)
    files = json.loads(cli("export", "--to", to, "--out", "out", "--json").out)["files"]
    first = contents(Path("out"))
    assert sorted([*files, "out/sha256.json"]) == sorted(f"out/{name}" for name in first)
    assert json.loads(first["sha256.json"]) == {
        name: hashlib.sha256(content).hexdigest() for name, content in first.items() if name != "sha256.json"
    }
    assert cli("export", "--to", to, "--out", "out").code == 0
    assert contents(Path("out")) == first
    assert contents(study) == before


def test_an_export_removes_earlier_event_files_of_its_own_only():
    pytest.importorskip("tensorboard")
    study = read_study(written_study())
    told: list[str] = []
    write_tensorboard(Path("out"), study, told.append)
    assert told == [f"Exporting {run.name}, {number} of {len(study.runs)}" for number, run in enumerate(study.runs, 1)]
    foreign = Path("out/plain-8-s0/events.out.tfevents.1.host")
    foreign.write_bytes(b"")
    write_tensorboard(Path("out"), dataclasses.replace(study, runs=study.runs[1:]))
    assert [path.parent.name for path in Path("out").rglob("events*.resnet-lab")] == ["residual-8-s0"]
    assert foreign.exists()


def test_a_run_without_events_or_records_is_exported():
    pytest.importorskip("tensorboard")
    folder = RunFolder(Path("runs/study/residual-8-s0"))
    folder.create(tiny())
    (path,) = write_tensorboard(Path("out"), read_study(folder.path.parent))
    assert path.name == "events.out.tfevents.0000000000.resnet-lab"
    assert scalars(path.parent) == {}
    write_csv(Path("out"), read_study(folder.path.parent))
    assert read(Path("out/training.csv")) == []


def test_without_tensorboard_the_export_is_refused_and_writes_nothing(cli, monkeypatch):
    for name in ("tensorboard", "tensorboard.compat.proto.event_pb2"):
        monkeypatch.setitem(sys.modules, name, None)
    study = written_study()
    before = contents(study)
    answer = cli("export", "--to", "tensorboard")
    assert answer.code == ConfigError.exit_code == 2
    assert "pip install 'resnet-lab[tensorboard]'" in answer.err
    assert contents(study) == before


def test_an_output_folder_that_cannot_be_created_exits_with_74(cli):
    written_study()
    Path("file").write_text("in the way")
    answer = cli("export", "--to", "csv", "--out", "file")
    assert answer.code == 74
    assert "Choose another folder with --out" in answer.err
