"""What the analyses of a study's runs have found, in the order in which it is shown: plain first, shallow first."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from resnet_lab.analysis.results import Gradients, Identity, Landscape, Line, Result, read
from resnet_lab.record.store import Run
from resnet_lab.report.why_figures import Network

R = TypeVar("R", bound=Result)


@dataclass(frozen=True)
class Finding:
    """A result and the run that it is of."""

    run: Run
    result: Result

    @property
    def network(self) -> Network:
        """Variant and depth of the run."""
        return self.run.config.model.variant, self.run.config.model.depth


def findings(runs: Sequence[Run]) -> tuple[list[Finding], list[str]]:
    """All readable results of the runs, and a sentence for each file that is none."""
    found, faults = [], []
    for run in runs:
        results, unreadable = read(run.folder)
        found += [Finding(run, result) for result in results]
        faults += unreadable
    return found, faults


def newest(found: Sequence[Finding], kind: type[R]) -> dict[Network, list[R]]:
    """The result of each run's newest analysed step, by network, plain first."""
    by_run = {(each.network, each.run.name): each.result for each in found if isinstance(each.result, kind)}
    networks: dict[Network, list[R]] = {}
    for (network, _), result in sorted(by_run.items(), key=lambda item: (_place(item[0][0]), item[0][1])):
        networks.setdefault(network, []).append(result)
    return networks


def gradients_of(found: Sequence[Finding]) -> dict[Network, dict[int, list[Gradients]]]:
    """Gradients by network and step, a list over seeds."""
    networks: dict[Network, dict[int, list[Gradients]]] = {}
    for each in sorted(found, key=lambda each: (_place(each.network), each.run.name)):
        if isinstance(each.result, Gradients):
            networks.setdefault(each.network, {}).setdefault(each.result.step, []).append(each.result)
    return networks


def landscapes_of(found: Sequence[Finding]) -> dict[tuple[int, str], dict[str, tuple[Network, Landscape]]]:
    """The newest slices by dimensions and way of BN, and by run, plain first."""
    slices: dict[tuple[int, str], dict[str, tuple[Network, Landscape]]] = {}
    for each in sorted(found, key=lambda each: (_place(each.network), each.run.name)):
        if isinstance(each.result, Landscape):
            slices.setdefault((each.result.dims, each.result.bn), {})[each.run.name] = (each.network, each.result)
    return dict(sorted(slices.items()))


def lines_of(found: Sequence[Finding]) -> dict[str, tuple[Network, Line]]:
    """Lines by the names of their ends."""
    return {
        f"{each.run.name} to {each.result.other}, BN {each.result.bn}": (each.network, each.result)
        for each in sorted(found, key=lambda each: (_place(each.network), each.run.name))
        if isinstance(each.result, Line)
    }


def constructions(found: Sequence[Finding]) -> dict[tuple[int, int], dict[str, list[Identity]]]:
    """Each run's newest constructions by shallow and deep depth, and by variant."""
    newest = {
        (each.network[1], each.result.depth, each.network[0], each.run.name): each.result
        for each in found  # in the order of steps
        if isinstance(each.result, Identity)
    }
    pairs: dict[tuple[int, int], dict[str, list[Identity]]] = {}
    for (shallow, depth, variant, _), result in sorted(
        newest.items(), key=lambda item: (item[0][:2], item[0][2] != "plain", item[0])
    ):
        pairs.setdefault((shallow, depth), {}).setdefault(variant, []).append(result)
    return pairs


def _place(network: Network) -> tuple[bool, int]:
    return network[0] != "plain", network[1]
