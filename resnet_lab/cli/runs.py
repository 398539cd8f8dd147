"""`resnet-lab runs`: the state of runs."""

from collections.abc import Sequence
from typing import Annotated

import typer

from resnet_lab.cli import terminal
from resnet_lab.cli.options import Json, Runs
from resnet_lab.cli.screens import RUN_HEADER, run_row, runs_screen
from resnet_lab.cli.watch import exits_on_ctrl_c, poll
from resnet_lab.errors import ConfigError
from resnet_lab.record.store import Follower, RunFolder
from resnet_lab.record.study import DEFAULT_ROOT, Study, find_study, read_study, study_folders
from resnet_lab.study.values import run_values


def runs(
    study: Annotated[str | None, typer.Argument(metavar="[STUDY]", help="Study name or folder (default: all studies).")] = None,
    runs: Runs = DEFAULT_ROOT,
    watch: Annotated[bool, typer.Option("--watch", help="Keep updating while runs are active; Ctrl-C exits.")] = False,
    as_json: Json = False,
) -> None:
    """Show the state, step, errors, speed and time left of every run, of all studies or of one."""
    if watch and as_json:
        raise ConfigError("--watch prints repeatedly, but --json prints one object; drop one of them.")

    read_run = Follower().read if watch else RunFolder.read

    def _read() -> list[Study]:
        return [read_study(folder, read_run) for folder in ([find_study(runs, study)] if study else study_folders(runs))]

    studies = _read()
    if as_json:
        listed = [
            {"study": study.name, "runs": [run_values(run) for run in study.runs], "faults": list(study.faults)}
            for study in studies
        ]
        terminal.result_json({"studies": listed})
    elif not studies:
        terminal.result(f"There are no runs in {runs}; start with `resnet-lab sweep demo`.")
    elif watch:
        with exits_on_ctrl_c(), runs_screen() as screen:
            for current in poll(_read, screen.pause):
                screen.show(current)
    else:
        _show(studies)


def _show(studies: Sequence[Study]) -> None:
    """Print each study's runs as a table."""
    for study in studies:
        terminal.result(f"{study.path}")
        if study.is_stand_in:
            terminal.stand_in()
        terminal.table(RUN_HEADER, [run_row(run) for run in study.runs])
        for fault in study.faults:
            terminal.note(fault)
