"""Loss and error on the straight line between two networks."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal, Self

import typer
from pydantic import model_validator

from resnet_lab.analysis.catalogue.landscape import BN_NAMES, BatchNorm, show_cost, with_progress
from resnet_lab.analysis.definition import Analysis, Findings, Outcome, Request, in_order
from resnet_lab.analysis.results import Count, Number, Result, Row
from resnet_lab.errors import ConfigError
from resnet_lab.presentation.blocks import Colours, Illustration, Layout, Network, Table
from resnet_lab.record.lines import Error
from resnet_lab.record.store import RunFolder
from resnet_lab.text import percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from resnet_lab.analysis.subject import Subject


class Line(Result):
    """Loss and error on the straight line from a network, at position 0, to another, at 1."""

    analysis: Literal["line"] = "line"
    other: str
    other_step: Count
    bn: Literal["moving", "batch"]
    train_images: Count
    test_images: Count
    positions: tuple[Number, ...]
    train_losses: Row
    train_errors: tuple[Error, ...]
    test_losses: Row
    test_errors: tuple[Error, ...]

    @model_validator(mode="after")
    def _one_value_per_position(self) -> Self:
        measured = (self.train_losses, self.train_errors, self.test_losses, self.test_errors)
        if {len(values) for values in measured} != {len(self.positions)}:
            raise ValueError("losses and errors need one value per position")
        if not any(0 <= position <= 1 for position in self.positions):
            raise ValueError("no position lies between the two networks")
        return self

    @property
    def file_name(self) -> str:
        """One file per end point, type of BN and step."""
        return f"line-{self.bn}-to-{self.other}-{self.other_step:08d}-{self.step:08d}.json"


@dataclass(frozen=True)
class Options:
    """The resolution of the line; the defaults of None depend on --fast."""

    points: Annotated[
        int | None, typer.Option(min=7, max=10_003, help="Points along the line: 7, 13, 19, ... (default: 31, or 7 with --fast).")
    ] = None
    images: Annotated[
        int | None,
        typer.Option(min=1, max=2**31, help="Training images, and as many test images (default: 1,000, or 200 with --fast)."),
    ] = None
    bn: BatchNorm = "batch"


def run(folders: Sequence[RunFolder], options: Options, request: Request) -> Iterator[Outcome]:
    """Measure loss and error from the first run to the second, point by point."""
    from resnet_lab.analysis import landscape as measuring

    if len(folders) != 2 or folders[0].path.resolve() == folders[1].path.resolve():
        raise ConfigError("A line goes from one run to another: name two runs, not studies.")
    points = options.points or (measuring.FAST_LINE_POINTS if request.fast else measuring.LINE_POINTS)
    if (points - 1) % 6 != 0:
        raise ConfigError(f"--points {points} leaves out the two networks: give a multiple of 6 plus 1, such as 7, 13 or 31.")
    start, end = request.load(folders)
    start = _deepened(start, end)
    images = options.images or (measuring.FAST if request.fast else measuring.Slice()).images
    updates = measuring.line(start, end.net, end.name, end.step, points=points, images=images, bn=options.bn)
    show_cost(request, start, 2 * points * measuring.point_seconds(start, images, options.bn), 2 * points)
    yield from with_progress(request, start, updates)


def _deepened(start: "Subject", end: "Subject") -> "Subject":
    """The first network, extended to the depth of the second by the identity construction if it is shallower."""
    from resnet_lab.analysis.identity import starting_point

    if start.config.model.family != end.config.model.family:
        raise ConfigError(f"{start.name} and {end.name} have different parameters: choose two runs of the same kind.")
    depth = end.config.model.depth
    if start.config.model.depth >= depth:
        return start
    return dataclasses.replace(start, net=starting_point(start, depth))  # the same function with both types of BN


def table(findings: Findings) -> Table:
    """A row per line: training error at its ends, and the maximum between them."""
    rows = []
    for finding in findings:
        result = finding.result
        if isinstance(result, Line):
            points = zip(result.positions, result.train_errors, strict=True)
            inside = [(error, position) for position, error in points if 0 <= position <= 1]
            highest, position = max(inside)
            rows.append((
                f"{finding.run.name} to {result.other}", f"{result.train_images:,} + {result.test_images:,}", result.bn,
                f"{100 * inside[0][0]:.2f}", f"{100 * highest:.2f} at {position:.2f}", f"{100 * inside[-1][0]:.2f}",
            ))  # fmt: skip
    header = ("line", "images", "BN", "first point", "highest", "last point")
    caption = "Training error in percent at the first and the last point between the two networks, and the highest between them."
    return Table(caption, header, tuple(rows))


def by_ends(findings: Findings) -> dict[str, tuple[Network, Line]]:
    """Lines by the names of their ends and the type of BN."""
    return {
        f"{finding.run.name} to {finding.result.other}, {BN_NAMES[finding.result.bn]}": (finding.network, finding.result)
        for finding in in_order(findings)
        if isinstance(finding.result, Line)
    }


def sentences(findings: Findings) -> Iterator[str]:
    """Whether the training error between the two networks exceeds that of both."""
    for ends, (_, line) in by_ends(findings).items():
        inside = [error for position, error in zip(line.positions, line.train_errors, strict=True) if 0 <= position <= 1]
        barrier = max(inside) - max(inside[0], inside[-1])
        height = f"a barrier of {100 * barrier:.2f} points" if barrier > 0 else "no barrier"
        yield (
            f"{ends}: {height} in training error. On {line.train_images:,} images, with the {BN_NAMES[line.bn]} of BN, it is "
            f"{percent(inside[0])} and {percent(inside[-1])} at the ends and at most {percent(max(inside))} between them."
        )


def figures(findings: Findings, colours: Colours) -> Iterator[Illustration]:
    """One figure of all lines."""
    if lines := by_ends(findings):
        yield Illustration(
            stem="lines",
            title="straight lines between networks",
            description="Loss and error on the line between two networks, at the measured points. Dashed: training. Solid: test.",
            table=table(findings),
            draw=partial(_draw, lines),
        )


def _draw(lines: dict[str, tuple[Network, Line]], layout: Layout) -> "Figure":
    from resnet_lab.analysis import surfaces

    return surfaces.lines(lines, layout)


ANALYSIS = Analysis(
    name="line",
    place=7,
    help="Loss and error on the straight line between two networks; the first is extended by identity blocks if it is shallower.",
    options=Options,
    run=run,
    result=Line,
    heading="Straight lines between networks",
    text=(
        "Loss and error of networks whose parameters lie on the straight line between two networks, and slightly beyond its "
        "ends, with BN as stated. A barrier between two solutions indicates different basins, as far as straight lines can show."
    ),
    table=table,
    figures=figures,
    sentences=sentences,
    takes="two runs",
)
