"""A drawing of a plain network beside its residual counterpart, as in He et al. 2015, Fig. 3."""

from collections.abc import Iterator, Sequence
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, PathPatch
from matplotlib.path import Path

from resnet_lab.presentation.style import STYLE
from resnet_lab.record.files import write_atomically
from resnet_lab.report.figures import rendered

if TYPE_CHECKING:
    from resnet_lab.models.cost import BlockForm, Cost, Layer

_MOST_BLOCKS = 6  # per stage; of longer stages only the first blocks and the last one are drawn
_HALF_WIDTH, _HEIGHT, _APART, _INCHES = 1.0, 0.62, 3.9, 0.26
_COLOURS = ("#c9b8e0", "#b5d6a7", "#f2b8b0", "#a9cbe8")
_NEUTRAL, _INK = "#e8e8e8", "#222222"
_BULGE, _OFFSET = 0.6, 0.07  # of a shortcut's curve: to the right, and from the midpoint between two boxes


class _Row(NamedTuple):
    """One row of a column: a layer's box, or text between boxes if `colour` is None. `block` is set on a block's last row."""

    text: str
    colour: str | None
    block: "BlockForm | None" = None


def architecture(depth: int, plain: "Cost", residual: "Cost") -> Figure:
    """Draw both networks from the image down to the classes; shortcuts that change the shape are dotted.

    Blocks in the middle of long stages are replaced by their number.
    """
    columns = [_rows(cost) for cost in (plain, residual)]
    height = len(columns[0]) + 1.5
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.6, _INCHES * height + 0.3), layout="constrained")
        axes = figure.subplots()
        axes.set_xlim(-_HALF_WIDTH - 1.0, _APART + _HALF_WIDTH + 1.45)
        axes.set_ylim(height - 0.6, -1.3)
        axes.axis("off")
        for x, name, rows, cost in zip((0.0, _APART), ("plain", "residual"), columns, (plain, residual), strict=True):
            axes.text(x, -0.85, f"{depth}-layer {name}", ha="center", va="center", weight="bold", fontsize=10)
            _draw_column(axes, x, rows)
            _draw_shortcuts(axes, x, rows)
            axes.text(x, len(rows) - 0.05, _numbers(cost), ha="center", va="center", fontsize=7, color="#444444")
        _draw_sizes(axes, residual, columns[0])
    return figure


def write(figure: Figure, path: FilePath) -> None:
    """Write the drawing in the format of the file's suffix: .svg, .png or .pdf. Raises DiskError."""
    write_atomically(path, rendered(figure, path.suffix.removeprefix(".")), "--draw")


def _rows(cost: "Cost") -> list[_Row]:
    """The rows of a network's column from top to bottom, without projections."""
    stem, *_, head = cost.layers
    rows = [_Row("image", None), _Row(stem.operation, _COLOURS[0])]
    if cost.blocks[0].input_shape != stem.output_shape:
        rows.append(_Row("3x3 max pool, /2", _NEUTRAL))
    for stage, blocks in enumerate(_stages(cost.blocks)):
        colour = _COLOURS[stage % len(_COLOURS)]
        shown = range(len(blocks)) if len(blocks) <= _MOST_BLOCKS else [*range(_MOST_BLOCKS - 2), len(blocks) - 1]
        previous = -1
        for index in shown:
            if index > previous + 1:
                rows.append(_Row(f"{index - previous - 1} more blocks", None))
            rows += _block_rows(cost, blocks[index], colour)
            previous = index
    return [*rows, _Row("average pool", _NEUTRAL), _Row(head.operation, _NEUTRAL)]


def _stages(blocks: "Sequence[BlockForm]") -> "list[list[BlockForm]]":
    stages: dict[str, list[BlockForm]] = {}
    for block in blocks:
        stages.setdefault(block.name.rpartition(".")[0], []).append(block)
    return list(stages.values())


def _block_rows(cost: "Cost", block: "BlockForm", colour: str) -> list[_Row]:
    layers = list(_branch(cost, block))
    return [_Row(layer.operation, colour, block if layer is layers[-1] else None) for layer in layers]


def _branch(cost: "Cost", block: "BlockForm") -> "Iterator[Layer]":
    """The layers of a block's branch, without those of its shortcut."""
    of_block = (layer for layer in cost.layers if layer.name.startswith(f"{block.name}."))
    return (layer for layer in of_block if not layer.name.startswith(f"{block.name}.shortcut."))


def _draw_column(axes: Axes, x: float, rows: Sequence[_Row]) -> None:
    for y, row in enumerate(rows):
        if row.colour is not None:
            box = FancyBboxPatch(
                (x - _HALF_WIDTH, y - _HEIGHT / 2), 2 * _HALF_WIDTH, _HEIGHT,
                boxstyle="round,pad=0,rounding_size=0.12", facecolor=row.colour, edgecolor="#555555", linewidth=0.6,
            )  # fmt: skip
            axes.add_patch(box)
        axes.text(x, y, row.text, ha="center", va="center", fontsize=7, style="normal" if row.colour else "italic")
        if y:
            _arrow(axes, (x, y - 1 + _HEIGHT / 2), (x, y - _HEIGHT / 2))


def _draw_shortcuts(axes: Axes, x: float, rows: Sequence[_Row]) -> None:
    """Draw a curve around each block, from the arrow above it to the arrow below."""
    start = next(y for y, row in enumerate(rows) if row.colour == _COLOURS[0])
    start += 1 if rows[start + 1].colour == _NEUTRAL else 0
    for y, row in enumerate(rows):
        if row.colour is None and y > start:
            start = y
        if row.block is None:
            continue
        if row.block.shortcut != "none":
            _draw_shortcut(axes, x, start + 0.5, y + 0.5, row.block)
        start = y


def _draw_shortcut(axes: Axes, x: float, top: float, bottom: float, block: "BlockForm") -> None:
    """Draw a curve from below the middle of one arrow to above that of another, so that those of adjacent blocks do not touch."""
    edge, right = x + _HALF_WIDTH, x + _HALF_WIDTH + _BULGE
    begin, end = top + _OFFSET, bottom - _OFFSET
    points = [(x, begin), (edge, begin), (right, begin), (right, end), (edge, end), (x, end)]
    codes = [Path.MOVETO, Path.LINETO, Path.CURVE4, Path.CURVE4, Path.CURVE4, Path.LINETO]
    style = (0, (1.2, 1.4)) if block.changes_shape else "-"
    axes.add_patch(PathPatch(Path(points, codes), fill=False, edgecolor=_INK, linewidth=0.9, linestyle=style))
    axes.plot(x + 0.05, end, marker="<", markersize=2.5, color=_INK)
    stride = block.input_shape[-1] // block.output_shape[-1]
    projection = f"1x1 conv, {block.output_shape[0]}" + (f", /{stride}" if stride > 1 else "")
    label = {"projection": projection, "zero-padded identity": "zero padding"}.get(block.shortcut)
    if label:
        axes.text(edge + 0.85 * _BULGE, (begin + end) / 2, label, ha="left", va="center", fontsize=6)


def _draw_sizes(axes: Axes, cost: "Cost", rows: Sequence[_Row]) -> None:
    """Write the height and width of feature maps on the left, wherever they change."""
    by_block = {block.name: block.output_shape[-1] for block in cost.blocks}
    num_layers = len(list(_branch(cost, cost.blocks[0])))
    seen: set[int] = set()
    for y, row in enumerate(rows):
        size = by_block.get(row.block.name) if row.block else None
        if size is not None and size not in seen:
            seen.add(size)
            axes.text(
                -_HALF_WIDTH - 0.12, y - num_layers + 1, f"{size}x{size}", ha="right", va="center", fontsize=7, color="#444444"
            )


def _numbers(cost: "Cost") -> str:
    return f"{cost.parameters:,} parameters\n{cost.multiply_adds / 1e6:,.1f} million multiply-adds"


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.add_patch(
        FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=5, linewidth=0.6, color=_INK, shrinkA=0, shrinkB=0)
    )
