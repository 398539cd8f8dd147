"""Exports to MLflow and to Weights & Biases, read back with MLflow's client and with the messages of W&B's client."""

import dataclasses
import json
import math
import os
import socket
import sys
from pathlib import Path

import pytest

from resnet_lab.record.export import scalars, started
from resnet_lab.record.lines import TrainRecord
from resnet_lab.record.store import RunFolder
from resnet_lab.record.study import read_study
from resnet_lab.record.trackers import _isolated, write_mlflow, write_wandb
from tests.builders import tiny, written_study

NAMES = ("plain-8-s0", "residual-8-s0")
CLIENTS = {"mlflow": "mlflow.tracking", "wandb": "wandb"}
# Messages of LevelDB's log format: a block is divided into records with a head of checksum, length and type.
BLOCK, FILE_HEAD, RECORD_HEAD = 32_768, 7, 7
FULL, FIRST, LAST = 1, 2, 4


def require(to: str) -> None:
    with _isolated("MLFLOW_", DISABLE_TELEMETRY="true"):
        pytest.importorskip(CLIENTS[to], reason=f"its client is missing: pip install 'resnet-lab[{to}]'")


@pytest.fixture
def no_network(monkeypatch):
    """Refuse connections other than those to processes of this machine by sockets in the file system."""

    def connect(self, address):
        assert self.family == socket.AF_UNIX, f"a connection to {address}"
        return original(self, address)

    original = socket.socket.connect
    monkeypatch.setattr(socket.socket, "connect", connect)


def exported(study, run):
    """The values of a run's records by name: step, value and seconds since the start of the run."""
    values: dict[str, list[tuple[int, float, float]]] = {}
    for wall_time, step, new in scalars(run):
        for name, value in new.items():
            values.setdefault(name, []).append((step, value, wall_time - started(run)))
    return values


def mlflow_runs(path: Path, experiment: str = "study"):
    """The runs of an experiment by name, and the histories of their metrics."""
    require("mlflow")
    with _isolated("MLFLOW_", DISABLE_TELEMETRY="true"):
        from mlflow.tracking import MlflowClient

        client = MlflowClient(f"sqlite:///{path.resolve()}")
        found = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
        histories = [{name: client.get_metric_history(run.info.run_id, name) for name in run.data.metrics} for run in found]
    assert len({run.info.run_name for run in found}) == len(found)
    return {run.info.run_name: (run, history) for run, history in zip(found, histories, strict=True)}


def test_mlflow_has_every_run_with_its_settings_records_and_state(cli, no_network, monkeypatch):
    require("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://somewhere.else")
    study = read_study(written_study())
    answer = cli("export", "--to", "mlflow")
    assert answer.code == 0, answer.err
    assert answer.out.strip() == "runs/study/export/mlflow.db"
    assert "mlflow ui --backend-store-uri sqlite:///runs/study/export/mlflow.db" in answer.err
    assert "INFO" not in answer.err
    assert os.environ["MLFLOW_TRACKING_URI"] == "http://somewhere.else"
    assert [path.name for path in Path("runs/study/export").iterdir()] == ["mlflow.db"]
    found = mlflow_runs(Path("runs/study/export/mlflow.db"))
    assert set(found) == set(NAMES)
    for run in study.runs:
        entry, histories = found[run.name]
        assert entry.info.status == {"finished": "FINISHED", "interrupted": "KILLED"}[run.state]
        expected = exported(study, run)
        assert set(histories) == {name.replace("(", "").replace(")", "") for name in expected}
        for name, points in expected.items():
            history = histories[name.replace("(", "").replace(")", "")]
            assert [(point.step, point.value) for point in history] == [point[:2] for point in points]
            start = int(started(run) * 1000)
            assert [point.timestamp - start for point in history] == [pytest.approx(1000 * point[2], abs=1) for point in points]
        settings = run.config.model_dump(mode="json")
        assert entry.data.params["recipe.lr"] == str(settings["recipe"]["lr"])
        assert entry.data.params["recipe.schedule.name"] == settings["recipe"]["schedule"]["name"]
        assert json.loads(entry.data.params["log.keep"]) == []
        tags = entry.data.tags
        assert [tags[name] for name in ("study", "kind", "depth", "seed", "state", "digest")] == [
            "study", run.config.model.kind, "8", "0", run.state, run.config.digest(),
        ]  # fmt: skip
        assert entry.info.start_time == int(started(run) * 1000)


def test_mlflow_gets_what_is_new_nothing_twice_and_other_records_as_another_run(no_network):
    require("mlflow")
    folder, target = written_study(), Path("out")
    (path,) = write_mlflow(target, read_study(folder))
    first = mlflow_runs(path)
    write_mlflow(target, read_study(folder))
    again = mlflow_runs(path)
    assert {name: run.info.run_id for name, (run, _) in again.items()} == {
        name: run.info.run_id for name, (run, _) in first.items()
    }
    assert [history for _, history in again.values()] == [history for _, history in first.values()]
    RunFolder(folder / NAMES[0]).append(TrainRecord(15, 0.01, math.nan, 0.05, 80, 3.0))
    write_mlflow(target, read_study(folder))
    run, history = mlflow_runs(path)[NAMES[0]]
    assert run.info.run_id == first[NAMES[0]][0].info.run_id
    assert [point.step for point in history["error/training running"]] == [5, 10, 15]
    assert math.isnan(history["loss/training running"][-1].value)
    RunFolder(folder / NAMES[0]).append(TrainRecord(10, 0.5, 0.5, 0.05, 80, 4.0))  # the last record of a step counts
    study = read_study(folder)
    write_mlflow(target, study)
    run, history = mlflow_runs(path)[NAMES[0]]
    assert run.info.run_id != first[NAMES[0]][0].info.run_id
    assert [(point.step, point.value) for point in history["error/training running"]] == [(5, 1 / 15), (10, 0.5), (15, 0.01)]
    write_mlflow(target, dataclasses.replace(study, runs=study.runs[1:]))
    assert set(mlflow_runs(path)) == {NAMES[1]}


def test_a_database_that_mlflow_cannot_use_exits_with_74_and_is_left_as_it_is(cli):
    require("mlflow")
    written_study()
    Path("out").mkdir()
    Path("out/mlflow.db").write_text("not a database, but of the size of one" * 100)
    answer = cli("export", "--to", "mlflow", "--out", "out")
    assert answer.code == 74
    assert "out/mlflow.db cannot be used" in answer.err
    assert Path("out/mlflow.db").read_text().startswith("not a database")


def messages(path: Path):
    """The messages in a file of W&B's client, which no longer has a reader in Python."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, position, parts = path.read_bytes(), FILE_HEAD, []
    assert content.startswith(b":W&B")
    while position < len(content):
        if BLOCK - position % BLOCK < RECORD_HEAD:
            position += BLOCK - position % BLOCK
            continue
        length, kind = int.from_bytes(content[position + 4 : position + 6], "little"), content[position + 6]
        begin = position + RECORD_HEAD
        parts.append(content[begin : begin + length])
        position = begin + length
        if kind in (FULL, LAST):
            yield Record.FromString(b"".join(parts))
            parts.clear()


def values_of(items) -> dict[str, object]:
    return {".".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items}


def test_wandb_has_every_run_with_its_settings_records_and_state(cli, no_network, monkeypatch):
    require("wandb")
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_API_KEY", "secret" * 10)
    folder = written_study()
    plain = RunFolder(folder / NAMES[0])
    for step in range(15, 2000, 5):  # more than one block of the file
        plain.append(TrainRecord(step, 0.5, 0.25, 0.05, 80, 3.0))
    study = read_study(folder)
    answer = cli("export", "--to", "wandb", "--out", "out")
    assert answer.code == 0, answer.err
    assert "Nothing has been uploaded; `wandb sync out/wandb` does that." in answer.err
    assert os.environ["WANDB_MODE"] == "online"
    assert sorted(path.name for path in Path().iterdir()) == ["out", "runs"]
    paths = [Path(line) for line in answer.out.split()]
    assert sorted(path for path in Path("out").rglob("*.wandb")) == sorted(paths)
    assert paths[1].stat().st_size < BLOCK < paths[0].stat().st_size
    for run, path in zip(study.runs, paths, strict=True):
        found = list(messages(path))
        [head] = [message.run for message in found if message.WhichOneof("record_type") == "run"]
        assert (head.display_name, head.run_group, head.project, head.host) == (run.name, "study", "resnet-lab", "")
        assert path.name == f"run-{head.run_id}.wandb"
        assert list(head.tags) == [run.config.model.kind, "depth 8", "seed 0", run.state]
        config = values_of(head.config.update)
        assert config["recipe"] == run.config.model_dump(mode="json")["recipe"]
        assert config["run"]["digest"] == run.config.digest()
        [end] = [message.exit for message in found if message.WhichOneof("record_type") == "exit"]
        assert end.exit_code == (0 if run.state == "finished" else 1)
        rows = [values_of(message.history.item) for message in found if message.WhichOneof("record_type") == "history"]
        for name, points in exported(study, run).items():
            assert [(row["_step"], row[name]) for row in rows if name in row] == [point[:2] for point in points]
        assert rows[0]["_timestamp"] == started(run) + 3
        content = path.read_bytes()
        assert not [word for word in (b"secret", socket.gethostname().encode(), str(Path.cwd()).encode()) if word in content]


def test_wandb_has_one_file_per_run_however_often_it_is_exported(no_network):
    require("wandb")
    study = read_study(written_study())
    first = write_wandb(Path("out"), study)
    mark = first[0].with_suffix(".wandb.synced")
    mark.touch()
    assert write_wandb(Path("out"), study) == first
    assert sorted(Path("out").rglob("*.wandb")) == sorted(first)
    assert not mark.exists()
    write_wandb(Path("out"), dataclasses.replace(study, runs=study.runs[1:]))
    assert [*Path("out/wandb").iterdir()] == [first[1].parent]
    assert list(json.loads(Path("out/sha256.json").read_text())) == [str(first[1].relative_to("out"))]


@pytest.mark.parametrize("to", CLIENTS)
def test_a_run_without_events_or_records_is_exported(cli, to, no_network):
    require(to)
    RunFolder(Path("runs/study/residual-8-s0")).create(tiny())
    answer = cli("export", "--to", to)
    assert answer.code == 0, answer.err
    if to == "mlflow":
        assert mlflow_runs(Path("runs/study/export/mlflow.db"))["residual-8-s0"][0].info.status == "SCHEDULED"


@pytest.mark.parametrize("to", CLIENTS)
def test_without_the_client_the_export_is_refused_and_writes_nothing(cli, monkeypatch, to):
    for name in [name for name in sys.modules if name.split(".")[0] == to] + [to, CLIENTS[to]]:
        monkeypatch.setitem(sys.modules, name, None)
    study = written_study()
    before = sorted(study.rglob("*"))
    answer = cli("export", "--to", to)
    assert answer.code == 2
    assert f"pip install 'resnet-lab[{to}]'" in answer.err
    assert len(answer.err.strip().splitlines()) == 1
    assert sorted(study.rglob("*")) == before
