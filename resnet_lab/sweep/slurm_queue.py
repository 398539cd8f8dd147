"""What a study has submitted to Slurm, and which of its runs are in the queue. Imports no torch."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet_lab.errors import LabError, LockedError
from resnet_lab.record.files import append_line, disk_errors, read_lines
from resnet_lab.record.lock import hold

SBATCH_SECONDS = 120.0
_SQUEUE_SECONDS = 20.0
_Tasks = Sequence[Sequence[str]]


class QueueError(LabError):
    """Slurm does not answer, or refuses a job."""

    exit_code = 2


@dataclass(frozen=True)
class Submission:
    """An array job: its id, and the names of the runs of each task."""

    job: str
    tasks: _Tasks


def slurm_folder(study: Path) -> Path:
    """The folder for scripts, output and the record of submissions, in the study's folder."""
    return study / "slurm"


def record_intent(study: Path, script: str, tasks: _Tasks) -> None:
    """Append to the study's record that a script is about to be submitted. Raises DiskError."""
    append_line(_record_file(study), json.dumps({"script": script, "tasks": tasks}) + "\n")


def record(study: Path, submission: Submission, script: str) -> None:
    """Append a submission to the study's record. Raises DiskError."""
    values = {"job": submission.job, "script": script, "tasks": submission.tasks}
    append_line(_record_file(study), json.dumps(values) + "\n")


def submissions(study: Path) -> list[Submission]:
    """All readable submissions of a study, oldest first."""
    return [Submission(values["job"], values["tasks"]) for values in _entries(study) if "job" in values]


@contextlib.contextmanager
def submitting(study: Path) -> Iterator[None]:
    """Hold the study for a submission: what is left is looked up and submitted by one process at a time.

    Raises LockedError if another process is submitting, DiskError.
    """
    folder = slurm_folder(study)
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(hold(folder))
        except LockedError:
            raise LockedError(f"Another process is submitting {study}; run the same command again.") from None
        yield


def settle(study: Path) -> None:
    """Complete the record if a process was killed between the start of sbatch and the record of the job's id.

    The job is found in the queue by its script. If it is not there, sbatch may still be on its way for SBATCH_SECONDS; later,
    either it was never submitted or it has ended, and the script is removed. Raises QueueError, LockedError, DiskError.
    """
    for script, tasks in _interrupted(study).items():
        path = slurm_folder(study) / script
        with disk_errors(path):
            seconds_left = SBATCH_SECONDS - (time.time() - path.stat().st_mtime)
        if (job := _job_of(path)) is not None:
            record(study, Submission(job, tasks), script)
        elif seconds_left > 0:
            raise LockedError(
                f"Another process is submitting {study}, or was killed while it did: run the same command again in "
                f"{seconds_left:.0f} s."
            )
        else:
            with disk_errors(path):
                path.unlink(missing_ok=True)


def can_ask(study: Path) -> bool:
    """Whether the study has been submitted, and Slurm's commands are on this machine."""
    return _record_file(study).is_file() and shutil.which("squeue") is not None


def queued(study: Path) -> dict[str, str]:
    """The queue's state by the name of the run, such as `running 12_3`, for runs that are in the queue. Raises QueueError."""
    submitted = {submission.job: submission.tasks for submission in submissions(study)}
    states: dict[str, str] = {}
    for line in _squeue(sorted(submitted)) if submitted else []:
        task, _, state = line.partition(" ")
        job, _, number = task.partition("_")
        names = submitted.get(job, ())[int(number) : int(number) + 1] if number.isdecimal() else ()
        states |= {name: f"{state.strip().lower()} {task}" for runs in names for name in runs}
    return states


def ask(command: Sequence[str], seconds: float) -> "subprocess.CompletedProcess[str]":
    """Run one of Slurm's commands. Raises QueueError if it is missing or does not end."""
    try:
        return subprocess.run(
            command, env=_environment(), capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL,
            timeout=seconds, start_new_session=True, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise QueueError(f"{command[0]} gave no answer within {seconds:.0f} s; try again later.") from None
    except OSError as error:
        raise QueueError(f"{command[0]} cannot be run: {error.strerror}. Slurm's commands are on its login nodes.") from error


def answer_of(ended: "subprocess.CompletedProcess[str]") -> str:
    """What a command printed to explain its failure, on one line."""
    return " ".join(ended.stderr.split()).rstrip(".") or f"exit code {ended.returncode}"


def _environment() -> dict[str, str]:
    """This process's environment without the resources of the job in which it runs, if it does: the new job has its own."""
    is_in_job = "SLURM_JOB_ID" in os.environ
    return {
        name: value
        for name, value in os.environ.items()
        if not (is_in_job and name.startswith("SLURM_") and name != "SLURM_CONF")
    }


def _squeue(jobs: Sequence[str]) -> list[str]:
    """A line `JOB_TASK STATE` for each task in the queue. Raises QueueError."""
    return _lines("--array", f"--jobs={','.join(jobs)}", "--format=%F_%K %T")


def _job_of(script: Path) -> str | None:
    """The id of this user's job in the queue that was submitted with a script. Raises QueueError."""
    jobs = (line.partition(" ") for line in _lines("--me", "--format=%F %o"))
    return next((job for job, _, command in jobs if command == str(script.absolute())), None)


def _lines(*options: str) -> list[str]:
    """What squeue prints. Raises QueueError."""
    ended = ask(["squeue", "--noheader", *options], _SQUEUE_SECONDS)
    if ended.returncode and "Invalid job id" in ended.stderr:  # the only job that was asked for has ended a while ago
        return []
    if ended.returncode:
        raise QueueError(f"squeue failed: {answer_of(ended)}.")
    return ended.stdout.splitlines()


def _interrupted(study: Path) -> dict[str, _Tasks]:
    """The tasks by script of each submission whose job is not recorded. The script is removed if sbatch refuses it."""
    intended: dict[str, _Tasks] = {}
    for values in _entries(study):
        if "job" in values:
            intended.pop(values.get("script", ""), None)
        else:
            intended[values["script"]] = values["tasks"]
    return {script: tasks for script, tasks in intended.items() if (slurm_folder(study) / script).is_file()}


def _entries(study: Path) -> Iterator[dict[str, Any]]:
    """The readable lines of a study's record."""
    for line in read_lines(_record_file(study)):
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(values, dict) and _is_valid(values):
            yield values


def _is_valid(values: Mapping[str, Any]) -> bool:
    job, script, tasks = values.get("job"), values.get("script"), values.get("tasks")
    has_script = isinstance(script, str) and re.fullmatch(r"array-\d+\.sh", script, re.ASCII) is not None
    is_submitted = isinstance(job, str) and job.isdecimal() and (script is None or has_script)
    if not isinstance(tasks, list) or not (is_submitted if "job" in values else has_script):
        return False
    return all(isinstance(names, list) and all(isinstance(name, str) for name in names) for names in tasks)


def _record_file(study: Path) -> Path:
    return slurm_folder(study) / "jobs.jsonl"
