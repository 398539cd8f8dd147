"""`resnet-lab runs import`: brings in runs that were trained elsewhere."""

from pathlib import Path
from typing import Annotated

import typer

from resnet_lab.cli import terminal
from resnet_lab.cli.options import Json, Runs
from resnet_lab.record.study import DEFAULT_ROOT


def import_(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER", help="Folders of studies, or of single runs.")],
    study: Annotated[
        str | None, typer.Option("--study", help="Name of the study to import into (default: that of the first study).")
    ] = None,
    runs: Runs = DEFAULT_ROOT,
    as_json: Json = False,
) -> None:
    """Bring studies that were trained on several machines into one study, by copying their runs.

    Every run is checked as by `resnet-lab verify`. A run that is there already is skipped. Runs whose settings differ are
    refused, as are two runs of the same name with different records.
    """
    from resnet_lab.report.importing import import_runs

    with terminal.working() as show:
        imported = import_runs(runs, folders, study, show)
    if as_json:
        terminal.result_json({"study": str(imported.study), "imported": imported.runs, "skipped": imported.skipped})
    for name in imported.skipped:
        terminal.note(f"{name}: skipped, {imported.study} has it already.")
    if imported.runs:
        terminal.note(
            f"Imported into {imported.study}: {', '.join(imported.runs)}. `resnet-lab compare {imported.study}` compares them."
        )
    else:
        terminal.note(f"Nothing to import: {imported.study} has all of these runs.")
