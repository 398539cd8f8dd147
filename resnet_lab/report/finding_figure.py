"""The figure of the first screen: clean training error against depth."""

from functools import partial

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from resnet_lab.config.terms import VARIANTS
from resnet_lab.presentation.blocks import Illustration, Layout
from resnet_lab.presentation.style import TRAINING, label_ends, marker, new_figure
from resnet_lab.report import figures
from resnet_lab.report.tables import interval_table
from resnet_lab.study.compare import Comparison

_PAPER = "0.4"  # colour of what the paper found
_SIZES: dict[Layout, tuple[float, float]] = {"wide": (4.8, 3.0), "narrow": (3.6, 2.4)}  # in inches: a table is beside or below


def illustration(comparison: Comparison) -> Illustration:
    """Clean training error of every variant against depth, with 95 % intervals where there are enough seeds."""
    return Illustration(
        stem="finding",
        title="clean training error against depth",
        description=(
            "Clean training error in percent at the last evaluation against depth: "
            + "; ".join(_words(comparison, variant) for variant in _variants(comparison))
            + ". In the paper, the error of plain networks rises with depth and that of residual networks falls."
        ),
        table=interval_table(comparison),
        draw=partial(_draw, comparison),
    )


def _variants(comparison: Comparison) -> list[str]:
    present = {cell.variant for cell in comparison.cells}
    return [variant for variant in VARIANTS if variant in present]


def _words(comparison: Comparison, variant: str) -> str:
    cells = [cell for cell in comparison.cells if cell.variant == variant]
    return f"{variant} " + ", ".join(f"{100 * cell.train_error.mean:.1f} at depth {cell.depth}" for cell in cells)


def _draw(comparison: Comparison, layout: Layout) -> Figure:
    colours = figures.colours(comparison)
    with new_figure(*_SIZES[layout]) as (figure, axes):
        axes.grid(axis="y", color="0.9", linewidth=0.6)
        depths = sorted({cell.depth for cell in comparison.cells})
        axes.set_xticks(depths)
        room = max(2.0, 0.08 * (depths[-1] - depths[0]))
        axes.set_xlim(depths[0] - room, depths[-1] + room)
        axes.set_xlabel("depth (weighted layers)")
        axes.set_ylabel("clean training error (%)")
        ends, highest = [], 0.0
        for variant in _variants(comparison):
            cells = [cell for cell in comparison.cells if cell.variant == variant]
            errors = [cell.train_error for cell in cells]
            means = [100 * error.mean for error in errors]
            halves = [0.0 if error.interval is None else 100 * (error.interval[1] - error.mean) for error in errors]
            colour = colours[variant, cells[-1].depth]
            axes.errorbar(
                [cell.depth for cell in cells],
                means,
                halves,
                color=colour,
                marker=marker(variant),
                markersize=6,
                capsize=3,
                **TRAINING | {"linewidth": 2.2},
            )
            ends.append((means[-1], variant, colour))
            highest = max(highest, *(mean + half for mean, half in zip(means, halves, strict=True)))
        axes.set_ylim(0, min(100.0, 1.25 * highest) or 1.0)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
        label_ends(axes, ends)
        axes.set_title(
            "in the paper:  plain \N{NORTH EAST ARROW}  residual \N{SOUTH EAST ARROW}", loc="right", fontsize=8, color=_PAPER
        )
    return figure
