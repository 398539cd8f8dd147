"""`resnet-lab runs rm`: deletes runs and studies."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from resnet_lab.cli import completion, terminal
from resnet_lab.cli.options import Json, Runs
from resnet_lab.errors import ConfigError, DiskError
from resnet_lab.record.delete import check_free, delete, find_deletable, num_bytes, runs_in
from resnet_lab.record.store import RunFolder
from resnet_lab.record.study import DEFAULT_ROOT, run_folders
from resnet_lab.text import in_bytes


def rm(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN|STUDY",
            help="Runs as STUDY/RUN, or whole studies with their figures, reports and exports.",
            autocompletion=completion.runs,
        ),
    ],
    runs: Runs = DEFAULT_ROOT,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Delete runs or whole studies. Shows what would be deleted, and asks first.

    Runs that a process is working on are refused. What was deleted cannot be restored.
    """
    folders = find_deletable(runs, names)
    check_free(runs_in(folders))
    total, counted = sum(map(num_bytes, folders)), _counted(folders)
    _show(folders)
    confirmed = yes or _confirmed(f"Delete {counted}, {in_bytes(total)}?")
    if confirmed:
        with terminal.working("Deleting"):
            delete(runs, folders)
    terminal.note(f"Deleted {counted}." if confirmed else "Nothing was deleted.")
    if as_json:
        terminal.result_json({"deleted": list(map(str, folders)) if confirmed else [], "bytes": total if confirmed else 0})
    if not confirmed:
        return
    for study in dict.fromkeys(path.parent for path in folders if run_folders(path.parent)):
        terminal.note(f"Figures and reports of {study} may still show them: `resnet-lab report {study}` updates them.")


def _show(folders: Sequence[Path]) -> None:
    """A row for each run, with its study, state, last step and size."""
    rows = []
    for folder in runs_in(folders):
        name = f"{folder.path.parent.name}/{folder.path.name}"
        rows.append((name, *_state_and_step(folder), in_bytes(num_bytes(folder.path))))
    terminal.note_table(("run", "state", "step", "size"), rows)


def _state_and_step(folder: RunFolder) -> tuple[str, str]:
    try:
        run = folder.read()
    except (ConfigError, DiskError):
        return "cannot be read", "-"
    return run.state, f"{run.step:,}"


def _counted(folders: Sequence[Path]) -> str:
    """Such as `2 runs` or `1 study with 4 runs and 2 runs`."""
    studies = [path for path in folders if not RunFolder(path).exists()]
    inside, single = len(runs_in(studies)), len(folders) - len(studies)
    whole = f"{_number(len(studies), 'study', 'studies')} with {_number(inside, 'run', 'runs')}" if studies else ""
    return " and ".join(part for part in (whole, _number(single, "run", "runs") if single else "") if part)


def _number(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _confirmed(question: str) -> bool:
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:
        terminal.note("")
        raise ConfigError("Nothing was deleted: there was no answer. Use --yes to delete without a question.") from None
