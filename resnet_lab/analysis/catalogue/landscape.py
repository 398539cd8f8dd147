"""Training loss around networks in random directions."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal, Self

import typer
from pydantic import Field, model_validator

from resnet_lab.analysis.definition import Analysis, Findings, Outcome, Request, in_order, network_name
from resnet_lab.analysis.results import Count, Number, Result, Row
from resnet_lab.errors import ConfigError
from resnet_lab.presentation.blocks import Colours, Illustration, Layout, Network, Table
from resnet_lab.record.lines import Error
from resnet_lab.record.store import RunFolder
from resnet_lab.text import duration

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from resnet_lab.analysis.subject import Subject

BN_NAMES = {"moving": "moving averages", "batch": "batch statistics"}
BatchNorm = Annotated[
    Literal["moving", "batch"],
    typer.Option("--bn", help="BN with the moving averages, or with the statistics of each batch of 250 images."),
]
Slices = dict[str, tuple[Network, "Landscape"]]  # by run


class Landscape(Result):
    """Training loss and error on a slice around a network, one row for each coordinate along the second direction."""

    analysis: Literal["landscape"] = "landscape"
    dims: Annotated[int, Field(ge=1, le=2)]
    bn: Literal["moving", "batch"]
    seed: Count
    images: Count
    coordinates: Annotated[tuple[Number, ...], Field(min_length=2)]
    losses: tuple[Row, ...] = Field(description="None where a loss is not finite")
    errors: tuple[tuple[Error, ...], ...]

    @model_validator(mode="after")
    def _one_value_per_point(self) -> Self:
        points = len(self.coordinates)
        rows = points if self.dims == 2 else 1
        for values in (self.losses, self.errors):
            if not points or [len(row) for row in values] != [points] * rows:
                raise ValueError("losses and errors need one value per point")
        return self

    @property
    def file_name(self) -> str:
        """One file per number of directions, type of BN and step."""
        return f"landscape-{self.dims}d-{self.bn}-{self.step:08d}.json"

    @property
    def centre(self) -> float | None:
        """The loss of the network itself; None if it is not finite, or if an even number of points has left it out."""
        middle = len(self.coordinates) // 2
        return self.losses[middle if self.dims == 2 else 0][middle] if len(self.coordinates) % 2 else None


@dataclass(frozen=True)
class Options:
    """The settings of a slice; the defaults of None depend on --fast."""

    dims: Annotated[int, typer.Option(min=1, max=2, help="Number of directions.")] = 2
    points: Annotated[
        int | None,
        typer.Option(min=3, max=1001, help="Points along each direction, an odd number (default: 21; 9 with --fast)."),
    ] = None
    reach: Annotated[float, typer.Option(min=0.01, max=1e6, help="Largest displacement, in norms of the network's filters.")] = (
        1.0
    )
    images: Annotated[
        int | None, typer.Option(min=1, max=2**31, help="Training images (default: 1,000, or 200 with --fast).")
    ] = None
    bn: BatchNorm = "moving"
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of the directions.")] = 0


def run(folders: Sequence[RunFolder], options: Options, request: Request) -> Iterator[Outcome]:
    """Measure the loss around each network, point by point."""
    from resnet_lab.analysis import landscape as measuring

    default = measuring.FAST if request.fast else measuring.Slice()
    points, images = options.points or default.points, options.images or default.images
    if points % 2 == 0:
        raise ConfigError(f"--points {points} leaves out the network itself, at the centre: give an odd number.")
    settings = measuring.Slice(options.dims, points, options.reach, images, options.bn, options.seed)
    num_points = points**options.dims
    for subject in request.load(folders):
        show_cost(request, subject, num_points * measuring.point_seconds(subject, images, options.bn), num_points)
        yield from with_progress(request, subject, measuring.landscape(subject, settings))


def show_cost(request: Request, subject: "Subject", seconds: float, points: int) -> None:
    """Show the number of points and the expected time."""
    request.progress.note(f"{subject.name} at step {subject.step:,}: {points:,} points, about {duration(seconds)}.")


def with_progress(
    request: Request, subject: "Subject", updates: Iterator[tuple[int, int] | Result]
) -> Iterator[tuple[RunFolder, Result]]:
    """Yield the result among the updates, showing the progress after each tenth of the points."""
    for update in updates:
        if isinstance(update, Result):
            yield subject.folder, update
            continue
        done, number = update
        if done * 10 // number > (done - 1) * 10 // number:
            request.progress.note(f"{done:,} of {number:,} points")


def table(findings: Findings) -> Table:
    """A row per slice: the loss at the centre, its median and its maximum."""
    rows = []
    for finding in findings:
        result = finding.result
        if isinstance(result, Landscape):
            reach, losses = max(result.coordinates), [loss for row in result.losses for loss in row]
            finite = [loss for loss in losses if loss is not None]
            rows.append((
                finding.run.name, f"{result.step:,}", f"{len(losses)} in {result.dims}-D", f"{reach:g}", f"{result.images:,}",
                result.bn,
                "-" if result.centre is None else f"{result.centre:.3g}", f"{statistics.median(finite):.3g}" if finite else "-",
                f"{max(finite):.3g}" if finite else "-",
            ))  # fmt: skip
    header = ("run", "step", "points", "reach", "images", "BN", "middle", "median", "highest")
    return Table("Training loss on slices around networks; reach in filter norms.", header, tuple(rows))


def newest_slices(findings: Findings) -> dict[tuple[int, str], Slices]:
    """The newest slices by (number of directions, type of BN) and by run, in display order."""
    slices: dict[tuple[int, str], Slices] = {}
    for finding in in_order(findings):
        result = finding.result
        if isinstance(result, Landscape):
            slices.setdefault((result.dims, result.bn), {})[finding.run.name] = (finding.network, result)
    return dict(sorted(slices.items()))


def sentences(findings: Findings) -> Iterator[str]:
    """The loss at each network and the median on the slice around it, means over seeds."""
    for (dims, bn), slices in newest_slices(findings).items():
        for network, results in by_network(slices).items():
            measured = [(middle, median) for middle, median in map(_middle_and_median, results.values()) if middle is not None]
            if measured:
                middle, median = (statistics.fmean(values) for values in zip(*measured, strict=True))
                seeds = "" if len(measured) == 1 else f", means over {len(measured)} seeds"
                yield (
                    f"{network_name(network)}, {dims}-D slice, BN with {BN_NAMES[bn]}: the loss is {middle:.3g} at the network, "
                    f"and its median over the slice is {median:.3g}{seeds}."
                )


def by_network(slices: Slices) -> dict[Network, dict[str, "Landscape"]]:
    """The slices by network and by run, in the same order."""
    networks: dict[Network, dict[str, Landscape]] = {}
    for name, (network, result) in slices.items():
        networks.setdefault(network, {})[name] = result
    return networks


def _middle_and_median(result: "Landscape") -> tuple[float | None, float]:
    """The loss at the network, see `Landscape.centre`, and the median of the finite losses."""
    finite = [loss for row in result.losses for loss in row if loss is not None]
    return result.centre, statistics.median(finite) if finite else float("nan")


def figures(findings: Findings, colours: Colours) -> Iterator[Illustration]:
    """Curves for slices in one direction; contours for slices in two, around the first run of each network."""
    for (dims, bn), slices in newest_slices(findings).items():
        planes = dict(next(iter(results.items())) for results in by_network(slices).values())
        some = dims == 2 and len(planes) < len(slices)
        what = "along one direction" if dims == 1 else "as contours"
        runs = "the first run of each network" if some else "every network"
        yield Illustration(
            stem=f"landscape-{dims}d-{bn}",
            title=f"training loss around the networks, {BN_NAMES[bn]}" + (", one run each" if some else ""),
            description=f"Training loss around {runs}, {what}, on a common scale.",
            table=table(findings),
            draw=partial(_draw_slices, slices, colours) if dims == 1 else partial(_draw_contours, planes),
            is_map=dims == 2,
        )


def _draw_slices(slices: Slices, colours: Colours, layout: Layout) -> "Figure":
    from resnet_lab.analysis import surfaces

    return surfaces.slices(slices, colours, layout)


def _draw_contours(planes: Mapping[str, Landscape], layout: Layout) -> "Figure":
    from resnet_lab.analysis import surfaces

    return surfaces.contours(planes, layout)


ANALYSIS = Analysis(
    name="landscape",
    place=6,
    help="""Training loss around each network in random directions; shows the expected time first.

    Ctrl-C loses nothing: run the same command to resume.
    """,
    options=Options,
    run=run,
    result=Landscape,
    heading="The loss surface",
    text=(
        "Training loss around the trained networks in random directions, scaled filter by filter to the norms of the network's "
        "weights (Li et al. 2018). Networks with the same shapes share the same random draw. Two of hundreds of "
        "thousands of directions give only a glimpse of the surface; they do not show where its minima lie."
    ),
    table=table,
    figures=figures,
    sentences=sentences,
)
