"""Export of a study's records to experiment trackers on this machine: an MLflow database, and offline runs of Weights & Biases.

Both are written by the trackers' own clients. Nothing is sent anywhere, and no account is needed.
"""

import contextlib
import datetime
import hashlib
import json
import logging
import os
import sqlite3
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from resnet_lab.config.settings import flatten
from resnet_lab.errors import ConfigError, DiskError
from resnet_lab.record.checksums import file_in, listed_files, write_files
from resnet_lab.record.export import Show, each, scalars, started
from resnet_lab.record.files import disk_errors
from resnet_lab.record.store import Run, RunState
from resnet_lab.record.study import Study
from resnet_lab.text import printable

DATABASE = "mlflow.db"
_STATUS: Mapping[RunState, str] = {
    "planned": "SCHEDULED",
    "running": "RUNNING",
    "interrupted": "KILLED",
    "diverged": "FAILED",
    "failed": "FAILED",
    "finished": "FINISHED",
}  # MLflow's names
_OWN_TAG = "resnet-lab.run"  # of MLflow runs that an export has written
_BATCH = {"metrics": 1000, "params": 100, "tags": 100}  # MLflow's limits for one call
_PROJECT = "resnet-lab"  # of Weights & Biases; a study is a group of runs in it
_MAX_GROUP = 128


def write_mlflow(folder: Path, study: Study, show: Show = lambda what: None) -> list[Path]:
    """Write the study as an experiment in `mlflow.db`, one MLflow run per run; other experiments in it are left alone.

    A later export adds what is new. A run with other settings or other records than before replaces the earlier one, which MLflow
    keeps as deleted, and so does MLflow with runs that the study no longer has. Names have no parentheses, which MLflow does not
    allow. Raises DiskError, and ConfigError if the client is not installed.
    """
    path = folder / DATABASE
    if "?" in str(path.resolve()):
        raise ConfigError(f"MLflow cannot use {path}, whose name contains a question mark: choose another folder with --out.")
    with _isolated("MLFLOW_", DISABLE_TELEMETRY="true"):
        try:
            import alembic  # noqa: F401  # MLflow needs it for a database
            from mlflow.exceptions import MlflowException
            from mlflow.tracking import MlflowClient
            from sqlalchemy.exc import SQLAlchemyError
        except ImportError:
            raise _missing("MLflow", "mlflow") from None
        logging.getLogger("mlflow.store.db").setLevel(logging.WARNING)  # otherwise it reports each table that it creates
        _open_database(path)
        try:
            _write_experiment(MlflowClient(f"sqlite:///{path.resolve().as_posix()}"), folder, study, show)
        except (MlflowException, SQLAlchemyError) as error:
            reason = str(error).partition("\n")[0].rstrip(".")
            raise DiskError(f"{path} cannot be used: {reason}. Move it away, or choose another folder with --out.") from error
    return [path]


def _open_database(path: Path) -> None:
    """Check that the database can be written, since MLflow would try for an hour. Raises DiskError."""
    with disk_errors(path.parent, "--out"):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("SELECT name FROM sqlite_master")
    except sqlite3.Error as error:
        raise DiskError(f"{path} cannot be used: {error}. Move it away, or choose another folder with --out.") from error


def _write_experiment(client: Any, folder: Path, study: Study, show: Show) -> None:
    name = printable(study.name)
    experiment = client.get_experiment_by_name(name)
    artifacts = (folder / "mlartifacts").resolve().as_uri()  # none are written
    experiment_id = client.create_experiment(name, artifacts) if experiment is None else experiment.experiment_id
    found = [run for run in client.search_runs([experiment_id], max_results=50_000) if _OWN_TAG in run.data.tags]
    earlier = {run.data.tags[_OWN_TAG]: run for run in found}
    for run in each(study.runs, show):
        earlier_run = earlier.pop(run.name, None)
        if not _write_mlflow_run(client, experiment_id, study, run, earlier_run):
            client.delete_run(earlier_run.info.run_id)
            _write_mlflow_run(client, experiment_id, study, run, None)
    for outdated in earlier.values():
        client.delete_run(outdated.info.run_id)


def _write_mlflow_run(client: Any, experiment_id: str, study: Study, run: Run, earlier: Any) -> bool:
    """Write a run, or what an earlier export of it lacks; False if that export was of another run or of other records."""
    from mlflow.entities import Metric, Param, RunTag

    start = int(started(run) * 1000)
    points = [
        Metric(_mlflow_name(name), value, int(wall_time * 1000), step)
        for wall_time, step, values in scalars(run)
        for name, value in values.items()
    ]
    params = {name: _text(value) for name, value in flatten(run.config.model_dump(mode="json"))}
    tags = {_OWN_TAG: run.name, "mlflow.source.git.commit": str(run.environment.get("git_commit"))}
    tags |= {name: _text(value) for name, value in _labels(study, run).items()}
    tags |= {f"environment.{_mlflow_name(name)}": _text(value) for name, value in flatten(run.environment)}
    known: set[tuple[str, int, int]] = set()
    if earlier is not None:
        histories = [client.get_metric_history(earlier.info.run_id, name) for name in earlier.data.metrics]
        known = {_position(point) for history in histories for point in history}
        same_run = earlier.info.start_time == start and earlier.data.tags.get("digest") == tags["digest"]
        if not same_run or known - set(map(_position, points)):
            return False
    run_id = earlier.info.run_id if earlier else client.create_run(experiment_id, start, {}, run.name).info.run_id
    _log(client, run_id, "tags", [RunTag(name, value) for name, value in tags.items()])
    _log(client, run_id, "params", [Param(name, value) for name, value in params.items()])
    _log(client, run_id, "metrics", [point for point in points if _position(point) not in known])
    if run.state in ("planned", "running"):
        client.update_run(run_id, _STATUS[run.state])
    else:
        client.set_terminated(run_id, _STATUS[run.state], points[-1].timestamp if points else start)
    return True


def _log(client: Any, run_id: str, kind: str, items: Sequence[Any]) -> None:
    for begin in range(0, len(items), _BATCH[kind]):
        client.log_batch(run_id, **{kind: items[begin : begin + _BATCH[kind]]})


def _position(metric: Any) -> tuple[str, int, int]:
    """What identifies a value of a run: a record that replaces another one of its step took other seconds."""
    return metric.key, metric.step, metric.timestamp


def _mlflow_name(name: str) -> str:
    return name.replace("(", "").replace(")", "")


def write_wandb(folder: Path, study: Study, show: Show = lambda what: None) -> list[Path]:
    """Write one offline run of Weights & Biases per run, for `wandb sync`, and remove outdated ones of earlier exports.

    A run's id depends on its study, settings and start alone, so a run that is exported and synced again is the same run there.
    Raises DiskError, and ConfigError if the client is not installed or refuses a run.
    """
    with tempfile.TemporaryDirectory() as scratch, _isolated("WANDB_", ERROR_REPORTING="false", **_folders(scratch)):
        try:
            import wandb
        except ImportError:
            raise _missing("Weights & Biases", "wandb") from None
        try:
            written = {_wandb_name(study, run): _write_wandb_run(scratch, study, run) for run in each(study.runs, show)}
        except wandb.Error as error:
            raise ConfigError(f"The client of Weights & Biases failed: {error} Use --to csv, which does not need it.") from error
        finally:
            wandb.teardown()  # waits for the process that writes the files
        with disk_errors(Path(scratch)):
            files = {name: path.read_bytes() for name, path in written.items()}
    outdated = [name for name in listed_files(folder) if name.startswith("wandb/") and name not in files]
    with disk_errors(folder, "--out"):
        for path in (path for name in outdated if (path := file_in(folder, name)) is not None):
            path.unlink()
            _unmark(path)
            with contextlib.suppress(OSError):  # not empty
                path.parent.rmdir()
        for name in files:
            _unmark(folder / name)
    write_files(folder, files, "--out")
    return [folder / name for name in files]


def _unmark(path: Path) -> None:
    """Remove the mark by which `wandb sync` leaves out a file that it has uploaded."""
    path.with_suffix(".wandb.synced").unlink(missing_ok=True)


def _folders(scratch: str) -> dict[str, str]:
    return {f"{name}_DIR": scratch for name in ("CACHE", "CONFIG", "DATA")}


def _wandb_id(study: Study, run: Run) -> str:
    text = "\n".join([study.name, run.name, run.config.digest(), str(started(run))])
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:16]


def _wandb_name(study: Study, run: Run) -> str:
    """The path of a run's file below the folder of the export, as the client itself would name it."""
    run_id, start = _wandb_id(study, run), datetime.datetime.fromtimestamp(started(run), datetime.UTC)
    return f"wandb/offline-run-{start:%Y%m%d_%H%M%S}-{run_id}/run-{run_id}.wandb"


def _write_wandb_run(scratch: str, study: Study, run: Run) -> Path:
    """Let the client write a run's file, without information on this machine."""
    import wandb

    settings = wandb.Settings(
        mode="offline",
        root_dir=scratch,
        console="off",
        silent=True,
        host="",
        disable_git=True,
        disable_code=True,
        disable_job_creation=True,
        x_disable_stats=True,
        x_disable_meta=True,
        x_disable_machine_info=True,
        x_save_requirements=False,
    )
    labels = _labels(study, run)
    client = wandb.init(
        project=_PROJECT,
        group=labels["study"][:_MAX_GROUP],
        id=_wandb_id(study, run),
        name=run.name,
        tags=[run.config.model.variant, f"depth {run.config.model.depth}", f"seed {run.config.seed}", run.state],
        config=run.config.model_dump(mode="json") | {"run": labels, "environment": run.environment},
        settings=settings,
    )
    for wall_time, step, values in scalars(run):
        client.log({**values, "_timestamp": wall_time}, step=step)
    client.finish(exit_code=0 if run.state == "finished" else 1)
    return Path(client.settings.sync_file)


def _labels(study: Study, run: Run) -> dict[str, Any]:
    """What a run is called and where it stands; the settings are separate."""
    model = run.config.model
    return {
        "study": printable(study.name),
        "variant": model.variant,
        "kind": model.kind,
        "depth": model.depth,
        "seed": run.config.seed,
        "state": run.state,
        "digest": run.config.digest(),
    }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _missing(client: str, extra: str) -> ConfigError:
    return ConfigError(
        f"{client} is not installed: run `pip install 'resnet-lab[{extra}]'`, or use --to csv, which does not need it."
    )


@contextlib.contextmanager
def _isolated(prefix: str, **values: str) -> Iterator[None]:
    """Replace a client's environment variables by these, named without their prefix, and ignore warnings of its packages."""
    before = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(prefix)}
    given = {f"{prefix}{name}": value for name, value in values.items()}
    os.environ.update(given)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name in [name for name in os.environ if name.startswith(prefix)]:
            del os.environ[name]
        os.environ.update(before)
