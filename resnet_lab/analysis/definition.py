"""The description of an analysis, from which commands and report sections are made. Imports no torch or matplotlib."""

import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from resnet_lab.analysis.results import Result
from resnet_lab.config.varied import label
from resnet_lab.errors import ConfigError
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
        """Show one line."""

    def follow(self, folder: RunFolder, training: Training) -> None:
        """Run `training(stop)` in this folder and show its updates; `stop()` returns whether it should stop."""


@dataclass(frozen=True)
class Request:
    """The options common to all analyses: the checkpoint's step (None: the newest), fewer images or not, and the resources."""

    at: int | None
    fast: bool
    resources: "Resources"
    progress: Progress

    def load(self, folders: Sequence[RunFolder]) -> "Iterator[Subject]":
        """The trained networks of these runs at the requested checkpoint."""
        from resnet_lab.analysis.subject import subjects

        return subjects(folders, self.at, self.resources)

    def subjects(self, folders: Sequence[RunFolder]) -> "Iterator[Subject]":
        """Like `load`, but announce each network before it is yielded."""
        for subject in self.load(folders):
            self.progress.note(f"{subject.name} at step {subject.step:,}")
            yield subject

    def measured(self, folders: Sequence[RunFolder], measure: "Callable[[Subject], Result]") -> "Iterator[Outcome]":
        """Yield the result for each network, announced as by `subjects`.

        A network that `measure` refuses with a ConfigError is left out with a notice; if it refuses all, the error is raised.
        """
        has_result, refusal = False, None
        for subject in self.subjects(folders):
            try:
                result = measure(subject)
            except ConfigError as error:
                refusal = error
                self.progress.note(str(error))
            else:
                has_result = True
                yield subject.folder, result
        if refusal is not None and not has_result:
            raise refusal


@dataclass(frozen=True)
class Finding:
    """The result of an analysis, and the run that was analysed."""

    run: Run
    result: Result

    @property
    def network(self) -> Network:
        """Variant and depth of the run; varied settings precede the variant."""
        config = self.run.config
        varied = f"{label(config.varied_settings)}: " if config.varied else ""
        return varied + config.model.variant, config.model.depth


Outcome = tuple[RunFolder, Result]
Findings = Sequence[Finding]


@dataclass(frozen=True)
class Analysis:
    """An analysis with its command and its part of the report.

    `options` is a dataclass of the command's own options. `run` measures, yielding each result as soon as it is available, and
    again when it has been extended. `table`, `figures` and `sentences` select their own results from those of all analyses.
    """

    name: str  # of the command, and in the result files
    place: int  # position in the report
    help: str
    options: Callable[..., Any]
    run: Callable[[Sequence[RunFolder], Any, Request], Iterator[Outcome]]
    result: type[Result]
    heading: str
    text: str
    table: Callable[[Findings], Table]
    figures: Callable[[Findings, Colours], Iterable[Illustration]]
    sentences: Callable[[Findings], Iterable[str]] = field(default=lambda findings: ())
    takes: Literal["runs", "two runs"] = "runs"


@dataclass(frozen=True)
class NoOptions:
    """For analyses without options of their own."""


def in_order(findings: Findings) -> list[Finding]:
    """Findings in display order: plain before residual, shallow before deep."""
    return sorted(findings, key=lambda finding: (_sort_key(finding.network), finding.run.name))


def newest(findings: Findings, kind: type[R]) -> dict[Network, list[R]]:
    """For each network in display order, the results of this type at the newest analysed step of each run."""
    by_run = {(item.network, item.run.name): item.result for item in findings if isinstance(item.result, kind)}
    networks: dict[Network, list[R]] = {}
    for (network, _), result in sorted(by_run.items(), key=lambda item: (_sort_key(item[0][0]), item[0][1])):
        networks.setdefault(network, []).append(result)
    return networks


def between_depths(networks: Iterable[Network]) -> Iterator[tuple[str, int, int]]:
    """Yield each variant that has several depths, with the smallest and the largest."""
    depths: dict[str, list[int]] = {}
    for variant, depth in networks:
        depths.setdefault(variant, []).append(depth)
    for variant, found in depths.items():
        if len(found) > 1:
            yield variant, min(found), max(found)


def mean_over_seeds(values: Sequence[Sequence[float]]) -> list[float]:
    """The element-wise mean of lists of equal length, one per seed."""
    return [statistics.fmean(elements) for elements in zip(*values, strict=True)]


def network_name(network: Network) -> str:
    """Variant and depth, such as `residual-B-56`."""
    return f"{network[0]}-{network[1]}"


def joined(numbers: Iterable[int]) -> str:
    """The distinct numbers in one table cell, such as `4 / 1,000`."""
    return " / ".join(f"{number:,}" for number in sorted(set(numbers)))


def _sort_key(network: Network) -> tuple[bool, int]:
    return network[0] != "plain", network[1]
