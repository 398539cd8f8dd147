"""Training loss around networks along random directions."""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from pydantic import Field

from resnet_lab.analysis.definition import Analysis, Findings, Outcome, Request, in_order
from resnet_lab.analysis.results import Result, Row
from resnet_lab.presentation.blocks import Colours, Illustration, Network, Table
from resnet_lab.record.store import RunFolder
from resnet_lab.text import duration

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from resnet_lab.analysis.subject import Subject

BN_NAMES = {"moving": "moving averages", "batch": "batch statistics"}
BatchNorm = Annotated[
    Literal["moving", "batch"],
    typer.Option("--bn", help="BN by the moving averages, or by the statistics of each batch of 250 images."),
]
Slices = dict[str, tuple[Network, "Landscape"]]  # by run


class Landscape(Result):
    """Training loss and error on a slice around a network, a row for each place along the second direction."""

    analysis: Literal["landscape"] = "landscape"
    dims: int
    bn: Literal["moving", "batch"]
    seed: int
    images: int
    coordinates: tuple[float, ...]
    losses: tuple[Row, ...] = Field(description="None where a loss is not finite")
    errors: tuple[tuple[float, ...], ...]

    @property
    def file_name(self) -> str:
        """One for each number of directions and way of BN."""
        return f"landscape-{self.dims}d-{self.bn}-{self.step:08d}.json"


@dataclass(frozen=True)
class Options:
    """Which slice; what is None depends on --fast."""

    dims: Annotated[int, typer.Option(min=1, max=2, help="Directions.")] = 2
    points: Annotated[int | None, typer.Option(min=3, help="Points along each direction (default: 21, or 9 with --fast).")] = None
    reach: Annotated[float, typer.Option(min=0.01, help="How far, in norms of the network's filters.")] = 1.0
    images: Annotated[int | None, typer.Option(min=1, help="Training images (default: 1,000, or 200 with --fast).")] = None
    bn: BatchNorm = "moving"
    seed: Annotated[int, typer.Option(min=0, help="Seed of the directions.")] = 0


def run(folders: Sequence[RunFolder], options: Options, request: Request) -> Iterator[Outcome]:
    """Measure the loss around each network, point by point."""
    from resnet_lab.analysis import landscape as measuring

    default = measuring.FAST if request.fast else measuring.Slice()
    points, images = options.points or default.points, options.images or default.images
    what = measuring.Slice(options.dims, points, options.reach, images, options.bn, options.seed)
    number = points**options.dims
    for subject in request.load(folders):
        tell_cost(request, subject, number * measuring.point_seconds(subject, images, options.bn), number)
        yield from followed(request, subject, measuring.landscape(subject, what))


def tell_cost(request: Request, subject: "Subject", seconds: float, points: int) -> None:
    """Say how long so many points will take."""
    request.progress.note(f"{subject.name} at step {subject.step:,}: {points:,} points, about {duration(seconds)}.")


def followed(
    request: Request, subject: "Subject", measuring: Iterator[tuple[int, int] | Result]
) -> Iterator[tuple[RunFolder, Result]]:
    """The result; on the way there a line at each tenth of the points."""
    for said in measuring:
        if isinstance(said, Result):
            yield subject.folder, said
            continue
        done, number = said
        if done * 10 // number > (done - 1) * 10 // number:
            request.progress.note(f"{done:,} of {number:,} points")


def table(found: Findings) -> Table:
    """A row a slice: the loss in the middle, and how it rises from there."""
    rows = []
    for each in found:
        result = each.result
        if isinstance(result, Landscape):
            reach, losses = max(result.coordinates), [loss for row in result.losses for loss in row]
            finite = [loss for loss in losses if loss is not None]
            middle = losses[len(losses) // 2]
            rows.append((
                each.run.name, f"{result.step:,}", f"{len(losses)} in {result.dims}-D", f"{reach:g}", f"{result.images:,}",
                result.bn, "-" if middle is None else f"{middle:.3g}", f"{statistics.median(finite):.3g}" if finite else "-",
                f"{max(finite):.3g}" if finite else "-",
            ))  # fmt: skip
    header = ("run", "step", "points", "reach", "images", "BN", "middle", "median", "highest")
    return Table("Training loss on slices around networks, reach in filter norms.", header, tuple(rows))


def newest_slices(found: Findings) -> dict[tuple[int, str], Slices]:
    """The newest slices by dimensions and way of BN, and by run, plain first."""
    slices: dict[tuple[int, str], Slices] = {}
    for each in in_order(found):
        if isinstance(each.result, Landscape):
            slices.setdefault((each.result.dims, each.result.bn), {})[each.run.name] = (each.network, each.result)
    return dict(sorted(slices.items()))


def figures(found: Findings, colours: Colours) -> Iterator[Illustration]:
    """Curves for slices along one direction; contours and surfaces for those along two."""
    for (dims, bn), slices in newest_slices(found).items():
        stem, illustration = f"landscape-{dims}d-{bn}", partial(_illustration, bn, table(found))
        if dims == 1:
            yield illustration(stem, "along one direction", partial(_draw_slices, slices, colours))
        else:
            planes = {name: result for name, (_, result) in slices.items()}
            yield illustration(stem, "as contours", partial(_draw_contours, planes))
            yield illustration(f"{stem}-surface", "as surfaces", partial(_draw_surfaces, planes))


def _illustration(bn: str, numbers: Table, stem: str, form: str, draw: "Callable[[], Figure]") -> Illustration:
    title = f"training loss around the networks, {BN_NAMES[bn]}"
    return Illustration(stem, title, f"Training loss around every network, {form}, on one scale.", numbers, draw)


def _draw_slices(slices: Slices, colours: Colours) -> "Figure":
    from resnet_lab.analysis import surfaces

    return surfaces.slices(slices, colours)


def _draw_contours(planes: Mapping[str, Landscape]) -> "Figure":
    from resnet_lab.analysis import surfaces

    return surfaces.contours(planes)


def _draw_surfaces(planes: Mapping[str, Landscape]) -> "Figure":
    from resnet_lab.analysis import surfaces

    return surfaces.surfaces(planes)


ANALYSIS = Analysis(
    name="landscape",
    place=5,
    help="""Training loss around each network along random directions; the cost is measured and said first.

    Ctrl-C loses nothing: the same command goes on.
    """,
    options=Options,
    run=run,
    result=Landscape,
    heading="The loss surface",
    text=(
        "Training loss around the trained networks along random directions, scaled filter by filter to the network's own weights "
        "(Li et al. 2018). Networks with the same shapes share the drawn directions. Two directions of many thousands show how "
        "rough a surface is, and not where minima lie."
    ),
    table=table,
    figures=figures,
)
