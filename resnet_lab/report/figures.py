"""How figures are drawn, titled and rendered, their colours, and the figure of errors against depth."""

import io
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from resnet_lab.config.terms import VARIANTS
from resnet_lab.presentation.blocks import Illustration, Layout, Picture, picture
from resnet_lab.presentation.style import STYLE, TEST, TRAINING, keys, label_ends, marker, new_panels, shade
from resnet_lab.study.compare import Comparison
from resnet_lab.study.published import NUMBERS, PAPER, is_comparable
from resnet_lab.text import printable

STAND_IN_NOTICE = "SYNTHETIC STAND-IN, NOT CIFAR-10"
STAND_IN_COLOUR = "#b00020"


def by_depth(comparison: Comparison, layout: Layout = "wide") -> Figure:
    """Error at the last evaluation against depth, with published test errors if all runs follow the paper's recipe."""
    depths = sorted({cell.depth for cell in comparison.cells})
    offset = max(1.2, (depths[-1] - depths[0]) / 30)  # horizontal offset of published numbers from ours
    with new_panels(layout, 2, 3.6, sharey=True) as (figure, panels):
        for axes, title in zip(panels, ("clean training error", "test error"), strict=True):
            axes.set_title(title)
            axes.grid(axis="y", color="0.9", linewidth=0.6)
            axes.set_xlabel("depth (weighted layers)")
            axes.set_xticks(depths)
            axes.set_xlim(depths[0] - 3 * offset, depths[-1] + 3 * offset)
        ends = [_draw_depths(axes, comparison, is_test=axes is panels[1]) for axes in panels]
        if published_depths(comparison):
            _draw_published(panels[1], comparison, offset)
            keys(figure, _published_keys())
        panels[0].set_ylim(bottom=0)
        for axes, labels in zip(panels, ends, strict=True):
            label_ends(axes, labels)
        for axes in panels if layout == "narrow" else panels[:1]:
            axes.set_ylabel("error (%)")
    return figure


def _draw_depths(axes: Axes, comparison: Comparison, *, is_test: bool) -> list[tuple[float, str, str]]:
    """Draw means and intervals of every variant. Returns the ends of the lines."""
    ends = []
    for variant in VARIANTS:
        cells = [cell for cell in comparison.cells if cell.variant == variant]
        errors = [cell.test_error if is_test else cell.train_error for cell in cells]
        means = [100 * error.mean for error in errors]
        half_widths = [0.0 if error.interval is None else 100 * (error.interval[1] - error.mean) for error in errors]
        look: Any = {**(TEST if is_test else TRAINING), "color": shade(variant), "marker": marker(variant), "capsize": 3}
        axes.errorbar([cell.depth for cell in cells], means, yerr=half_widths, **look)
        ends += [(means[-1], variant, shade(variant))] if means else []
    return ends


def _draw_published(axes: Axes, comparison: Comparison, offset: float) -> None:
    """Draw published test errors beside ours: the paper's filled and on the right, those of others open and on the left."""
    for variant in ("plain", "residual"):
        ours = {cell.depth for cell in comparison.cells if cell.variant == variant}
        others = [number for number in NUMBERS if number.variant == variant and number.depth in ours]
        for is_paper in (False, True):
            chosen = [number for number in others if (number.source == PAPER) == is_paper]
            axes.plot(
                [number.depth + (offset if is_paper else -offset) for number in chosen],
                [number.test_error for number in chosen],
                marker(variant),
                color=shade(variant),
                markerfacecolor=shade(variant) if is_paper else "none",
                markersize=6 if is_paper else 4,
            )


def _published_keys() -> list[Line2D]:
    look: Any = {"marker": "o", "color": "0.3"}
    return [
        Line2D([], [], label="ours", **look),
        Line2D([], [], label="the paper (right)", linestyle="", markersize=6, **look),
        Line2D([], [], label="others (left)", linestyle="", markerfacecolor="none", markersize=4, **look),
    ]


def published_depths(comparison: Comparison) -> list[int]:
    """The depths at which ours can be compared with published numbers: none unless every run follows the paper's recipe."""
    if not comparison.cells or not all(is_comparable(run.config) for run in comparison.runs):
        return []
    return sorted({cell.depth for cell in comparison.cells} & {number.depth for number in NUMBERS})


def colours(comparison: Comparison) -> dict[tuple[str, int], str]:
    """The colour of every variant and depth."""
    palette: dict[tuple[str, int], str] = {}
    for variant in VARIANTS:
        depths = sorted({run.config.model.depth for run in comparison.runs if run.config.model.variant == variant})
        palette |= {(variant, depth): shade(variant, index, len(depths)) for index, depth in enumerate(depths)}
    return palette


def entitled(illustration: Illustration, comparison: Comparison, layout: Layout = "wide", has_title: bool = True) -> Figure:
    """Draw an illustration under the stand-in notice, if it applies, and a title with the name of the study."""
    figure = illustration.draw(layout)
    name = printable(comparison.study.name).replace("$", r"\$")  # matplotlib would read $ as mathematics
    lines = [STAND_IN_NOTICE] if comparison.stand_in else []
    lines += [f"{name}: {illustration.title}"] if has_title else []
    look: Any = {"color": STAND_IN_COLOUR, "weight": "bold"} if comparison.stand_in else {}
    if lines:
        figure.suptitle("\n".join(lines), fontsize=10, **look)
    return figure


def on_page(illustration: Illustration, comparison: Comparison) -> Picture:
    """Draw an illustration for the page, which has its own titles and background, in both layouts."""
    layouts: tuple[Layout, ...] = ("wide", "narrow")
    return picture(illustration, *(svg(entitled(illustration, comparison, layout, False), None, True) for layout in layouts))


def svg(figure: Figure, keywords: str | None = None, transparent: bool = False) -> str:
    """The figure as an SVG element without an XML header; the same runs give the same bytes. See `rendered`."""
    text = rendered(figure, "svg", keywords, transparent).decode()
    return text[text.index("<svg") :]


def rendered(figure: Figure, file_format: str, keywords: str | None = None, transparent: bool = False) -> bytes:
    """The figure in this file format: png (200 dpi), svg or pdf. `keywords` are metadata."""
    metadata: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(file_format, {})
    metadata |= {"Keywords": keywords} if keywords else {}
    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format=file_format, dpi=200, metadata=metadata, transparent=transparent)
    return buffer.getvalue()
