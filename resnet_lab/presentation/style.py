"""The style of all figures, and what several of them draw alike. It imports matplotlib, which is slow: import it to draw."""

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
    """An empty figure of this size in inches, to be drawn on in the shared style."""
    with mpl.rc_context(STYLE):
        yield Figure(figsize=(width, height), layout="constrained")


def label_ends(axes: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Name the lines at their right ends, in place of a legend, moved apart where the names would overlap."""
    bottom, top = axes.get_ylim()
    place = -np.inf
    for error, text, colour in sorted(ends):
        place = max(error, place + 0.055 * (top - bottom))
        axes.annotate(
            text,
            (1.0, place),
            xycoords=("axes fraction", "data"),
            xytext=(5, 0),
            textcoords="offset points",
            color=colour,
            va="center",
            weight="bold",
            annotation_clip=False,
        )


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
