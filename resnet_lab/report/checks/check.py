"""What a check has found."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Outcome = Literal["ok", "fault", "open"]


@dataclass(frozen=True)
class Fault:
    """What is wrong, and what to do: a sentence each."""

    what: str
    to_do: str


@dataclass(frozen=True)
class Check:
    """One check of a study: `says` tells what was compared, or why nothing could be, in which case it is `open`."""

    name: str
    says: str
    faults: tuple[Fault, ...] = ()
    is_open: bool = False

    @property
    def outcome(self) -> Outcome:
        """Whether it passed."""
        return "fault" if self.faults else "open" if self.is_open else "ok"

    def values(self) -> dict[str, Any]:
        """As JSON values."""
        faults = [{"what": fault.what, "to_do": fault.to_do} for fault in self.faults]
        return {"check": self.name, "outcome": self.outcome, "says": self.says, "faults": faults}


def counted(number: int, noun: str) -> str:
    """A number with its noun, such as `1 run` or `2 runs`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(names: Sequence[object], most: int = 3) -> str:
    """The first of some names, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + more
