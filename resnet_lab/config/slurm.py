"""Settings of `sweep --launcher slurm`: the section `[slurm]` of a config file. They are no part of a run's identity."""

import datetime
import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field, field_validator
from pydantic_core import PydanticCustomError

from resnet_lab.config.section import Section
from resnet_lab.config.settings import Settings
from resnet_lab.text import shortened

LEAST_MINUTES = 5  # of a task: Slurm may warn three minutes before the end
_TIME = re.compile(r"(?:(\d{1,6})-)?(\d{1,9})(?::(\d{1,9}))?(?::(\d{1,9}))?")
_OPTION = re.compile(r"[a-z][a-z0-9-]*")
_OWN = {  # options of sbatch that are settings of their own
    "array": "at_once",
    "time": "time",
    "partition": "partition",
    "account": "account",
    "gres": "gres",
    "cpus-per-task": "cpus_per_run",
    "ntasks": "jobs",
}


def _one_line(text: str) -> str:
    if not text or not text.isprintable():
        raise PydanticCustomError("one_line", "must be one line of printable characters")
    return text


Text = Annotated[str, AfterValidator(_one_line)]


class SlurmConfig(Section):
    """How the runs of a sweep are submitted to Slurm: resources of each task of the array job, and further options of sbatch."""

    time: str | None = Field(None, description="time limit of a task: '4:00:00', '2-00:00:00' for two days, or minutes")
    partition: Text | None = Field(None, description="default: that of the cluster")
    account: Text | None = Field(None, description="charged for the tasks; default: that of the user")
    gres: Text | None = Field(None, description="generic resources of a task, such as gpu:1")
    cpus_per_run: int | None = Field(None, ge=1, le=1024, description="CPU cores of each run; as many threads are used")
    at_once: int | None = Field(None, ge=1, le=1_000_000, description="tasks that run at the same time; default: no limit")
    jobs: int = Field(1, ge=1, le=1024, description="concurrent runs in each task")
    options: Settings = Field({}, description="further long options of sbatch; true for one without a value")

    @field_validator("time", mode="before")
    @classmethod
    def _valid_time(cls, value: Any) -> Any:
        if isinstance(value, datetime.time):  # TOML reads 04:00:00 as a time of day
            value = value.isoformat()
        text = str(value) if isinstance(value, int) else value
        if text is not None and (not isinstance(text, str) or (minutes := _minutes(text)) is None or minutes < LEAST_MINUTES):
            raise PydanticCustomError(
                "time",
                f"must be a time as sbatch reads it, such as '4:00:00' or '2-00:00:00', of at least {LEAST_MINUTES} minutes",
            )
        return text

    @field_validator("options")
    @classmethod
    def _valid_options(cls, options: Settings) -> Settings:
        problems = [problem for name, value in options.items() if (problem := _option_problem(name, value))]
        if problems:
            listed = [("slurm.options", problem) for problem in problems]
            raise PydanticCustomError("conflicts", "invalid options", {"problems": listed})
        return options


def parse_option(text: str) -> tuple[str, str | bool]:
    """An option of sbatch from `KEY=VALUE` or `KEY`, such as `qos=long` or `exclusive`."""
    name, equals, value = text.partition("=")
    return name.strip().removeprefix("--"), value.strip() if equals else True


def _minutes(text: str) -> float | None:
    """The minutes of a time in one of sbatch's formats: M, M:S, H:M:S, D-H, D-H:M, D-H:M:S. None if it is none of them."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    days, *rest = match.groups()
    parts = [int(part) for part in rest if part is not None]
    if days is None and len(parts) < 3:
        parts.insert(0, 0)
    hours, minutes, seconds = (*parts, 0, 0)[:3]
    return int(days or 0) * 24 * 60 + hours * 60 + minutes + seconds / 60


def _option_problem(name: str, value: object) -> str | None:
    """Why an option cannot be given to sbatch; None if it can."""
    if name in _OWN:
        return f"{name} is a setting of its own: set slurm.{_OWN[name]}"
    if not _OPTION.fullmatch(name):
        return f"{shortened(name)} is not a long option of sbatch, such as constraint"
    if isinstance(value, bool | int) or (isinstance(value, str) and value and value.isprintable()):
        return None
    return f"{name} must be a number, true, or one line of printable characters, got {shortened(value)}"
