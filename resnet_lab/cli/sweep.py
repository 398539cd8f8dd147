"""`resnet-lab sweep`: all runs of a study."""

import time
from pathlib import Path
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
from resnet_lab.config.files import StudyConfig, load_study
from resnet_lab.errors import ConfigError, SweepError
from resnet_lab.record.store import RunFolder
from resnet_lab.record.study import DEFAULT_ROOT, study_path
from resnet_lab.study.values import run_values
from resnet_lab.study.verdict import verdict_on
from resnet_lab.sweep.until_decided import SequentialSweep, begin
from resnet_lab.text import duration

if TYPE_CHECKING:
    from resnet_lab.study.differences import Gap
    from resnet_lab.sweep.launch import Launcher
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
    until_decided: Annotated[
        bool,
        typer.Option("--until-decided", help="Add seeds, one at a time, until the verdict on plain nets is decided."),
    ] = False,
    max_seeds: Annotated[
        int | None, typer.Option(help="With --until-decided: the most seeds in all, fixed before the first look (default: 10).")
    ] = None,
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
        sequence = _sequence(source, folder, max_seeds, until_decided=until_decided)

        def planned_sweep(source: StudyConfig) -> "Plan":
            return plan(source, folder, data_dir, launcher, show, must_have_data=not dry_run, start_seconds=start_seconds)

        planned = planned_sweep(sequence.study if sequence else source)
        if planned.stand_in:
            terminal.stand_in()
        if dry_run:
            _show_dry_run(planned, sequence, as_json=as_json)
            return
        if sequence:
            sequence.declare()
        failed = _run(planned, launcher, stop)
        while sequence and not failed and not stop:
            sequence, longer = _look(sequence)
            if longer is None:
                break
            sequence, planned = longer, planned_sweep(longer.study)
            failed = _run(planned, launcher, stop)
        _end(planned, sequence, failed, stop, as_json=as_json)


def _sequence(source: StudyConfig, folder: Path, max_seeds: int | None, *, until_decided: bool) -> SequentialSweep | None:
    """The sequence of a sweep with --until-decided; None without it. Raises ConfigError."""
    if until_decided:
        return begin(source, folder, max_seeds)
    if max_seeds is not None:
        raise ConfigError("--max-seeds is an option of --until-decided: give both, or set sweep.seeds.")
    return None


def _run(plan: "Plan", launcher: "Launcher", stop: Stop) -> list[RunFolder]:
    """Show a planned sweep and run it; returns the folders of the runs that failed or have diverged."""
    _show_plan(plan)
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
    return [*plan.diverged, *(outcome.folder for outcome in outcomes if outcome.failed)]


def _look(sequence: SequentialSweep) -> tuple[SequentialSweep, SequentialSweep | None]:
    """Record and show a look at the verdict; the second sequence has one more seed, or is None if no more are run."""
    gap = sequence.gap()
    sequence = sequence.with_look(gap)
    longer = sequence.continued(gap)
    terminal.note(verdict_on([] if gap is None else [gap])[0])
    if longer is not None:
        terminal.note(f"Adding seed {longer.seeds[-1]}.")
    elif gap is None or gap.degradation == "undecided":
        terminal.note(f"All {sequence.design.max_seeds} seeds are used up.")
    return sequence, longer


def _end(plan: "Plan", sequence: SequentialSweep | None, failed: list[RunFolder], stop: Stop, *, as_json: bool) -> None:
    """Show how the sweep ended. Raises Exit after a signal, and SweepError if runs failed."""
    ended = [run.folder.read() for run in plan.runs]
    if as_json:
        values = {"study": plan.study_path.name, "runs": [run_values(run) for run in ended]}
        terminal.result_json(values | (_sequence_values(sequence) if sequence else {}))
    elif all(run.state == "finished" for run in ended):
        terminal.note(
            f"All {len(ended)} runs of {plan.study_path} are finished; `resnet-lab compare {plan.study_path}` compares them."
        )
    if stop:
        raise typer.Exit(stop.exit_code)
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


def _show_dry_run(plan: "Plan", sequence: SequentialSweep | None, *, as_json: bool) -> None:
    if as_json:
        terminal.result_json(_plan_values(plan) | (_sequence_values(sequence) if sequence else {}))
        return
    _show_plan(plan)
    if sequence:
        terminal.note(_outlook(sequence, sequence.gap()))


def _outlook(sequence: SequentialSweep, gap: "Gap | None") -> str:
    """How many more seeds a verdict is expected to need."""
    first, most = sequence.design.first_look, sequence.design.max_seeds
    if gap is None or gap.bound is None:
        return f"The verdict is looked at with {first} seeds, and with each further one until it is decided, at most {most}."
    if gap.seeds_needed is None:
        return f"If mean and deviation stay as they are, {most} seeds will not decide the verdict."
    if gap.seeds_needed == 0:
        return f"No more seeds are needed. {verdict_on([gap])[0]}"
    seeds = f"{gap.seeds_needed} more seed{'s' if gap.seeds_needed > 1 else ''}"
    return f"If mean and deviation stay as they are, {seeds} will decide the verdict; at most {most} are run in all."


def _sequence_values(sequence: SequentialSweep) -> dict[str, Any]:
    """The design, the looks so far and the verdict as JSON."""
    gap = sequence.gap()
    return {
        "until_decided": {
            **sequence.design.model_dump(mode="json"),
            "seeds": list(sequence.seeds),
            "degradation": "undecided" if gap is None else gap.degradation,
            "seeds_needed": None if gap is None else gap.seeds_needed,
            "verdict": verdict_on([] if gap is None else [gap])[0],
        }
    }


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
