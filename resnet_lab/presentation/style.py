"""The style and shared elements of all figures. Import it only when drawing: it imports matplotlib, which is slow."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from resnet_lab.presentation.blocks import Colours, Network

STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "svg.fonttype": "none",
    "svg.hashsalt": "resnet-lab",
}


@contextmanager
def new_figure(width: float, height: float) -> Iterator[Figure]:
    """Yield an empty figure of this size in inches, with the shared style in effect."""
    with mpl.rc_context(STYLE):
        yield Figure(figsize=(width, height), layout="constrained")


def label_ends(axes: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Label lines at their right ends instead of in a legend; labels that would overlap are moved apart.

    `ends` has the last value, the label and the colour of each line.
    """
    bottom, top = axes.get_ylim()
    y = -np.inf
    for value, text, colour in sorted(ends):
        y = max(value, y + 0.055 * (top - bottom))
        axes.annotate(
            text,
            (1.0, y),
            xycoords=("axes fraction", "data"),
            xytext=(5, 0),
            textcoords="offset points",
            color=colour,
            va="center",
            weight="bold",
            annotation_clip=False,
        )


def prepare(axes: Axes, title: str, label: str, *, integers: bool = True) -> None:
    """Set the title, the grid and the label of the horizontal axis, with ticks at whole numbers if `integers`."""
    axes.set_title(title)
    axes.grid(axis="y", color="0.9", linewidth=0.6)
    axes.set_xlabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=integers))


def logarithmic(axes: Axes) -> None:
    """Set a logarithmic vertical scale with ticks at 1, 2 and 5 times powers of ten, labelled as plain numbers."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def legend(figure: Figure, networks: Iterable[Network], colours: Colours) -> None:
    """Draw a legend of the networks under the panels."""
    handles = [Line2D([], [], color=colours[net], label="{}-{}".format(*net), **line_style(net)) for net in networks]
    figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False)


def line_style(network: Network) -> dict[str, Any]:
    """Line width and dashes of a network: plain nets are dashed, so that the kinds differ without colour too."""
    return {"linewidth": 1.6, "linestyle": (0, (4, 1.5)) if network[0] == "plain" else "-"}
