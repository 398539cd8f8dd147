"""The result of a check."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Outcome = Literal["ok", "fault", "skipped"]
NUM_SHOWN = 3


@dataclass(frozen=True)
class Fault:
    """A problem and its remedy, one sentence each."""

    problem: str
    remedy: str


@dataclass(frozen=True)
class Check:
    """The result of one check: `detail` states what was compared, or why nothing could be, in which case it is `skipped`."""

    name: str
    detail: str
    faults: tuple[Fault, ...] = ()
    skipped: bool = False

    @property
    def outcome(self) -> Outcome:
        """Whether the check passed."""
        return "fault" if self.faults else "skipped" if self.skipped else "ok"

    def values(self) -> dict[str, Any]:
        """As JSON values."""
        faults = [{"problem": fault.problem, "remedy": fault.remedy} for fault in self.faults]
        return {"check": self.name, "outcome": self.outcome, "detail": self.detail, "faults": faults}


def counted(number: int, noun: str) -> str:
    """A number with its noun, such as `1 run` or `2 runs`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def abridged(names: Sequence[object], total: int | None = None) -> str:
    """The first NUM_SHOWN names, and how many more there are; `total` is their number if `names` are only the first."""
    more = (len(names) if total is None else total) - NUM_SHOWN
    return ", ".join(map(str, names[:NUM_SHOWN])) + (f" and {more:,} more" if more > 0 else "")


def unrecorded(number: int) -> str:
    """The end of a detail: how many items have no recorded digest, since an older version wrote them."""
    return f"; not recorded for {number:,}" if number else ""
