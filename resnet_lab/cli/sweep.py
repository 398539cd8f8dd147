"""`resnet-lab sweep`: all runs of a study."""

import time
from typing import Annotated

import typer

from resnet_lab.cli import display
from resnet_lab.cli.options import (
    Compile,
    ConfigArgument,
    DataDir,
    Device,
    Jobs,
    Json,
    Runs,
    Set,
    StudyName,
    Threads,
    stop_signals,
)
from resnet_lab.config.files import load_study
from resnet_lab.errors import SweepError
from resnet_lab.record.study import DEFAULT_ROOT, study_path


def sweep(
    config: ConfigArgument = None,
    overrides: Set = None,
    compile: Compile = None,
    study: StudyName = None,
    runs: Runs = DEFAULT_ROOT,
    jobs: Jobs = None,
    threads: Threads = None,
    data_dir: DataDir = None,
    device: Device = "auto",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the runs, their cost and time; start nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Train every kind, depth and seed of a config, several runs at once. Run again, it continues and skips what is finished."""
    begin = time.perf_counter()
    from resnet_lab.sweep.local import LocalPool
    from resnet_lab.sweep.plan import plan

    start_seconds = time.perf_counter() - begin  # most of what a run's process takes to start are the same imports
    source = load_study(config, overrides or (), compile=compile)
    folder = study_path(runs, study or source.name)
    pool = LocalPool(device, threads, jobs)
    planned = plan(source, folder, data_dir, pool, display.download, must_have_data=not dry_run, start_seconds=start_seconds)
    if planned.stand_in:
        display.stand_in()
    display.show_plan(planned, as_json=as_json and dry_run)
    if dry_run:
        return
    with stop_signals() as stop, display.sweeping(planned) as screen:
        outcomes = []
        for outcome in planned.start(lambda: stop.signal):
            screen.refresh()
            if outcome is not None:
                outcomes.append(outcome)
                screen.ended(outcome)
    display.sweep_result(planned, as_json=as_json)
    if stop:
        raise typer.Exit(stop.exit_code)
    failed = [*planned.diverged, *(outcome.folder for outcome in outcomes if outcome.failed)]
    if failed:
        names = ", ".join(f"{folder.path.name} ({folder.read().state})" for folder in failed)
        raise SweepError(
            f"{len(failed)} of {len(planned.runs)} runs did not finish: {names}. What each printed is in its "
            f"{failed[0].log_file.name}. The same command tries failed runs again; a diverged one needs another recipe."
        )
