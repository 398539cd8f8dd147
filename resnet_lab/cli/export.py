"""`resnet-lab export`: a study's records or weights in the formats of other tools."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from resnet_lab.cli import completion, terminal
from resnet_lab.cli.options import Json, Runs
from resnet_lab.config.terms import RecordFiles, WeightFiles
from resnet_lab.errors import ConfigError
from resnet_lab.record.study import DEFAULT_ROOT, find_runs, find_study, read_study, run_folders

_VIEW = {
    "tensorboard": "View them with `tensorboard --logdir {folder}`.",
    "mlflow": "View them with `mlflow ui --backend-store-uri sqlite:///{folder}/mlflow.db`, a command of the package mlflow.",
    "wandb": "Nothing has been uploaded; `wandb sync {folder}/wandb` does that.",
}


def export(
    to: Annotated[
        Literal[RecordFiles, WeightFiles],
        typer.Option(
            "--to",
            metavar="FORMAT",
            help="Format. Records: csv, tensorboard, mlflow or wandb; weights: torchvision (a state dict with its names) or "
            "safetensors.",
        ),
    ],
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="STUDY",
            help="Study name or folder; for weights also one run as STUDY/RUN (default: the newest study).",
            autocompletion=completion.runs,
        ),
    ] = None,
    at: Annotated[
        int | None,
        typer.Option(
            "--at", min=0, help="Step of the exported weights; 0: the initial weights (default: the newest checkpoint)."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write to (default: export, in the study's folder).")] = None,
    runs: Runs = DEFAULT_ROOT,
    as_json: Json = False,
) -> None:
    """Export a study's records, or the weights of each of its runs; files of an earlier export are replaced.

    Records: CSV tables, TensorBoard event files, an MLflow database or offline runs of Weights & Biases.

    Weights: RUN.pth, a state dict with torchvision's parameter names, or RUN.safetensors, which also describes the network.
    `resnet-lab evaluate --weights` reads both.
    """
    if to != "torchvision" and to != "safetensors":  # noqa: PLR1714  # mypy narrows only this form
        if at is not None:
            raise ConfigError(f"--at selects a checkpoint, but --to {to} exports records; drop --at or use --to safetensors.")
        _records(to, name, out, runs, as_json=as_json)
    else:
        _weights(to, name, at, out, runs, as_json=as_json)


def _records(to: RecordFiles, name: str | None, out: Path | None, runs: Path, *, as_json: bool) -> None:
    from resnet_lab.record.export import write_csv, write_tensorboard
    from resnet_lab.record.trackers import write_mlflow, write_wandb

    study = read_study(find_study(runs, name))
    target = out or study.path / "export"
    if study.is_stand_in:
        terminal.stand_in()
    write = {"csv": write_csv, "tensorboard": write_tensorboard, "mlflow": write_mlflow, "wandb": write_wandb}[to]
    with terminal.working() as show:
        paths = write(target, study, show)
    for fault in study.faults:
        terminal.note(fault)
    _show(paths, as_json=as_json)
    if to in _VIEW and not as_json:
        terminal.note(_VIEW[to].format(folder=target))


def _weights(to: WeightFiles, name: str | None, at: int | None, out: Path | None, runs: Path, *, as_json: bool) -> None:
    folders = run_folders(find_study(runs, None)) if name is None else find_runs(runs, [name])
    target = out or folders[0].path.parent / "export"

    from resnet_lab.weights.export import cautions, write_weights

    written = []
    for update in write_weights(target, folders, at, to):
        if isinstance(update, str):
            terminal.note(update)
        else:
            written.append(update)
    _show([file.path for file in written], as_json=as_json)
    if to == "torchvision":
        for caution in cautions(written):
            terminal.note(caution)


def _show(paths: list[Path], *, as_json: bool) -> None:
    if as_json:
        terminal.result_json({"files": [str(path) for path in paths]})
        return
    for path in paths:
        terminal.result(str(path))
