"""The launcher for Slurm: an array job whose tasks train the runs of a study, as the manuals of sbatch and srun describe it."""

import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from resnet_lab.config.slurm import SlurmConfig
from resnet_lab.errors import ConfigError, LockedError, retryable
from resnet_lab.record.files import disk_errors
from resnet_lab.record.store import RunFolder
from resnet_lab.sweep.launch import THREAD_VARIABLES, Allocation, Job
from resnet_lab.sweep.plan import Plan
from resnet_lab.sweep.slurm_queue import (
    SBATCH_SECONDS,
    QueueError,
    Submission,
    answer_of,
    ask,
    queued,
    record,
    record_intent,
    slurm_folder,
)

_WARNING_SECONDS = 120  # before the time limit; Slurm may send the signal up to a minute earlier
_STOPPED = (138, 140, 143)  # exit codes after SIGUSR1, SIGUSR2 and SIGTERM, on Linux
_NUM_RETRIES = 3
_PLAIN = re.compile(r"[\w.,:/@%+=-]+", re.ASCII)
_RUNS = Path("RUNS")  # stands for the runs of a task


@dataclass(frozen=True)
class Left:
    """The jobs of a plan that can be submitted, and for the other runs, by name, why not, such as `running 12_3`."""

    jobs: tuple[Job, ...]
    busy: dict[str, str]


class SlurmArray:
    """Submits the runs of a sweep as an array job. `device` and `threads` apply to every run, as in Resources."""

    def __init__(self, settings: SlurmConfig, device: str = "auto", threads: int | None = None) -> None:
        self._settings, self._device = settings, device
        self._threads = threads or settings.cpus_per_run or 1

    def allocate(self, num_runs: int) -> Allocation:
        """See Allocator."""
        at_once = self._settings.at_once
        return Allocation(min(at_once * self._settings.jobs, num_runs) if at_once else num_runs, self._threads, device=None)

    def script(self, plan: Plan, jobs: Sequence[Job]) -> str:
        """The script to be submitted next. Raises ConfigError if a path cannot be written into it."""
        return self._script(plan.study_path, jobs, _next_script(plan.study_path))

    def submit(self, plan: Plan, jobs: Sequence[Job]) -> Submission:
        """Write the configs and the script, submit it and record that. The caller holds `submitting`.

        Raises ConfigError, DiskError, QueueError.
        """
        study = plan.study_path
        path = _next_script(study)
        script = self._script(study, jobs, path)
        plan.create()
        with disk_errors(path):
            path.write_text(script, encoding="utf-8")
        names = [job.folder.path.name for job in jobs]
        size = self._settings.jobs
        tasks = [names[begin : begin + size] for begin in range(0, len(names), size)]
        record_intent(study, path.name, tasks)
        ended = ask(["sbatch", "--parsable", str(path.absolute())], SBATCH_SECONDS)
        if ended.returncode:
            path.unlink()
            raise QueueError(f"sbatch refused the job: {answer_of(ended)}.")
        submission = Submission(ended.stdout.strip().split(";")[0], tasks)  # the name of the cluster may follow
        record(study, submission, path.name)
        return submission

    def _script(self, study: Path, jobs: Sequence[Job], path: Path) -> str:
        folders = [job.folder.path.absolute() for job in jobs]
        data_dir = jobs[0].data_dir.absolute()
        for place in (*folders, data_dir, Path(sys.executable)):
            if not str(place).isprintable():
                raise ConfigError(f"{str(place)!r} cannot be written into a script: use a path of printable characters.")
        num_tasks = -(-len(jobs) // self._settings.jobs)
        environment = jinja2.Environment(
            loader=jinja2.PackageLoader("resnet_lab", "sweep"),
            autoescape=False,  # no markup
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        return environment.get_template("slurm_array.sh.jinja").render(
            options=list(self._options(study, num_tasks)),
            runs=[shlex.quote(str(folder)) for folder in folders],
            num_per_task=self._settings.jobs,
            threads=self._threads,
            thread_variables=THREAD_VARIABLES,
            cpus=self._cpus_per_task,
            command=self._command(data_dir),
            stopped="|".join(map(str, _STOPPED)),
            retryable=_condition([code for code in range(256) if retryable(code) or code == LockedError.exit_code]),
            num_retries=_NUM_RETRIES,
            folder=shlex.quote(str(path.parent.absolute())),
            script=path.name,
        )

    @property
    def _cpus_per_task(self) -> int:
        return (self._settings.cpus_per_run or self._threads) * self._settings.jobs

    def _options(self, study: Path, num_tasks: int) -> list[str]:
        """The options of sbatch; free ones replace ours."""
        settings = self._settings
        folder = str(slurm_folder(study).absolute())
        if "\\" in folder:  # then Slurm does not replace %A and %a
            raise ConfigError(f"{folder} contains a backslash, which Slurm does not accept in the path of a job's output.")
        options = {
            "job-name": study.name,
            "array": f"0-{num_tasks - 1}" + (f"%{settings.at_once}" if settings.at_once else ""),
            "output": folder.replace("%", "%%") + "/%A_%a.out",
            "open-mode": "append",
            "requeue": True,
            "signal": f"TERM@{_WARNING_SECONDS}",
            "nodes": 1,
            "ntasks": 1,
            "cpus-per-task": self._cpus_per_task,
            "time": settings.time,
            "partition": settings.partition,
            "account": settings.account,
            "gres": settings.gres,
            **settings.options,
        }
        return [
            name if value is True else f"{name}={_value(value)}"
            for name, value in options.items()
            if value is not None and value is not False
        ]

    def _command(self, data_dir: Path) -> str:
        """The program that trains the runs of a task, as a line of shell; one that trains several is `resnet-lab task`."""
        size = self._settings.jobs
        arguments = Job(RunFolder(_RUNS), data_dir).arguments()
        runs = '"${runs[SLURM_ARRAY_TASK_ID]}"'
        if size > 1:
            arguments = ["task", str(_RUNS), "--jobs", str(size), "--data-dir", str(data_dir)]
            runs = f'"${{runs[@]:SLURM_ARRAY_TASK_ID * {size}:{size}}}"'
        words = [sys.executable, "-m", "resnet_lab", *arguments, "--device", self._device, "--threads", str(self._threads)]
        return " ".join(runs if word == str(_RUNS) else shlex.quote(word) for word in words)


def left(plan: Plan) -> Left:
    """Which jobs of a plan are neither in the queue nor held by a process, and have not ended by now. Raises QueueError."""
    busy = queued(plan.study_path)
    pending = [job for job in plan.jobs if job.folder.ending() is None]
    for job in pending:
        name = job.folder.path.name
        if name not in busy and (owner := job.folder.holder()) is not None:
            busy[name] = f"trained by {owner}"
    names = {job.folder.path.name for job in pending}
    jobs = tuple(job for job in pending if job.folder.path.name not in busy)
    return Left(jobs, {name: state for name, state in busy.items() if name in names})


def check_sbatch() -> None:
    """Raise QueueError if there is no sbatch on this machine."""
    if shutil.which("sbatch") is None:
        raise QueueError(
            "There is no sbatch on this machine: run this command on a login node of a Slurm cluster, show the script with "
            "--dry-run, or drop --launcher slurm to train here."
        )


def _next_script(study: Path) -> Path:
    """A new name, since tasks of earlier scripts may still be in the queue."""
    numbers = [int(path.stem.removeprefix("array-")) for path in slurm_folder(study).glob("array-[0-9]*.sh")]
    return slurm_folder(study) / f"array-{max(numbers, default=0) + 1}.sh"


def _value(value: object) -> str:
    """A value as sbatch reads it in a line of the script: in double quotes if it has other than plain characters."""
    text = str(value)
    return text if _PLAIN.fullmatch(text) else '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def _condition(codes: Sequence[int]) -> str:
    """The arithmetic condition of a shell for `code` to be one of these, in order."""
    ranges: list[list[int]] = []
    for code in codes:
        if ranges and ranges[-1][-1] == code - 1:
            ranges[-1].append(code)
        else:
            ranges.append([code])
    return " || ".join(f"code == {r[0]}" if len(r) == 1 else f"code >= {r[0]} && code <= {r[-1]}" for r in ranges)
