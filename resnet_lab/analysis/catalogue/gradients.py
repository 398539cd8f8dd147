"""Gradient norms by layer: do they vanish?"""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Literal

from resnet_lab.analysis.definition import (
    Analysis,
    Findings,
    NoOptions,
    Outcome,
    Request,
    in_order,
    mean_over_seeds,
    network_name,
)
from resnet_lab.analysis.results import Result, Values
from resnet_lab.presentation.blocks import Colours, Illustration, Network, Table
from resnet_lab.record.store import RunFolder

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class GradientNorm(Values):
    """Euclidean norm of the gradient of a batch's mean loss: its mean over batches, and deviation where there are several."""

    name: str
    norm: float
    deviation: float | None


class Gradients(Result):
    """Gradients by each convolution's weight and by each block's output, in training mode."""

    analysis: Literal["gradients"] = "gradients"
    batches: int
    batch_size: int
    weights: tuple[GradientNorm, ...]
    blocks: tuple[GradientNorm, ...]


BySteps = Mapping[int, Sequence[Gradients]]  # a list over seeds


def run(folders: Sequence[RunFolder], options: NoOptions, request: Request) -> Iterator[Outcome]:
    """Measure each network."""
    from resnet_lab.analysis import gradients as measuring

    num_batches = measuring.FAST_BATCHES if request.fast else measuring.BATCHES
    for subject in request.subjects(folders):
        yield subject.folder, measuring.gradients(subject, num_batches)


def table(found: Findings) -> Table:
    """A row a network and step: the first block against the last, each layer against that of the shallowest of its variant."""
    results = by_network(found)
    rows = []
    for network, by_step in results.items():
        shallowest = min(depth for variant, depth in results if variant == network[0])
        for step, members in sorted(by_step.items()):
            blocks = _means(members, "blocks")
            reference = results[network[0], shallowest].get(step, ())
            rows.append((
                network_name(network), str(len(members)), f"{step:,}", f"{blocks[0]:.3g}", f"{blocks[-1]:.3g}",
                f"{blocks[0] / blocks[-1]:.2f}" if blocks[-1] else "-",
                _ratios(members, reference) if network[1] != shallowest and reference else "-",
            ))  # fmt: skip
    header = ("network", "seeds", "step", "first block", "last block", "first / last", "weights, deep / shallow")
    return Table(
        "Gradient norms by the output of the first and the last block; means over batches and seeds. Deep / shallow: each "
        "convolution of the shallowest network of the kind against the deeper one's at the same place in its stage: geometric "
        "mean (lowest to highest) of the ratios.",
        header,
        tuple(rows),
    )


def by_network(found: Findings) -> dict[Network, dict[int, list[Gradients]]]:
    """Gradients by network and step, a list over seeds."""
    networks: dict[Network, dict[int, list[Gradients]]] = {}
    for each in in_order(found):
        if isinstance(each.result, Gradients):
            networks.setdefault(each.network, {}).setdefault(each.result.step, []).append(each.result)
    return networks


def _means(results: Sequence[Gradients], part: str) -> list[float]:
    """Mean norm over seeds of each weight or block, in the order of layers."""
    norms: list[tuple[GradientNorm, ...]] = [each.weights if part == "weights" else each.blocks for each in results]
    return mean_over_seeds([[layer.norm for layer in each] for each in norms])


def _ratios(deep: Sequence[Gradients], shallow: Sequence[Gradients]) -> str:
    """How the weights' gradients of a deeper network compare with those of a shallower one, as a cell."""
    ratios = deep_to_shallow(_weights_by_name(deep), _weights_by_name(shallow))
    return f"{_geometric_mean(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def _weights_by_name(results: Sequence[Gradients]) -> dict[str, float]:
    return dict(zip((layer.name for layer in results[0].weights), _means(results, "weights"), strict=True))


def deep_to_shallow(deep: Mapping[str, float], shallow: Mapping[str, float]) -> list[float]:
    """For each layer of the shallower network, the ratio to it of the deeper one's layer at the same place in its stage."""
    ratios = []
    stages, deep_stages = _by_stage(shallow), _by_stage(deep)
    for stage, norms in stages.items():
        others = deep_stages[stage]
        for index, norm in enumerate(norms):
            other = others[int((index + 0.5) / len(norms) * len(others))]
            ratios.append(other / norm if norm else math.nan)
    return ratios


def _by_stage(norms: Mapping[str, float]) -> dict[str, list[float]]:
    """Layers `stages.1.4.conv2.conv` by `stages.1`; the stem is a stage of its own."""
    found: dict[str, list[float]] = defaultdict(list)
    for name, norm in norms.items():
        found[".".join(name.split(".")[:2])].append(norm)
    return found


def _geometric_mean(values: Sequence[float]) -> float:
    return math.exp(statistics.fmean(map(math.log, values))) if all(value > 0 for value in values) else math.nan


def figures(found: Findings, colours: Colours) -> Iterator[Illustration]:
    """One of all networks."""
    if results := by_network(found):
        yield Illustration(
            stem="gradients",
            title="gradients by layer",
            description="Gradient norms by layer on a logarithmic scale: weights on the left, block outputs on the right.",
            table=table(found),
            draw=partial(draw, results, colours),
        )


def draw(results: Mapping[Network, BySteps], colours: Colours) -> "Figure":
    """Norms by layer on a logarithmic scale: weights on the left, block outputs on the right; rows: first and last step."""
    from resnet_lab.presentation import style

    steps = sorted({step for by_step in results.values() for step in by_step})
    shown = steps if len(steps) < 2 else [steps[0], steps[-1]]
    with style.new_figure(8, 0.6 + 3.2 * len(shown)) as figure:
        rows = figure.subplots(len(shown), 2, squeeze=False, sharey="col")
        for (row, step), (column, part) in product(enumerate(shown), enumerate(("weights", "blocks"))):
            axes = rows[row][column]
            what = "by convolution's weight" if part == "weights" else "by block's output"
            when = "initial network" if step == 0 else f"step {step:,}"
            style.prepare(axes, f"{what}, {when}", "convolution" if part == "weights" else "block")
            style.logarithmic(axes)
            for network, by_step in results.items():
                if step in by_step:
                    norms = _means(by_step[step], part)
                    axes.plot(range(1, len(norms) + 1), norms, color=colours[network], **style.line_style(network))
            if column == 0:
                axes.set_ylabel("gradient norm")
        style.legend(figure, results, colours)
    return figure


ANALYSIS = Analysis(
    name="gradients",
    place=3,
    help="Gradient norms by layer over the run's first 16 batches: a few seconds at depth 20, half a minute at 56, on a core.",
    options=NoOptions,
    run=run,
    result=Gradients,
    heading="Gradients",
    text=(
        "The paper's remark (Section 4.1): with BN the gradients of plain networks keep healthy norms, so vanishing gradients "
        "are unlikely to be the cause. Norms of the gradient of the mean training loss over the same batches for every network, "
        "augmented and in training mode, without weight decay."
    ),
    table=table,
    figures=figures,
)
