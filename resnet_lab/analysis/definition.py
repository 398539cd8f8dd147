"""What an analysis is: one record, which the command line and the report iterate over. Imports neither torch nor matplotlib."""

import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from resnet_lab.analysis.results import Result
from resnet_lab.presentation.blocks import Colours, Illustration, Network, Table
from resnet_lab.record.store import Run, RunFolder

if TYPE_CHECKING:
    from resnet_lab.analysis.subject import Subject
    from resnet_lab.record.lines import Event, Record
    from resnet_lab.run.device import Resources
    from resnet_lab.run.estimate import Forecast

R = TypeVar("R", bound=Result)
Training = Callable[[Callable[[], bool]], "Iterator[str | Forecast | Record | Event]"]


class Progress(Protocol):
    """Where an analysis reports its progress."""

    def note(self, text: str) -> None:
        """Tell one line."""

    def follow(self, folder: RunFolder, training: Training) -> None:
        """Carry out a training in this folder and show what it says; it is given a function that tells whether to stop."""


@dataclass(frozen=True)
class Request:
    """What is asked of every analysis: which checkpoint (None: the newest), whether a quick look will do, and on which device."""

    at: int | None
    fast: bool
    resources: "Resources"
    progress: Progress

    def load(self, folders: Sequence[RunFolder]) -> "Iterator[Subject]":
        """The trained networks of these runs at the requested checkpoint."""
        from resnet_lab.analysis.subject import subjects

        return subjects(folders, self.at, self.resources)

    def subjects(self, folders: Sequence[RunFolder]) -> "Iterator[Subject]":
        """The same, each announced as its turn comes."""
        for subject in self.load(folders):
            self.progress.note(f"{subject.name} at step {subject.step:,}")
            yield subject


@dataclass(frozen=True)
class Finding:
    """A result and the run that it is of."""

    run: Run
    result: Result

    @property
    def network(self) -> Network:
        """Variant and depth of the run."""
        return self.run.config.model.variant, self.run.config.model.depth


Outcome = tuple[RunFolder, Result]
Findings = Sequence[Finding]


@dataclass(frozen=True)
class Analysis:
    """An analysis, from its command to its part of the report.

    `options` is a dataclass of the command's own options. `run` measures with them: it yields each result as soon as it is there,
    and yields it again when it has grown. `table`, `figures` and `sentences` pick their own results among those of all analyses.
    """

    name: str  # of the command, and in the results
    place: int  # among the report's parts
    help: str
    options: Callable[..., Any]
    run: Callable[[Sequence[RunFolder], Any, Request], Iterator[Outcome]]
    result: type[Result]
    heading: str
    text: str
    table: Callable[[Findings], Table]
    figures: Callable[[Findings, Colours], Iterable[Illustration]]
    sentences: Callable[[Findings], Iterable[str]] = field(default=lambda found: ())
    takes: Literal["runs", "two runs"] = "runs"


@dataclass(frozen=True)
class NoOptions:
    """The options of an analysis that has none of its own."""


def in_order(found: Findings) -> list[Finding]:
    """Findings as they are shown: plain first, shallow first."""
    return sorted(found, key=lambda each: (_place(each.network), each.run.name))


def newest(found: Findings, kind: type[R]) -> dict[Network, list[R]]:
    """The result of each run's newest analysed step, by network, plain first."""
    by_run = {(each.network, each.run.name): each.result for each in found if isinstance(each.result, kind)}
    networks: dict[Network, list[R]] = {}
    for (network, _), result in sorted(by_run.items(), key=lambda item: (_place(item[0][0]), item[0][1])):
        networks.setdefault(network, []).append(result)
    return networks


def mean_over_seeds(values: Sequence[Sequence[float]]) -> list[float]:
    """The mean of equally long lists, element by element."""
    return [statistics.fmean(each) for each in zip(*values, strict=True)]


def network_name(network: Network) -> str:
    """Variant and depth, such as `residual-B-56`."""
    return f"{network[0]}-{network[1]}"


def joined(numbers: Iterable[int]) -> str:
    """Different numbers as one cell, such as `4 / 1,000`."""
    return " / ".join(f"{number:,}" for number in sorted(set(numbers)))


def _place(network: Network) -> tuple[bool, int]:
    return network[0] != "plain", network[1]
