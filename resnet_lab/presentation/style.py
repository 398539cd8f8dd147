"""The style and shared elements of all figures. Import it only when drawing: it imports matplotlib, which is slow.

One code holds in every figure. Hue shows the variant and lightness the depth; markers tell variants apart without colour. In
plots of errors and losses, dashed is training and solid is test; where both are drawn, training is bold and in front. Dotted
lines are drops of the lr along an axis of time, and elsewhere levels for comparison.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from matplotlib.transforms import offset_copy

from resnet_lab.presentation.blocks import Colours, Layout, Network

STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "svg.fonttype": "none",
    "svg.hashsalt": "resnet-lab",
    "pdf.fonttype": 42,
}
WIDTHS: dict[Layout, float] = {"wide": 8.0, "narrow": 3.3}  # of figures, in inches
_COLUMNS: dict[Layout, int] = {"wide": 2, "narrow": 1}
# The shades of the shallowest and the deepest network. Their contrast with white is at least 4.5, since they are used for text.
_SHADES = {
    "plain": ("#c44f00", "#6e2500"),
    "residual": ("#2271b8", "#0a2c6b"),
    "residual-B": ("#1d7c3c", "#05451f"),
    "residual-C": ("#7f5cb8", "#3f1478"),
}
_MARKERS = {"plain": "s", "residual": "o", "residual-B": "^", "residual-C": "D"}
TRAINING: dict[str, Any] = {"linewidth": 2.1, "linestyle": (0, (3.2, 1.4))}
TEST: dict[str, Any] = {"linewidth": 1.1, "linestyle": "-"}
RUNNING: dict[str, Any] = {"linewidth": 0.7, "linestyle": "-", "alpha": 0.4}  # behind the other two
DOTTED: dict[str, Any] = {"linewidth": 0.9, "linestyle": (0, (1, 1.6))}


def shade(variant: str, index: int = 0, number: int = 1) -> str:
    """The colour of the depth with this index among `number` depths of a variant: deeper is darker."""
    colours = LinearSegmentedColormap.from_list(variant, _SHADES[variant])
    return to_hex(colours(0.35 if number == 1 else index / (number - 1)))


def marker(variant: str) -> str:
    """The marker of a variant."""
    return _MARKERS[variant]


@contextmanager
def new_figure(width: float, height: float) -> Iterator[tuple[Figure, Axes]]:
    """Yield a figure of this size in inches and its only panel, with the shared style in effect."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, figure.subplots()


@contextmanager
def new_panels(
    layout: Layout, number: int, height: float, *, rows: int = 1, **options: Any
) -> Iterator[tuple[Figure, list[Axes]]]:
    """Yield a figure and its panels of `height` inches, with the shared style in effect.

    There are `rows` times `number` panels. The narrow layout has one column; the wide one has two, so that a row of more panels
    takes several lines. `options` are those of `subplots`.
    """
    columns = min(number, _COLUMNS[layout])
    lines = -(-number // columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTHS[layout], 0.6 + rows * lines * (height - 0.6)), layout="constrained")
        grid = figure.subplots(rows * lines, columns, squeeze=False, **options).reshape(rows, lines * columns)
        for axes in grid[:, number:].flat:
            axes.remove()
        yield figure, list(grid[:, :number].flat)


def label_ends(axes: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Label lines at their right ends instead of in a legend, to be called when the limits of the axes are final.

    `ends` has the last value, the label and the colour of each line. Labels that would overlap are moved apart, each as little as
    possible, and thin lines lead from the ends to the labels.
    """
    if not ends:
        return
    ordered = sorted(ends)
    to_fraction = axes.transScale + axes.transLimits
    ys = [float(to_fraction.transform((axes.get_xlim()[0], value))[1]) for value, _, _ in ordered]
    gap = 1.2 * mpl.rcParams["font.size"] / _height_in_points(axes)
    places = apart(ys, gap)
    is_moved = any(abs(end - start) > gap / 4 for start, end in zip(ys, places, strict=True))
    for start, end, (_, text, colour) in zip(ys, places, ordered, strict=True):
        axes.annotate(
            text,
            (1, start),
            xycoords="axes fraction",
            xytext=(1, end),
            textcoords=offset_copy(
                axes.transAxes, figure_of(axes), x=(1.4 if is_moved else 0.6) * mpl.rcParams["font.size"], units="points"
            ),
            color=colour,
            va="center",
            weight="bold",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 0, "relpos": (0, 0.5)}
            if is_moved
            else None,
        )


def _height_in_points(axes: Axes) -> float:
    """About the height of a panel; the exact one is known only after the layout of the figure."""
    grid = axes.get_gridspec()
    return 72 * 0.72 * float(figure_of(axes).get_size_inches()[1]) / (grid.nrows if grid else 1)


def figure_of(axes: Axes) -> Figure:
    """The figure that a panel belongs to."""
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    return figure


def apart(values: Sequence[float], gap: float) -> list[float]:
    """Move ascending positions in a panel, from 0 to 1, apart to at least `gap`, with the least sum of squared moves.

    This is isotonic regression, by pooling adjacent positions that are too close.
    """
    pools: list[list[float]] = []
    for index, value in enumerate(values):
        pools.append([value - index * gap])
        while len(pools) > 1 and np.mean(pools[-2]) > np.mean(pools[-1]):
            pools[-2:] = [pools[-2] + pools[-1]]
    levels = [float(np.mean(pool)) for pool in pools for _ in pool]
    highest = max(0.0, 1 - (len(values) - 1) * gap)
    return [min(max(level, 0.0), highest) + index * gap for index, level in enumerate(levels)]


def prepare(axes: Axes, title: str, label: str, *, integers: bool = True) -> None:
    """Set the title, the grid and the label of the horizontal axis, with ticks at whole numbers if `integers`."""
    axes.set_title(title)
    axes.grid(axis="y", color="0.9", linewidth=0.6)
    axes.set_xlabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=integers))


def from_zero(panels: Sequence[Axes], label: str) -> None:
    """Give panels the same vertical range, from zero, and this label."""
    highest = max(axes.get_ylim()[1] for axes in panels)
    for axes in panels:
        axes.set_ylim(0, highest)
        axes.set_ylabel(label)


def logarithmic(axes: Axes) -> None:
    """Set a logarithmic vertical scale with ticks at 1, 2 and 5 times powers of ten, labelled as plain numbers."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def legend(figure: Figure, networks: Iterable[Network], colours: Colours, *others: Line2D) -> None:
    """Draw a legend of the networks, and of other handles, under the panels."""
    handles = [Line2D([], [], label="{}-{}".format(*net), **line_style(net, colours, 1)) for net in networks]
    keys(figure, [*handles, *others])


def keys(figure: Figure, handles: Sequence[Line2D]) -> None:
    """Draw a legend under the panels, in as many columns as the figure has room for."""
    longest = max((len(str(handle.get_label())) for handle in handles), default=1)
    most = max(1, int(figure.get_size_inches()[0] * 72 / (4.6 * longest + 40)))
    rows = -(-len(handles) // most)
    figure.legend(handles=handles, loc="outside lower center", ncols=max(1, -(-len(handles) // max(rows, 1))), frameon=False)


def line_style(network: Network, colours: Colours, points: int) -> dict[str, Any]:
    """Colour, width and about eight markers of a network's line of so many points, with an odd number of points between them.

    So markers show both layers of a block in turn.
    """
    variant, _ = network
    stride = (points // 8) | 1
    return {"color": colours[network], "linewidth": 1.6, "marker": marker(variant), "markersize": 3.5, "markevery": stride}


def training_and_test(**more: Any) -> list[Line2D]:
    """Handles that explain the line styles of training and test."""
    return [
        Line2D([], [], color="0.2", label=name, **style, **more)
        for name, style in (("training (clean)", TRAINING), ("test", TEST))
    ]
