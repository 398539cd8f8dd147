"""What `resnet-lab sweep --launcher slurm` shows and submits."""

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from resnet_lab.cli import terminal
from resnet_lab.config.slurm import parse_option

if TYPE_CHECKING:
    from resnet_lab.sweep.plan import Plan
    from resnet_lab.sweep.slurm import SlurmArray

_KEYS = ("time", "partition", "account", "gres", "cpus_per_run", "at_once")


def settings(options: Mapping[str, Any], jobs: int | None) -> dict[str, Any]:
    """The settings of the section `[slurm]` that command-line options, by name, and `jobs`, runs per task, give."""
    given = {key: options[f"--{key.replace('_', '-')}"] for key in _KEYS} | {"jobs": jobs}
    stated = {key: value for key, value in given.items() if value is not None}
    return stated | {"options": dict(map(parse_option, options["--slurm"] or ()))}


def script(array: "SlurmArray", plan: "Plan") -> str | None:
    """The script that would be submitted, after a note on what is in the queue; None if nothing is left to submit."""
    from resnet_lab.sweep.slurm import left

    remaining = left(plan)
    _note_busy(remaining.busy)
    return array.script(plan, remaining.jobs) if remaining.jobs else None


def submit(array: "SlurmArray", plan: "Plan") -> dict[str, Any]:
    """Submit what is left of a plan, and say how to watch and cancel it. Returns JSON values."""
    from resnet_lab.sweep.slurm import left
    from resnet_lab.sweep.slurm_queue import settle, submitting

    with submitting(plan.study_path):
        settle(plan.study_path)
        remaining = left(plan)
        _note_busy(remaining.busy)
        values: dict[str, Any] = {"study": plan.study_path.name, "job": None, "tasks": [], "queue": remaining.busy}
        if not remaining.jobs:
            terminal.note(f"There is nothing to submit; `resnet-lab runs {shlex.quote(str(plan.study_path))}` shows the runs.")
            return values
        submission = array.submit(plan, remaining.jobs)
    folder = shlex.quote(str(plan.study_path))
    num_runs, num_tasks = len(remaining.jobs), len(submission.tasks)
    terminal.note(
        f"Submitted job {submission.job}: {num_runs} run{'s' if num_runs > 1 else ''} in {num_tasks} "
        f"task{'s' if num_tasks > 1 else ''}. To watch: `resnet-lab runs {folder} --watch` or `squeue --me`. "
        f"To cancel: `scancel {submission.job}`; the runs save a checkpoint, and the same command submits what is left."
    )
    return values | {"job": submission.job, "tasks": submission.tasks}


def _note_busy(busy: Mapping[str, str]) -> None:
    if busy:
        listed = ", ".join(f"{name} ({state})" for name, state in sorted(busy.items()))
        terminal.note(f"{len(busy)} run{'s are' if len(busy) > 1 else ' is'} queued or running already: {listed}.")
