"""`resnet-lab sweep`: all runs of a study."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resnet_lab.cli import terminal
from resnet_lab.cli.options import (
    Compile,
    ConfigArgument,
    DataDir,
    Device,
    Jobs,
    Json,
    Runs,
    Set,
    Stop,
    StudyName,
    Threads,
    stop_signals,
)
from resnet_lab.cli.screens import DAY_SECONDS, DownloadLine, decoding_caveat, sweep_screen
from resnet_lab.config.files import load_study
from resnet_lab.errors import SweepError
from resnet_lab.record.store import RunFolder
from resnet_lab.record.study import DEFAULT_ROOT, study_path
from resnet_lab.study.values import run_values
from resnet_lab.text import duration

if TYPE_CHECKING:
    from resnet_lab.sweep.launch import Launcher, Outcome
    from resnet_lab.sweep.plan import Plan


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
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the runs with their cost and estimated time; start nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Train every kind, depth and seed of a config, several runs at once.

    Run the same command again to resume unfinished runs; finished runs are skipped. Ctrl-C saves a checkpoint of every run before
    exiting, as do SIGTERM, SIGHUP, SIGUSR1 and SIGUSR2. A third Ctrl-C exits at once.
    """
    with stop_signals() as stop:
        begin = time.perf_counter()
        from resnet_lab.sweep.local import LocalPool
        from resnet_lab.sweep.plan import plan

        start_seconds = time.perf_counter() - begin  # a run's process imports the same, which is most of its start-up time
        source = load_study(config, overrides or (), compile=compile)
        folder = study_path(runs, study or source.name)
        launcher, show = LocalPool(device, threads, jobs), DownloadLine().show
        planned = plan(source, folder, data_dir, launcher, show, must_have_data=not dry_run, start_seconds=start_seconds)
        if planned.stand_in:
            terminal.stand_in()
        if dry_run and as_json:
            terminal.result_json(_plan_values(planned))
        else:
            _show_plan(planned)
        if not dry_run:
            _run(planned, launcher, stop, as_json=as_json)


def _run(plan: "Plan", launcher: "Launcher", stop: Stop, *, as_json: bool) -> None:
    """Run a planned sweep and show its outcome. Raises SweepError if runs failed."""
    stop.defer()
    with sweep_screen(plan) as screen:
        outcomes = []
        for update in plan.start(launcher, lambda: stop.signal):
            screen.refresh()
            if isinstance(update, str):
                terminal.note(update)
            elif update is not None:
                outcomes.append(update)
                screen.ended(update)
    ended = [run.folder.read() for run in plan.runs]
    if as_json:
        terminal.result_json({"study": plan.study_path.name, "runs": [run_values(run) for run in ended]})
    elif all(run.state == "finished" for run in ended):
        terminal.note(
            f"All {len(ended)} runs of {plan.study_path} are finished; `resnet-lab compare {plan.study_path}` compares them."
        )
    if stop:
        raise typer.Exit(stop.exit_code)
    _raise_if_failed(plan, outcomes)


def _raise_if_failed(plan: "Plan", outcomes: "Sequence[Outcome]") -> None:
    failed: list[RunFolder] = [*plan.diverged, *(outcome.folder for outcome in outcomes if outcome.failed)]
    if failed:
        names = ", ".join(f"{folder.path.name} ({folder.read().state})" for folder in failed)
        raise SweepError(
            f"{len(failed)} of {len(plan.runs)} runs did not finish: {names}. Their output is in {failed[0].log_file.name} in "
            "their folders. Run the same command to retry failed runs; a diverged run needs a different recipe."
        )


def _show_plan(plan: "Plan") -> None:
    """The runs of a sweep with their cost and time, longest first."""
    rows = [
        (
            run.folder.path.name,
            run.state,
            f"{run.forecast.parameters:,}",
            f"{run.forecast.multiply_adds / 1e6:.1f} M",
            f"{run.forecast.config.recipe.steps:,}",
            duration(run.forecast.seconds) if plan.is_measured else "-",
        )
        for run in plan.runs
    ]
    terminal.note_table(("run", "state", "parameters", "mult-adds", "steps", "time left"), rows)
    allocation = plan.allocation
    cost = f" on {allocation.device}: about {duration(plan.seconds)}" if plan.is_measured else ""
    terminal.note(
        f"{plan.study_path}: {len(plan.jobs)} of {len(plan.runs)} runs left, {allocation.num_jobs} at once with "
        f"{allocation.threads} thread{'s' if allocation.threads > 1 else ''} each{cost}.{decoding_caveat(plan.runs[0].forecast)}"
    )
    if plan.is_measured and plan.seconds > DAY_SECONDS:
        terminal.note("That is more than a day here; the presets quick (an hour or two) and demo (minutes) are shorter.")
    if (shortage := plan.disk.shortage(plan.study_path)) is not None:
        terminal.note(shortage)


def _plan_values(plan: "Plan") -> dict[str, Any]:
    """The plan as JSON."""
    runs = [
        {
            "run": run.folder.path.name,
            "state": run.state,
            "parameters": run.forecast.parameters,
            "multiply_adds": run.forecast.multiply_adds,
            "steps": run.forecast.config.recipe.steps,
            "seconds": run.forecast.seconds if plan.is_measured else None,
        }
        for run in plan.runs
    ]
    return {
        "study": plan.study_path.name,
        "jobs": plan.allocation.num_jobs,
        "threads": plan.allocation.threads,
        "seconds": plan.seconds if plan.is_measured else None,
        "disk_bytes": plan.disk.needed,
        "free_bytes": plan.disk.free,
        "runs": runs,
    }
