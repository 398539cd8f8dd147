"""The result of a check."""

from dataclasses import dataclass
from typing import Any, Literal

Outcome = Literal["ok", "fault", "skipped"]


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


def unrecorded(number: int) -> str:
    """The end of a detail: how many items have no recorded digest, since an older version wrote them."""
    return f"; not recorded for {number:,}" if number else ""
