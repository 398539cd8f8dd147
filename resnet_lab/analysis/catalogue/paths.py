"""Removal of blocks: does the error jump, or rise slowly as in an ensemble?"""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from resnet_lab.analysis.definition import (
    Analysis,
    Findings,
    NoOptions,
    Outcome,
    Request,
    joined,
    mean_over_seeds,
    network_name,
    newest,
)
from resnet_lab.analysis.results import Count, Result, Values, block_names
from resnet_lab.config.model import ModelConfig
from resnet_lab.presentation.blocks import Colours, Illustration, Layout, Network, Table
from resnet_lab.record.lines import Error
from resnet_lab.record.store import RunFolder
from resnet_lab.text import percent, points

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class RemovedBlock(Values):
    """Test error without one block."""

    name: str
    error: Error


class Removal(Values):
    """Test errors with `number` blocks removed, one for each random draw of the blocks."""

    number: Count
    errors: Annotated[tuple[Error, ...], Field(min_length=1)]


class Paths(Result):
    """Test errors of a network with blocks removed."""

    analysis: Literal["paths"] = "paths"
    images: Count
    baseline: Error
    blocks: tuple[RemovedBlock, ...]
    removals: tuple[Removal, ...]

    def fits(self, model: ModelConfig) -> bool:
        """See Result."""
        names = block_names(model)
        numbers = [removal.number for removal in self.removals]
        return [block.name for block in self.blocks] == names and numbers == removal_numbers(len(names))


def removal_numbers(num_blocks: int) -> list[int]:
    """Return how many blocks are removed at random: 1, 2, 3, 4, 6, 8, 12, 16, 24, ... < `num_blocks`.

    The spacing is finest for small numbers, where a residual network's error rises.
    """
    numbers = {1} | {factor * 2**power for factor in (2, 3) for power in range(num_blocks.bit_length())}
    return sorted(number for number in numbers if number < num_blocks)


def run(folders: Sequence[RunFolder], options: NoOptions, request: Request) -> Iterator[Outcome]:
    """Measure each network."""
    from resnet_lab.analysis import paths as measuring

    num_images = measuring.FAST_IMAGES if request.fast else measuring.IMAGES
    num_draws = measuring.FAST_DRAWS if request.fast else measuring.DRAWS
    for subject in request.subjects(folders):
        yield subject.folder, measuring.paths(subject, num_images, num_draws)


def table(findings: Findings) -> Table:
    """A row per network: error with all blocks, without one, and without about half of them."""
    rows = []
    for network, results in newest(findings, Paths).items():
        single = _without_one(results)
        numbers = [removal.number for removal in results[0].removals]
        half = min(numbers, key=lambda number: abs(number - len(single) / 2))
        removals = [removal for result in results for removal in result.removals if removal.number == half]
        draws = [error for removal in removals for error in removal.errors]
        rows.append((
            network_name(network), str(len(results)), joined(result.step for result in results),
            joined(result.images for result in results), f"{100 * statistics.fmean(result.baseline for result in results):.2f}",
            f"{100 * statistics.median(single):.2f}", f"{100 * max(single):.2f} ({single.index(max(single)) + 1})",
            f"{100 * statistics.fmean(draws):.2f} ({half} of {len(single)})",
        ))  # fmt: skip
    header = ("network", "seeds", "step", "images", "all blocks", "median of one", "worst (block)", "half removed")
    caption = (
        "Test error in percent with all blocks, without one block (median and worst), and without about half of the blocks "
        "(mean over draws); means over seeds."
    )
    return Table(caption, header, tuple(rows))


def sentences(findings: Findings) -> Iterator[str]:
    """The test error without one block against that with all, for each network."""
    for network, results in newest(findings, Paths).items():
        baseline, single = statistics.fmean(result.baseline for result in results), statistics.median(_without_one(results))
        yield (
            f"{network_name(network)}: removing one block changes the error on {results[0].images:,} test images from "
            f"{percent(baseline)} to {percent(single)} (median over blocks), by {points(single - baseline)} points."
        )


def figures(findings: Findings, colours: Colours) -> Iterator[Illustration]:
    """One figure of all networks."""
    if results := newest(findings, Paths):
        yield Illustration(
            stem="paths",
            title="networks with blocks removed",
            description="Test error without one block, by block, and against the share of randomly removed blocks.",
            table=table(findings),
            draw=partial(draw, results, colours, findings[0].run.config.data.guess_error),
        )


def draw(results: Mapping[Network, Sequence[Paths]], colours: Colours, guess_error: float, layout: Layout = "wide") -> "Figure":
    """Test error without each block, and against the share of removed blocks, with the range of draws.

    `guess_error` is the error at chance level, a fraction.
    """
    from resnet_lab.presentation import style

    with style.new_panels(layout, 2, 3.6, sharey=True) as (figure, (left, right)):
        style.prepare(left, "without one block", "block")
        style.prepare(right, "without random blocks", "share of blocks removed (%)")
        right.axhline(100 * guess_error, color="0.5", **style.DOTTED)
        for network, members in results.items():
            look = style.line_style(network, colours, 1)
            blocks = _without_one(members)
            left.plot(range(1, len(blocks) + 1), [100 * error for error in blocks], **look)
            baseline = statistics.fmean(result.baseline for result in members)
            left.axhline(100 * baseline, color=colours[network], **style.DOTTED)
            _draw_removals(right, members, baseline, look)
        left.set_ylim(0, 100)
        for axes in (left, right):
            axes.set_ylabel("test error (%)")
        style.legend(figure, results, colours)
    return figure


def _draw_removals(axes: "Axes", results: Sequence[Paths], baseline: float, look: Any) -> None:
    """Draw the mean and the range over draws and seeds."""
    removals = results[0].removals
    errors = [[error for result in results for error in result.removals[index].errors] for index in range(len(removals))]
    shares = [0.0, *(100 * removal.number / len(results[0].blocks) for removal in removals)]
    axes.plot(shares, [100 * baseline, *(100 * statistics.fmean(draws) for draws in errors)], **look)
    low, high = ([100 * baseline, *(100 * extreme(draws) for draws in errors)] for extreme in (min, max))
    axes.fill_between(shares, low, high, color=look["color"], alpha=0.15, linewidth=0)


def _without_one(results: Sequence[Paths]) -> list[float]:
    return mean_over_seeds([[block.error for block in result.blocks] for result in results])


ANALYSIS = Analysis(
    name="paths",
    place=5,
    help="""Test error without each block in turn, and without randomly drawn blocks, on 2,000 images.

    On one core: about two minutes at depth 20, ten at 56.
    """,
    options=NoOptions,
    run=run,
    result=Paths,
    heading="Blocks removed",
    text=(
        "As in Veit et al. 2016: test error without each block in turn (dotted: with all blocks), and without randomly drawn "
        "blocks (dotted: chance). A removed residual block is replaced by its shortcut, a removed plain block by the shortcut of "
        "its residual counterpart, so that both members of a pair lose the same layers."
    ),
    table=table,
    figures=figures,
    sentences=sentences,
)
