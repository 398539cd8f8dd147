"""`resnet-lab task`: several runs at once on this machine; a task of an array job starts it, see `sweep --launcher slurm`."""

from pathlib import Path
from typing import Annotated

import typer

from resnet_lab.cli import terminal
from resnet_lab.cli.options import DataDir, Device, Jobs, Threads, stop_signals
from resnet_lab.errors import SweepError, retryable
from resnet_lab.record.store import RunFolder
from resnet_lab.record.study import refuse_links


def task(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs.")],
    jobs: Jobs = None,
    data_dir: DataDir = None,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Start or resume the runs in these folders, several at once, with the configs stored there; finished runs are skipped.

    Signals stop it as they stop `sweep`. If a run has failed that is worth another try, the exit code is that of this run.
    """
    with stop_signals() as stop:
        from resnet_lab.data.load import data_root
        from resnet_lab.sweep.launch import Job, Outcome, start
        from resnet_lab.sweep.local import LocalPool

        for path in runs:
            refuse_links(path)
            RunFolder(path).config()
        pending = [Job(RunFolder(path), data_root(data_dir)) for path in runs if RunFolder(path).ending() is None]
        pool = LocalPool(device, threads, jobs)
        failed: list[Outcome] = []
        stop.defer()
        for update in start(pool, pending, pool.allocate(max(len(pending), 1)), lambda: stop.signal):
            if isinstance(update, Outcome):
                terminal.note(f"{update.folder.path} is {update.folder.read().state}.")
                failed += [update] if update.failed else []
            elif update is not None:
                terminal.note(update)
    if stop:
        raise typer.Exit(stop.exit_code)
    if failed:
        names = ", ".join(outcome.folder.path.name for outcome in failed)
        error = SweepError(f"These runs did not finish: {names}. Their output is in output.log in their folders.")
        error.exit_code = next((outcome.exit_code for outcome in failed if retryable(outcome.exit_code)), error.exit_code)
        raise error
