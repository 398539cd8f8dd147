"""The figures of the analyses of layers and of the construction, in the manner of `figures`."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from resnet_lab.analysis.results import GradientNorm, Gradients, Identity, Responses
from resnet_lab.config.terms import VARIANTS
from resnet_lab.report.figures import STYLE, label_ends

Colours = Mapping[tuple[str, int], str]
Network = tuple[str, int]  # ModelConfig.variant and depth
UNTRAINED = "0.35"  # a depth that the study has not trained


def responses(results: Mapping[Network, Sequence[Responses]], colours: Colours) -> Figure:
    """As Fig. 7: standard deviation by layer, in the layers' order on the left and in order of size on the right."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 3.9), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        panels[0].set_ylabel("standard deviation")
        for axes, name in zip(panels, ("in the order of layers", "in order of size"), strict=True):
            prepare(axes, name, "layer")
            for network, found in results.items():
                stds = mean_over_seeds([[layer.std for layer in each.layers] for each in found])
                stds = stds if axes is panels[0] else sorted(stds, reverse=True)
                axes.plot(range(1, len(stds) + 1), stds, color=colours[network], **line_style(network))
            axes.set_ylim(bottom=0)
        legend(figure, results, colours)
    return figure


def gradients(results: Mapping[Network, Mapping[int, Sequence[Gradients]]], colours: Colours) -> Figure:
    """Norms by layer on a logarithmic scale: weights on the left, block outputs on the right; rows: first and last step."""
    steps = sorted({step for by_step in results.values() for step in by_step})
    shown = steps if len(steps) < 2 else [steps[0], steps[-1]]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 0.6 + 3.2 * len(shown)), layout="constrained")
        rows = figure.subplots(len(shown), 2, squeeze=False, sharey="col")
        for (row, step), (column, part) in product(enumerate(shown), enumerate(("weights", "blocks"))):
            axes = rows[row][column]
            what = "by convolution's weight" if part == "weights" else "by block's output"
            when = "initial network" if step == 0 else f"step {step:,}"
            prepare(axes, f"{what}, {when}", "convolution" if part == "weights" else "block")
            logarithmic(axes)
            for network, by_step in results.items():
                if step in by_step:
                    norms = gradient_means(by_step[step], part)
                    axes.plot(range(1, len(norms) + 1), norms, color=colours[network], **line_style(network))
            if column == 0:
                axes.set_ylabel("gradient norm")
        legend(figure, results, colours)
    return figure


def identity(results: Mapping[str, Sequence[Identity]], colours: Colours, shallow_depth: int) -> Figure:
    """Clean training error of shallow, deep from scratch, deep by construction, and that trained on; plain and residual.

    `results` are by variant, over seeds: bars are means and dots are seeds. Where training went on, a second row follows it.
    """
    variants = [variant for variant in VARIANTS if results.get(variant)]
    goes_on = any(each.continued and each.continued.curve for found in results.values() for each in found)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(max(8, 3.6 * len(variants)), 6.2 if goes_on else 3.4), layout="constrained")
        rows = figure.subplots(2 if goes_on else 1, len(variants), squeeze=False, sharey="row")
        for column, variant in enumerate(variants):
            _bars(rows[0][column], variant, shallow_depth, results[variant], colours)
            if goes_on:
                _continuation(rows[1][column], variant, shallow_depth, results[variant], colours)
        for row in rows:
            row[0].set_ylabel("clean training error (%)")
    return figure


def _bars(axes: Axes, variant: str, shallow_depth: int, results: Sequence[Identity], colours: Colours) -> None:
    depth = results[0].depth
    bars = {
        f"{variant}-{shallow_depth}": [each.shallow.train for each in results],
        f"{variant}-{depth}\nfrom scratch": [each.scratch.train for each in results if each.scratch],
        f"{variant}-{depth}\nbuilt": [each.constructed.train for each in results],
        "built, then\ntrained on": [
            each.continued.curve[-1].train for each in results if each.continued and each.continued.curve
        ],
    }
    shown = {name: [100 * error for error in errors] for name, errors in bars.items() if errors}
    faces = [colours[variant, shallow_depth]] + [colours.get((variant, depth), UNTRAINED)] * (len(shown) - 1)
    means = [statistics.fmean(errors) for errors in shown.values()]
    axes.bar(
        range(len(shown)),
        means,
        width=0.6,
        color=faces,
        hatch=["//" if "built" in name else "" for name in shown],
        edgecolor="white",
    )
    for place, (errors, mean) in enumerate(zip(shown.values(), means, strict=True)):
        axes.annotate(f"{mean:.2f}", (place, mean), xytext=(0, 3), textcoords="offset points", ha="center")
        if len(errors) > 1:
            axes.plot([place] * len(errors), errors, "o", color="0.15", markersize=2.5)
    axes.set_xticks(range(len(shown)), shown, fontsize=7.5)
    axes.set_title(f"{variant} networks")
    axes.margins(y=0.12)


def _continuation(axes: Axes, variant: str, shallow_depth: int, results: Sequence[Identity], colours: Colours) -> None:
    depth = results[0].depth
    shallow, deep = colours[variant, shallow_depth], colours.get((variant, depth), UNTRAINED)
    prepare(axes, f"{variant}-{depth} trained on from the construction", "steps since the construction")
    for each in results:
        axes.axhline(100 * each.shallow.train, color=shallow, linewidth=1, linestyle=(0, (1, 1.5)))
        if each.scratch:
            axes.axhline(100 * each.scratch.train, color=deep, linewidth=1, linestyle=(0, (3, 1.5)))
        if each.continued:
            points = [(0, each.constructed.train), *((point.step, point.train) for point in each.continued.curve)]
            axes.plot([step for step, _ in points], [100 * error for _, error in points], "o-", color=deep, markersize=3)
    ends = [(100 * results[0].shallow.train, f"{variant}-{shallow_depth}", shallow)]
    if results[0].scratch:
        ends.append((100 * results[0].scratch.train, "from scratch", deep))
    if results[0].continued and results[0].continued.curve:
        ends.append((100 * results[0].continued.curve[-1].train, "trained on", deep))
    label_ends(axes, ends)


def gradient_means(results: Sequence[Gradients], part: str) -> list[float]:
    """Mean norm over seeds of each weight or block, in the order of layers."""
    norms: list[tuple[GradientNorm, ...]] = [each.weights if part == "weights" else each.blocks for each in results]
    return mean_over_seeds([[layer.norm for layer in each] for each in norms])


def mean_over_seeds(values: Sequence[Sequence[float]]) -> list[float]:
    """The mean of equally long lists, element by element."""
    return [statistics.fmean(each) for each in zip(*values, strict=True)]


def prepare(axes: Axes, title: str, label: str, *, integers: bool = True) -> None:
    """Title, grid and name of the horizontal axis, whose ticks are whole numbers where `integers`."""
    axes.set_title(title)
    axes.grid(axis="y", color="0.9", linewidth=0.6)
    axes.set_xlabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=integers))


def logarithmic(axes: Axes) -> None:
    """A logarithmic scale with plain numbers at 1, 2 and 5."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def legend(figure: Figure, networks: Iterable[Network], colours: Colours) -> None:
    """The networks by name, under the panels."""
    handles = [Line2D([], [], color=colours[each], label="{}-{}".format(*each), **line_style(each)) for each in networks]
    figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False)


def line_style(network: Network) -> dict[str, Any]:
    """Plain lines are dashed, so that the two kinds are told apart without colour."""
    return {"linewidth": 1.6, "linestyle": (0, (4, 1.5)) if network[0] == "plain" else "-"}
