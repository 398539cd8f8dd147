"""`resnet-lab runs`: the state of runs; and the group of `runs rm` and `runs import`."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from resnet_lab.cli import completion, runs_import, runs_rm, terminal
from resnet_lab.cli.help import Command, Group
from resnet_lab.cli.options import Json, Runs
from resnet_lab.cli.screens import runs_screen, study_table
from resnet_lab.cli.watch import exits_on_ctrl_c, poll
from resnet_lab.errors import ConfigError
from resnet_lab.record.store import Follower, RunFolder
from resnet_lab.record.study import DEFAULT_ROOT, Study, find_study, read_study, study_folders
from resnet_lab.study.values import run_values
from resnet_lab.sweep.slurm_queue import QueueError, can_ask, queued

_QUEUE_SECONDS = 15.0  # between questions to Slurm, which many users ask
_LIST = "list the runs"  # a name that nobody types


class _RunsGroup(Group):
    """A group that is the command `runs` itself, unless the first argument names one of its commands."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of the group, or of the command `runs`."""
        if args and args[0] != _LIST and args[0] in self.commands:
            return super().make_context(info_name, args, parent, **extra)
        return self.commands[_LIST].make_context(info_name, args, parent, **extra)


app = typer.Typer(cls=_RunsGroup, help="Show the state of runs; delete them or bring them in.")
app.command("rm", cls=Command, epilog="Example: resnet-lab runs rm quick/plain-56-s0")(runs_rm.rm)
app.command("import", cls=Command, epilog="Example: resnet-lab runs import laptop/runs/paper --study paper")(runs_import.import_)


@app.command(_LIST, cls=Command, hidden=True, epilog="Example: resnet-lab runs --watch")
def runs(
    study: Annotated[
        str | None,
        typer.Argument(
            metavar="STUDY", help="Study name or folder (default: all studies).", autocompletion=completion.studies_and_commands
        ),
    ] = None,
    runs: Runs = DEFAULT_ROOT,
    watch: Annotated[bool, typer.Option("--watch", help="Keep updating while runs are active; Ctrl-C exits.")] = False,
    as_json: Json = False,
) -> None:
    """Show the state, step, errors, speed and time left of every run, of all studies or of one.

    `resnet-lab runs rm` deletes runs, `resnet-lab runs import` brings in runs of other machines.
    """
    if watch and as_json:
        raise ConfigError("--watch prints repeatedly, but --json prints one object; drop one of them.")

    read_run, queues = Follower().read if watch else RunFolder.read, _Queues()

    def _read() -> list[Study]:
        folders = study_folders(runs) if study is None else [find_study(runs, study)]
        return [queues.added(read_study(folder, read_run)) for folder in folders]

    studies = _read()
    if as_json:
        listed = [
            {"study": study.name, "runs": [run_values(run) for run in study.runs], "faults": list(study.faults)}
            | ({} if study.queue is None else {"queue": study.queue})
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


class _Queues:
    """Adds to studies that were submitted to Slurm what its queue says, asked anew every `_QUEUE_SECONDS`."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[float, Mapping[str, str] | None, str]] = {}

    def added(self, study: Study) -> Study:
        """The study with its queue, or with a fault if Slurm does not answer; unchanged if it was not submitted from here."""
        if not can_ask(study.path):
            return study
        asked_at, queue, fault = self._known.get(study.path, (-math.inf, None, ""))
        if time.monotonic() - asked_at > _QUEUE_SECONDS:
            try:
                queue, fault = queued(study.path), ""
            except QueueError as error:
                queue, fault = None, f"The queue is not shown: {error}"
            self._known[study.path] = time.monotonic(), queue, fault
        return replace(study, queue=queue, faults=(*study.faults, *([fault] if fault else [])))


def _show(studies: Sequence[Study]) -> None:
    """Print each study's runs as a table."""
    for study in studies:
        terminal.result(f"{study.path}")
        if study.is_stand_in:
            terminal.stand_in()
        terminal.table(*study_table(study))
        for fault in study.faults:
            terminal.note(fault)
