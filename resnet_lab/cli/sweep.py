"""`resnet-lab sweep`: all runs of a study."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resnet_lab.cli import k8s, slurm, terminal
from resnet_lab.cli.launchers import (
    Account,
    Address,
    AtOnce,
    Claim,
    CpusPerRun,
    GpusPerRun,
    Gres,
    Image,
    LauncherOption,
    Namespace,
    Partition,
    SlurmOption,
    Time,
    check_options,
    opened,
)
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
from resnet_lab.cli.until_decided import Growing, MaxSeeds, UntilDecided, growing
from resnet_lab.config.files import StudyConfig, load_study
from resnet_lab.errors import ConfigError, SweepError
from resnet_lab.record.store import RunFolder
from resnet_lab.record.study import DEFAULT_ROOT, study_path
from resnet_lab.run.ranks import num_started
from resnet_lab.study.compare import compare_study
from resnet_lab.study.values import run_values
from resnet_lab.text import duration

if TYPE_CHECKING:
    from resnet_lab.sweep.k8s import KubernetesJob
    from resnet_lab.sweep.launch import Launcher, Outcome
    from resnet_lab.sweep.plan import Plan
    from resnet_lab.sweep.slurm import SlurmArray


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
    until_decided: UntilDecided = False,
    max_seeds: MaxSeeds = None,
    with_report: Annotated[bool, typer.Option("--report", help="Write the study's report when the runs have ended.")] = False,
    as_json: Json = False,
    launcher: LauncherOption = "local",
    cpus_per_run: CpusPerRun = None,
    gpus_per_run: GpusPerRun = None,
    time_limit: Time = None,
    partition: Partition = None,
    account: Account = None,
    gres: Gres = None,
    at_once: AtOnce = None,
    sbatch: SlurmOption = None,
    address: Address = None,
    image: Image = None,
    claim: Claim = None,
    namespace: Namespace = None,
) -> None:
    """Train every kind, depth and seed of a config, several runs at once.

    Run the same command again to resume unfinished runs; finished runs are skipped. Ctrl-C saves a checkpoint of every run before
    exiting, as do SIGTERM, SIGHUP, SIGUSR1 and SIGUSR2. A third Ctrl-C exits at once.

    With --launcher slurm, the runs are submitted to a cluster instead, and the same command submits those that are left.
    """
    if num_started() > 1:
        raise ConfigError("A sweep starts a process for each run itself: start it without torchrun, which is for `train`.")
    options = {
        "--device": None if device == "auto" else device, "--threads": threads, "--data-dir": data_dir, "--json": as_json,
        "--cpus-per-run": cpus_per_run, "--gpus-per-run": gpus_per_run, "--time": time_limit, "--partition": partition,
        "--account": account, "--gres": gres, "--at-once": at_once, "--slurm": sbatch, "--address": address,
        "--image": image, "--claim": claim, "--namespace": namespace, "--until-decided": until_decided, "--max-seeds": max_seeds,
        "--report": with_report,
    }  # fmt: skip
    check_options(launcher, options)
    if launcher == "k8s" and not dry_run:
        k8s.refuse_submission(config)
    with stop_signals() as stop:
        begin = time.perf_counter()
        from resnet_lab.sweep.plan import plan

        start_seconds = time.perf_counter() - begin  # a run's process imports the same, which is most of its start-up time
        source = load_study(config, overrides or (), compile=compile)
        folder, show = study_path(runs, source.name if study is None else study), DownloadLine().show
        with opened(launcher, source, options, threads, jobs, dry_run=dry_run) as chosen:

            def planned(study: StudyConfig) -> "Plan":
                return plan(study, folder, data_dir, chosen, show, must_have_data=not dry_run, start_seconds=start_seconds)

            grows = growing(source, folder, max_seeds, planned, until_decided=until_decided)
            first = grows.plan() if grows else planned(source)
            _carry_out(first, grows, chosen, stop, dry_run=dry_run, with_report=with_report, as_json=as_json)


def _carry_out(
    plan: "Plan",
    grows: Growing | None,
    launcher: "Launcher | SlurmArray | KubernetesJob",
    stop: Stop,
    *,
    dry_run: bool,
    with_report: bool,
    as_json: bool,
) -> None:
    """Show a plan, and start, submit or print it; `grows` is the sweep that adds seeds, if it does."""
    from resnet_lab.sweep.k8s import KubernetesJob
    from resnet_lab.sweep.slurm import SlurmArray

    if plan.stand_in:
        terminal.stand_in()
    array = launcher if isinstance(launcher, SlurmArray) else None
    script = slurm.script(array, plan) if array and dry_run else None
    if dry_run and as_json:
        terminal.result_json(_plan_values(plan) | ({"script": script} if array else {}) | (grows.values() if grows else {}))
        return
    _show_plan(plan)
    if isinstance(launcher, KubernetesJob):
        k8s.print_manifest(launcher, plan)
        return
    if (shortage := plan.disk.shortage(plan.study_path)) is not None:
        terminal.note(shortage)
    if script is not None:
        terminal.result(script.rstrip())
    if dry_run:
        if grows:
            terminal.note(grows.outlook())
        return
    if isinstance(launcher, SlurmArray):
        _submit(plan, launcher, stop, as_json=as_json)
    else:
        _run(plan, grows, launcher, stop, with_report=with_report, as_json=as_json)


def _run(plan: "Plan", grows: Growing | None, launcher: "Launcher", stop: Stop, *, with_report: bool, as_json: bool) -> None:
    """Run a planned sweep, and those with more seeds, and show the outcome. Raises SweepError if runs failed."""
    if grows:
        grows.declare()
    outcomes = _outcomes(plan, launcher, stop)
    while grows and not stop and not _blocks_look(grows, plan, outcomes) and (longer := grows.look()) is not None:
        plan = longer
        _show_plan(plan)
        outcomes = _outcomes(plan, launcher, stop)
    ended = [run.folder.read() for run in plan.runs]
    if as_json:
        values = {"study": plan.study_path.name, "runs": [run_values(run) for run in ended]}
        terminal.result_json(values | (grows.values() if grows else {}))
    elif all(run.state == "finished" for run in ended):
        terminal.note(
            f"All {len(ended)} runs of {plan.study_path} are finished; `resnet-lab compare {plan.study_path}` compares them."
        )
    if stop:
        raise typer.Exit(stop.exit_code)
    if with_report:
        from resnet_lab.report.write import write_report

        with terminal.working() as show:
            page, _ = write_report(compare_study(plan.study_path), show=show)
        terminal.note(f"Report: {page}")
    _raise_if_failed(plan, outcomes)


def _outcomes(plan: "Plan", launcher: "Launcher", stop: Stop) -> "list[Outcome]":
    """Run a planned sweep on a live screen."""
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
    return outcomes


def _submit(plan: "Plan", array: "SlurmArray", stop: Stop, *, as_json: bool) -> None:
    """Submit a planned sweep to Slurm. Raises SweepError if runs have diverged, which are not submitted again."""
    stop.defer()
    submitted = slurm.submit(array, plan)
    if as_json:
        terminal.result_json(submitted)
    if stop:
        raise typer.Exit(stop.exit_code)
    _raise_if_failed(plan, ())


def _failed(plan: "Plan", outcomes: "Sequence[Outcome]") -> list[RunFolder]:
    return [*plan.diverged, *(outcome.folder for outcome in outcomes if outcome.failed)]


def _blocks_look(grows: Growing, plan: "Plan", outcomes: "Sequence[Outcome]") -> bool:
    """Whether runs have failed, or runs that the verdict rests on have diverged; other runs may diverge."""
    return any(outcome.failed and outcome.folder.ending() is None for outcome in outcomes) or any(
        grows.rests_on(run.forecast.config) and _has_diverged(run.folder) for run in plan.runs
    )


def _has_diverged(folder: RunFolder) -> bool:
    end = folder.ending()
    return end is not None and end.name == "diverged"


def _raise_if_failed(plan: "Plan", outcomes: "Sequence[Outcome]") -> None:
    failed = _failed(plan, outcomes)
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
