"""`resnet-lab export`: a study's records for other tools."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from resnet_lab.cli import display
from resnet_lab.cli.options import Json, Runs, StudyArgument
from resnet_lab.record.store import DEFAULT_ROOT, find_study, read_study


def export(
    to: Annotated[Literal["csv", "tensorboard"], typer.Option("--to", help="Tables, or event files for TensorBoard.")],
    study: StudyArgument = None,
    out: Annotated[Path | None, typer.Option(help="The folder to write into; else export in the study's folder.")] = None,
    runs: Runs = DEFAULT_ROOT,
    as_json: Json = False,
) -> None:
    """Write the study's records as CSV tables or TensorBoard event files; again: replaces them by what is there now."""
    from resnet_lab.report.export import write_csv, write_tensorboard

    folder = find_study(runs, study)
    target = out or folder / "export"
    found, faults = read_study(folder)
    if any(run.is_stand_in for run in found):
        display.stand_in()
    paths = write_csv(target, folder.name, found) if to == "csv" else write_tensorboard(target, found)
    for fault in faults:
        display.note(fault)
    if as_json:
        display.result_json({"files": [str(path) for path in paths]})
        return
    for path in paths:
        display.result(str(path))
    if to == "tensorboard":
        display.note(f"`tensorboard --logdir {target}` shows them.")
