"""Standard deviations of layer responses (He et al. 2015, Fig. 7)."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

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
from resnet_lab.analysis.results import Count, Number, Result, Values, layer_names
from resnet_lab.config.model import ModelConfig
from resnet_lab.presentation.blocks import Colours, Illustration, Layout, Network, Table
from resnet_lab.record.store import RunFolder

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class LayerResponse(Values):
    """Mean and standard deviation of a layer's outputs over images, channels and positions."""

    name: str
    mean: Number
    std: Number


class Responses(Result):
    """The responses of each layer on `images` test images, as in Fig. 7."""

    analysis: Literal["responses"] = "responses"
    images: Count
    layers: tuple[LayerResponse, ...]

    def fits(self, model: ModelConfig) -> bool:
        """See Result."""
        return [layer.name for layer in self.layers] == layer_names(model)


def run(folders: Sequence[RunFolder], options: NoOptions, request: Request) -> Iterator[Outcome]:
    """Measure each network."""
    from resnet_lab.analysis import responses as measuring

    num_images = measuring.FAST_IMAGES if request.fast else None
    yield from request.measured(folders, lambda subject: measuring.responses(subject, num_images))


def table(findings: Findings) -> Table:
    """A row per network: statistics of its layers' standard deviations, means over seeds."""
    rows = []
    for network, results in newest(findings, Responses).items():
        stds = layer_stds(results)
        numbers = (statistics.fmean(stds), statistics.median(stds), min(stds), max(stds), stds[-1])
        steps, images = joined(result.step for result in results), joined(result.images for result in results)
        rows.append((network_name(network), str(len(results)), steps, images, *(f"{number:.3f}" for number in numbers)))
    header = ("network", "seeds", "step", "images", "mean", "median", "lowest", "highest", "last")
    caption = (
        "Standard deviation of layer responses: mean, median and extremes over layers, and the last layer; means over seeds."
    )
    return Table(caption, header, tuple(rows))


def sentences(findings: Findings) -> Iterator[str]:
    """The mean over layers and over the last third of them, for the deepest networks and for each kind between depths."""
    stds = {network: layer_stds(results) for network, results in newest(findings, Responses).items()}
    deepest = [network for network in stds if network[1] == max(depth for _, depth in stds)]
    if len(deepest) > 1:
        yield (
            f"Mean standard deviation over all layers: {_each(deepest, stds, 0)}; over the last third of them: "
            f"{_each(deepest, stds, 2 / 3)}."
        )
        plain, *residual = (statistics.fmean(stds[network]) for network in deepest)
        if deepest[0][0] == "plain":
            yield (
                "As in the paper, the residual network's responses are smaller."
                if max(residual) < plain
                else "The paper reports smaller responses in residual networks; these networks do not show that."
            )
    for variant, shallow, deep in between_depths(stds):
        before, after = statistics.fmean(stds[variant, shallow]), statistics.fmean(stds[variant, deep])
        change = "falls" if after < before else "rises"
        yield f"From depth {shallow} to {deep}, the mean of {variant} networks {change} from {before:.2f} to {after:.2f}."


def _each(networks: Sequence[Network], stds: Mapping[Network, Sequence[float]], begin: float) -> str:
    """The mean over the layers from this share of them on, for each network."""
    return ", ".join(
        f"{network_name(network)} {statistics.fmean(stds[network][int(begin * len(stds[network])) :]):.2f}"
        for network in networks
    )


def figures(findings: Findings, colours: Colours) -> Iterator[Illustration]:
    """One figure of all networks."""
    if results := newest(findings, Responses):
        yield Illustration(
            stem="responses",
            title="layer responses",
            description="Standard deviation of layer responses, in layer order and in order of size.",
            table=table(findings),
            draw=partial(draw, results, colours),
        )


def draw(results: Mapping[Network, Sequence[Responses]], colours: Colours, layout: Layout = "wide") -> "Figure":
    """As in Fig. 7: standard deviation by layer, in layer order and in order of size."""
    from resnet_lab.presentation import style

    with style.new_panels(layout, 2, 3.6, sharey=True) as (figure, panels):
        for axes, (name, label) in zip(panels, (("in layer order", "layer"), ("in order of size", "rank")), strict=True):
            style.prepare(axes, name, label)
            axes.set_ylabel("standard deviation")
            for network, members in results.items():
                stds = layer_stds(members) if axes is panels[0] else sorted(layer_stds(members), reverse=True)
                axes.plot(range(1, len(stds) + 1), stds, **style.line_style(network, colours, len(stds)))
            axes.set_ylim(bottom=0)
        style.legend(figure, results, colours)
    return figure


def layer_stds(results: Sequence[Responses]) -> list[float]:
    """The standard deviation of each layer's responses, the mean over seeds."""
    return mean_over_seeds([[layer.std for layer in result.layers] for result in results])


ANALYSIS = Analysis(
    name="responses",
    place=2,
    help="Layer responses as in Fig. 7, on all test images: half a minute for CIFAR at depth 20, on one core.",
    options=NoOptions,
    run=run,
    result=Responses,
    heading="Layer responses",
    text=(
        "As in Figure 7 of He et al. 2015: the standard deviation of each 3x3 layer's output after BN and before the ReLU or the "
        "addition, over test images, channels and positions, in evaluation mode. The paper argues that residual functions are "
        "closer to zero than non-residual ones, and that a single layer of a deeper residual network changes the signal less. "
        "The curve of a residual network zigzags because the two layers of a block alternate: the first is followed by a ReLU, "
        "the second is added to the shortcut."
    ),
    table=table,
    figures=figures,
    sentences=sentences,
)
