"""What a study has submitted to Slurm, and which of its runs are in the queue. Imports no torch."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet_lab.errors import LabError
from resnet_lab.record.files import append_line, read_lines

_SQUEUE_SECONDS = 20.0


class QueueError(LabError):
    """Slurm does not answer, or refuses a job."""

    exit_code = 2


@dataclass(frozen=True)
class Submission:
    """An array job: its id, and the names of the runs of each task."""

    job: str
    tasks: Sequence[Sequence[str]]


def slurm_folder(study: Path) -> Path:
    """The folder for scripts, output and the record of submissions, in the study's folder."""
    return study / "slurm"


def record(study: Path, submission: Submission) -> None:
    """Append a submission to the study's record. Raises DiskError."""
    append_line(_record_file(study), json.dumps({"job": submission.job, "tasks": submission.tasks}) + "\n")


def submissions(study: Path) -> list[Submission]:
    """All readable submissions of a study, oldest first."""
    return list(_parsed(read_lines(_record_file(study))))


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
    ended = ask(["squeue", "--noheader", "--array", f"--jobs={','.join(jobs)}", "--format=%F_%K %T"], _SQUEUE_SECONDS)
    if ended.returncode and "Invalid job id" in ended.stderr:  # the only job that was asked for has ended a while ago
        return []
    if ended.returncode:
        raise QueueError(f"squeue failed: {answer_of(ended)}.")
    return ended.stdout.splitlines()


def _parsed(lines: Sequence[str]) -> Iterator[Submission]:
    for line in lines:
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(values, dict) and _is_valid(values.get("job"), values.get("tasks")):
            yield Submission(values["job"], values["tasks"])


def _is_valid(job: Any, tasks: Any) -> bool:
    is_nested = isinstance(tasks, list) and all(isinstance(names, list) for names in tasks)
    return (
        isinstance(job, str) and job.isdecimal() and is_nested and all(isinstance(name, str) for names in tasks for name in names)
    )


def _record_file(study: Path) -> Path:
    return slurm_folder(study) / "jobs.jsonl"
