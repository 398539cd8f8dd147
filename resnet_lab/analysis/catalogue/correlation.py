"""Autocorrelation of the input gradient: are gradients of nearby inputs alike, or noise?"""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from resnet_lab.analysis.definition import (
    Analysis,
    Findings,
    NoOptions,
    Outcome,
    Request,
    between_depths,
    joined,
    mean_over_seeds,
    network_name,
    newest,
)
from resnet_lab.analysis.results import Count, Result
from resnet_lab.presentation.blocks import Colours, Illustration, Layout, Network, Table
from resnet_lab.record.store import RunFolder

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SHOWN_LAGS = (1, 2, 4, 8, 16)


class Correlation(Result):
    """Correlations at lag 1, 2, ... along `lines` lines of `points` inputs each."""

    analysis: Literal["correlation"] = "correlation"
    lines: Count
    points: Count
    correlations: Annotated[tuple[Annotated[float, Field(ge=-1.001, le=1.001)], ...], Field(min_length=16, max_length=16)]


def run(folders: Sequence[RunFolder], options: NoOptions, request: Request) -> Iterator[Outcome]:
    """Measure each network, by default the initial one."""
    from resnet_lab.analysis import correlation as measuring

    num_lines = measuring.FAST_LINES if request.fast else measuring.LINES
    yield from replace(request, at=request.at or 0).measured(folders, lambda subject: measuring.correlation(subject, num_lines))


def table(findings: Findings) -> Table:
    """A row per network: its correlation at some lags, means over seeds."""
    rows = []
    for network, results in newest(findings, Correlation).items():
        values = _means(results)
        steps, lines = joined(result.step for result in results), joined(result.lines for result in results)
        rows.append((network_name(network), str(len(results)), steps, lines, *(f"{values[lag - 1]:z.3f}" for lag in _SHOWN_LAGS)))
    header = ("network", "seeds", "step", "lines", *(f"lag {lag}" for lag in _SHOWN_LAGS))
    caption = (
        "Autocorrelation of the gradient of the first logit with respect to the input, along lines of 33 inputs from one "
        "training image to another; means over lines and seeds."
    )
    return Table(caption, header, tuple(rows))


def sentences(findings: Findings) -> Iterator[str]:
    """How the correlation at lag 1 changes between the depths of each variant."""
    means = {network: _means(results)[0] for network, results in newest(findings, Correlation).items()}
    for variant, shallow, deep in between_depths(means):
        yield (
            f"From depth {shallow} to {deep}, the correlation at lag 1 of {variant} networks changes from "
            f"{means[variant, shallow]:z.2f} to {means[variant, deep]:z.2f}."
        )


def figures(findings: Findings, colours: Colours) -> Iterator[Illustration]:
    """One figure of all networks."""
    if results := newest(findings, Correlation):
        yield Illustration(
            stem="correlation",
            title="autocorrelation of the input gradient",
            description="Autocorrelation of the input gradient by lag, and at lag 1 against depth.",
            table=table(findings),
            draw=partial(draw, results, colours),
        )


def draw(results: Mapping[Network, Sequence[Correlation]], colours: Colours, layout: Layout = "wide") -> "Figure":
    """Autocorrelation by lag, and at lag 1 against depth, with the decay expected for residual nets."""
    from resnet_lab.presentation import style

    with style.new_panels(layout, 2, 3.6, sharey=True) as (figure, (left, right)):
        left.set_ylabel("correlation")
        style.prepare(left, "along a line between two images", "lag, in 1/32 of the distance of the images")
        style.prepare(right, "at lag 1", "depth")
        for network, members in results.items():
            values = _means(members)
            left.plot(range(len(values) + 1), [1.0, *values], **style.line_style(network, colours, len(values) + 1))
        _draw_depths(right, results, colours)
        right.set_xticks(sorted({depth for _, depth in results}))
        left.set_ylim(min(0.0, left.get_ylim()[0]), 1.02)
        style.legend(figure, results, colours)
    return figure


def _draw_depths(axes: "Axes", results: Mapping[Network, Sequence[Correlation]], colours: Colours) -> None:
    """A line per variant through the means, a point per seed, and the decay expected for residual networks."""
    from resnet_lab.presentation import style

    for variant in dict.fromkeys(variant for variant, _ in results):
        depths = [depth for other, depth in results if other == variant]
        means = [statistics.fmean(result.correlations[0] for result in results[variant, depth]) for depth in depths]
        axes.plot(depths, means, color="0.6", linewidth=1.0, zorder=1)
        if variant != "plain" and means[0] > 0:
            depth_range = range(depths[0], depths[-1] + 1)
            expected = [means[0] * (depths[0] / depth) ** 0.5 for depth in depth_range]
            axes.plot(depth_range, expected, color="0.4", zorder=1, **style.DOTTED)
    for network, members in results.items():
        for result in members:
            axes.plot(network[1], result.correlations[0], color=colours[network], marker=style.marker(network[0]), markersize=4)


def _means(results: Sequence[Correlation]) -> list[float]:
    return mean_over_seeds([result.correlations for result in results])


ANALYSIS = Analysis(
    name="correlation",
    place=4,
    help="""Autocorrelation of the input gradient of the initial network, or of the one at the step --at.

    On one core: seconds at depth 20, half a minute at 56.
    """,
    options=NoOptions,
    run=run,
    result=Correlation,
    heading="Correlation of gradients",
    text=(
        "As in Balduzzi et al. 2017: how alike are the gradients of an output with respect to nearby inputs? Lines lead from one "
        "training image to another in 32 equal steps. The gradient of the first logit is computed at each of the 33 inputs and "
        "correlated (cosine over pixels) with that of the input a number of steps, the lag, further on. BN normalises by "
        "statistics over four training batches, the same for all inputs. A correlation of zero means gradients like white noise. "
        "For inputs that activate different units, the paper derives that the correlation falls as 1/2^L with the number of "
        "layers L in plain networks without BN, and as 1/sqrt(L) in residual networks with BN. Dotted: 1/sqrt(depth), through "
        "the shallowest residual network. The decay of plain networks is not drawn, since inputs at lag 1 activate mostly the "
        "same units."
    ),
    table=table,
    figures=figures,
    sentences=sentences,
)
