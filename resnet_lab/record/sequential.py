"""The design of a study whose seeds are added until its verdict is decided, and its looks: the study's `sequential.json`."""

import datetime
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from resnet_lab.errors import ConfigError
from resnet_lab.record.files import disk_errors, read_regular, write_json

FEWEST_SEEDS, MOST_SEEDS = 3, 50  # of a look, and of a study
_FILE = "sequential.json"
_NumSeeds = Annotated[int, Field(ge=FEWEST_SEEDS, le=MOST_SEEDS)]


class _Values(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Look(_Values):
    """A look at the primary verdict: the seeds that it rested on, in the order in which they were added, and its outcome."""

    time: str
    seeds: tuple[int, ...]
    verdict: str


class Design(_Values):
    """When the verdict may be decided: with `first_look` seeds, and with each further seed up to `max_seeds`.

    Every number of seeds counts as a look, whether or not anyone looked, so that other looks in between cannot raise the error.
    `depths` are the two that the verdict compares, so that networks of other depths do not change it; None in older records.
    """

    first_look: _NumSeeds
    max_seeds: _NumSeeds
    depths: tuple[int, int] | None = None
    looks: tuple[Look, ...] = ()

    @model_validator(mode="after")
    def _is_in_order(self) -> Self:
        if self.first_look > self.max_seeds:
            raise ValueError("first_look must not exceed max_seeds")
        return self

    def ordered(self, seeds: Iterable[int]) -> list[int]:
        """The seeds in the order in which they were looked at; those that no look has seen follow in ascending order."""
        seen = list(dict.fromkeys(seed for look in self.looks for seed in look.seeds))
        return sorted(seeds, key=lambda seed: (seen.index(seed) if seed in seen else len(seen), seed))

    def with_look(self, seeds: Iterable[int], verdict: str) -> "Design":
        """The design with a look added, unless the last one rested on the same seeds."""
        seeds = tuple(seeds)
        if self.looks and self.looks[-1].seeds == seeds:
            return self
        time = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        return self.model_copy(update={"looks": (*self.looks, Look(time=time, seeds=seeds, verdict=verdict))})


def read_design(study: Path) -> Design | None:
    """The design in a study's folder; None if its seeds are fixed. Raises ConfigError if the file is not valid."""
    path = study / _FILE
    if not path.exists():
        return None
    try:
        return Design.model_validate_json(read_regular(path))
    except (OSError, ValidationError) as error:
        raise ConfigError(
            f"{path} is not valid: restore it, since the verdict's error rate depends on the looks that it records."
        ) from error


def write_design(study: Path, design: Design) -> None:
    """Write a design to a study's folder. Raises DiskError."""
    with disk_errors(study):
        study.mkdir(parents=True, exist_ok=True)
    write_json(study / _FILE, design.model_dump(mode="json"))
