"""Gradient norms by layer, to see whether gradients vanish."""

import math
import re
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
from resnet_lab.analysis.results import Count, Number, Result, Values, block_names, layer_names, projection_names
from resnet_lab.config.model import ModelConfig
from resnet_lab.presentation.blocks import Colours, Illustration, Layout, Network, Table
from resnet_lab.record.store import RunFolder

if TYPE_CHECKING:
    from matplotlib.figure import Figure


_LARGE = 10.0  # a smaller factor between the first and the last block is not called a change


class GradientNorm(Values):
    """Euclidean norm of the gradient of the mean loss: mean over batches, and standard deviation if there are several."""

    name: str
    norm: Number
    deviation: Number | None


class Gradients(Result):
    """Norms of the gradients with respect to each convolution's weight and each block's output, in training mode."""

    analysis: Literal["gradients"] = "gradients"
    batches: Count
    batch_size: Count
    weights: tuple[GradientNorm, ...]
    blocks: tuple[GradientNorm, ...]

    def fits(self, model: ModelConfig) -> bool:
        """See Result."""
        weights = sorted(norm.name for norm in self.weights)
        expected = sorted(f"{name}.conv" for name in [*layer_names(model), *projection_names(model)])
        return weights == expected and [norm.name for norm in self.blocks] == block_names(model)


ByStep = Mapping[int, Sequence[Gradients]]  # one result per seed


def run(folders: Sequence[RunFolder], options: NoOptions, request: Request) -> Iterator[Outcome]:
    """Measure each network."""
    from resnet_lab.analysis import gradients as measuring

    num_batches = measuring.FAST_BATCHES if request.fast else measuring.BATCHES
    yield from request.measured(folders, lambda subject: measuring.gradients(subject, num_batches))


def table(findings: Findings) -> Table:
    """A row per network and step: first block against last, and layers against those of the shallowest net of the variant."""
    results = by_network(findings)
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
        "Gradient norms at the outputs of the first and the last block, means over batches and seeds. Deep / shallow: ratio of "
        "the norms for the same convolution of blocks at the same relative position in their stage, in the deeper and in the "
        "shallowest network of the kind; geometric mean (lowest to highest).",
        header,
        tuple(rows),
    )


def by_network(findings: Findings) -> dict[Network, dict[int, list[Gradients]]]:
    """Results by network and step, one per seed."""
    networks: dict[Network, dict[int, list[Gradients]]] = {}
    for finding in in_order(findings):
        if isinstance(finding.result, Gradients):
            networks.setdefault(finding.network, {}).setdefault(finding.result.step, []).append(finding.result)
    return networks


def _means(results: Sequence[Gradients], part: str) -> list[float]:
    """Mean norm over seeds of each weight or block, in layer order."""
    norms: list[tuple[GradientNorm, ...]] = [result.weights if part == "weights" else result.blocks for result in results]
    return mean_over_seeds([[layer.norm for layer in layers] for layers in norms])


def _ratios(deep: Sequence[Gradients], shallow: Sequence[Gradients]) -> str:
    """A table cell with the ratios of a deeper network's weight gradients to those of a shallower one."""
    ratios = deep_to_shallow(_weights_by_name(deep), _weights_by_name(shallow))
    return f"{_geometric_mean(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def _weights_by_name(results: Sequence[Gradients]) -> dict[str, float]:
    return dict(zip((layer.name for layer in results[0].weights), _means(results, "weights"), strict=True))


def deep_to_shallow(deep: Mapping[str, float], shallow: Mapping[str, float]) -> list[float]:
    """Ratios of the deeper network's norms to the shallower one's, by layer.

    The layers have the same name, in blocks at the same relative position in their stage; a projection without such a counterpart
    is left out.
    """
    ratios = []
    deep_stages = _by_stage(deep)
    for stage, blocks in _by_stage(shallow).items():
        for index, layers in enumerate(blocks):
            counterpart = deep_stages[stage][int((index + 0.5) / len(blocks) * len(deep_stages[stage]))]
            ratios += [counterpart[name] / norm if norm else math.nan for name, norm in layers.items() if name in counterpart]
    return ratios


def _by_stage(norms: Mapping[str, float]) -> dict[str, list[dict[str, float]]]:
    """Norms by stage, block and layer: `stages.1.4.conv2.conv` is `conv2.conv` in block 4 of `stages.1`; the stem is a stage."""
    stages: dict[str, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for name, norm in norms.items():
        stage, block, layer = re.fullmatch(r"(stem|stages\.\d+)\.(?:(\d+)\.)?(.+)", name).groups()  # type: ignore[union-attr]
        stages[stage][block][layer] = norm
    return {stage: list(blocks.values()) for stage, blocks in stages.items()}


def _geometric_mean(values: Sequence[float]) -> float:
    return math.exp(statistics.fmean(map(math.log, values))) if all(value > 0 for value in values) else math.nan


def sentences(findings: Findings) -> Iterator[str]:
    """How the gradient changes from the last block to the first, for the deepest network of each variant and each step."""
    results = by_network(findings)
    for variant in dict.fromkeys(variant for variant, _ in results):
        depth = max(depth for other, depth in results if other == variant)
        for step, members in sorted(results[variant, depth].items()):
            blocks = _means(members, "blocks")
            if not (blocks[0] > 0 and blocks[-1] > 0):
                continue
            ratio = blocks[0] / blocks[-1]
            change = "vanishes" if ratio < 1 / _LARGE else "grows" if ratio > _LARGE else "keeps its order of magnitude"
            yield (
                f"{network_name((variant, depth))} at step {step:,}: the gradient norm is {blocks[-1]:.2g} at the output of the "
                f"last block and {blocks[0]:.2g} at that of the first. Towards the input, the gradient {change}."
            )


def figures(findings: Findings, colours: Colours) -> Iterator[Illustration]:
    """One figure of all networks."""
    if results := by_network(findings):
        yield Illustration(
            stem="gradients",
            title="gradients by layer",
            description="Gradient norms by layer on a logarithmic scale: of weights, and of block outputs.",
            table=table(findings),
            draw=partial(draw, results, colours),
        )


def draw(results: Mapping[Network, ByStep], colours: Colours, layout: Layout = "wide") -> "Figure":
    """Norms by layer on a logarithmic scale, of weights and of block outputs, at the first and at the last step."""
    from resnet_lab.presentation import style

    steps = sorted({step for by_step in results.values() for step in by_step})
    shown = steps if len(steps) < 2 else [steps[0], steps[-1]]
    parts = ("weights", "blocks")
    with style.new_panels(layout, len(parts), 3.2, rows=len(shown)) as (figure, panels):
        for axes, (step, part) in zip(panels, product(shown, parts), strict=True):
            quantity = "convolution weights" if part == "weights" else "block outputs"
            time = "initial network" if step == 0 else f"step {step:,}"
            style.prepare(axes, f"{quantity}, {time}", "convolution" if part == "weights" else "block")
            style.logarithmic(axes)
            for network, by_step in results.items():
                if step in by_step:
                    norms = _means(by_step[step], part)
                    axes.plot(range(1, len(norms) + 1), norms, **style.line_style(network, colours, len(norms)))
            axes.set_ylabel("gradient norm")
        for number, axes in enumerate(panels):
            axes.sharey(panels[number % len(parts)])
        style.legend(figure, results, colours)
    return figure


ANALYSIS = Analysis(
    name="gradients",
    place=3,
    help="Gradient norms by layer on the first 16 training batches. On one core: seconds at depth 20, half a minute at 56.",
    options=NoOptions,
    run=run,
    result=Gradients,
    heading="Gradients",
    text=(
        "The paper argues (Section 4.1) that with BN the gradients of plain networks have healthy norms, so that vanishing "
        "gradients are unlikely to be the cause. Shown are norms of the gradient of the mean training loss, without weight "
        "decay, in training mode on the same augmented batches for every network."
    ),
    table=table,
    figures=figures,
    sentences=sentences,
)
