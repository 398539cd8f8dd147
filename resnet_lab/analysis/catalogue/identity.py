"""The solution exists: a deeper network that computes what a trained shallower one does, beside training from scratch."""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from pydantic import Field

from resnet_lab.analysis.definition import Analysis, Findings, Outcome, Request
from resnet_lab.analysis.results import Result, Values
from resnet_lab.config.terms import VARIANTS
from resnet_lab.errors import ConfigError
from resnet_lab.presentation.blocks import Colours, Illustration, Table
from resnet_lab.record.store import RunFolder
from resnet_lab.study.differences import MATTERS
from resnet_lab.text import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from resnet_lab.analysis.subject import Subject
    from resnet_lab.record.lines import Event, Record
    from resnet_lab.run.estimate import Forecast

UNTRAINED = "0.35"  # the colour of a depth that the study has not trained


class Errors(Values):
    """Clean training error and test error of one network on the images of the analysis."""

    train: float
    test: float


class BatchNoise(Values):
    """How far the construction is from the shallower network in training mode, where batches normalise themselves."""

    batches: int
    rms_difference: float = Field(description="of the logits, over images and classes")
    rms_logits: float = Field(description="of the shallower network's logits, for comparison")
    max_difference: float
    shallow_loss: float
    constructed_loss: float


class CurvePoint(Values):
    """Clean errors of the construction after so many further steps."""

    step: int
    train: float
    test: float


class Continued(Values):
    """Training that went on from the construction."""

    steps: int = Field(description="steps that it was to take")
    step: int = Field(description="steps that it has taken")
    curve: tuple[CurvePoint, ...]


class Identity(Result):
    """The deeper counterpart of a trained network that computes the same function, beside training from scratch."""

    analysis: Literal["identity"] = "identity"
    depth: int = Field(description="of the construction")
    train_images: int
    test_images: int
    max_difference: float = Field(description="largest absolute difference of a logit, over all images")
    changed_predictions: int
    shallow: Errors
    constructed: Errors
    scratch: Errors | None = Field(description="the same depth and seed trained by SGD, if the study has it")
    scratch_step: int | None
    noise: BatchNoise
    continued: Continued | None = None

    @property
    def file_name(self) -> str:
        """One for each depth that is constructed."""
        return f"identity-{self.depth}-{self.step:08d}.json"


@dataclass(frozen=True)
class Options:
    """Which construction, and whether to train on from it."""

    depth: Annotated[
        int | None, typer.Option(help="Depth of the construction (default: those of the deeper runs of the same kind and seed).")
    ] = None
    continue_steps: Annotated[
        int | None, typer.Option(min=1, help="Train on from the construction for so many steps of the study's recipe.")
    ] = None


def run(folders: Sequence[RunFolder], options: Options, request: Request) -> Iterator[Outcome]:
    """Build every construction and compare it; with `continue_steps` train on from it."""
    from resnet_lab.analysis import identity as measuring

    num_images = measuring.FAST_IMAGES if request.fast else None
    for folder, depth, scratch_folder in _constructions(folders, options.depth):
        shallow = next(request.load([folder]))
        scratch = next(_newest(request, scratch_folder)) if scratch_folder else None
        if options.continue_steps is not None:
            measuring.continuation(shallow.config, depth, options.continue_steps)  # refused before anything is computed
        request.progress.note(f"{shallow.name} at step {shallow.step:,}, from depth {shallow.config.model.depth} to {depth}")
        kept = measuring.kept(shallow, depth, scratch, num_images)
        result = kept or measuring.identity(shallow, depth, scratch, num_images)
        yield folder, result
        if options.continue_steps is not None:
            yield folder, _trained_on(shallow, result, options.continue_steps, request)


def _newest(request: Request, folder: RunFolder) -> "Iterator[Subject]":
    """The trained network of a run at its newest checkpoint, whichever is requested."""
    from resnet_lab.analysis.subject import subjects

    return subjects([folder], None, request.resources)


def _constructions(folders: Sequence[RunFolder], depth: int | None) -> list[tuple[RunFolder, int, RunFolder | None]]:
    """The shallowest run of each study, kind and seed, each depth to construct, and the run of that depth if there is one."""
    groups: dict[tuple[Path, str, int], dict[int, RunFolder]] = {}
    for folder in folders:
        config = folder.config()
        groups.setdefault((folder.path.parent, config.model.family, config.seed), {})[config.model.depth] = folder
    found = []
    for by_depth in groups.values():
        shallowest = min(by_depth)
        deeper = [depth] if depth is not None else sorted(set(by_depth) - {shallowest})
        if not deeper:
            raise ConfigError(
                f"The construction needs a depth: name a deeper run beside {by_depth[shallowest].path}, or give --depth."
            )
        found += [(by_depth[shallowest], each, by_depth.get(each)) for each in deeper]
    return found


def _trained_on(shallow: "Subject", result: Identity, steps: int, request: Request) -> Identity:
    """Train on from the construction with the study's recipe; called again, it goes on where it stopped."""
    from resnet_lab.analysis import identity as measuring
    from resnet_lab.run.device import set_threads
    from resnet_lab.run.experiment import train_in

    config = measuring.continuation(shallow.config, result.depth, steps)
    folder = measuring.continuation_folder(shallow, result.depth, steps)

    def training(stop: Callable[[], bool]) -> "Iterator[str | Forecast | Record | Event]":
        """The records of the training, until it is asked to stop."""
        threads = set_threads(request.resources.threads)
        start = measuring.starting_point(shallow, result.depth)
        return train_in(folder, config, shallow.data, shallow.device, threads, stop, start)

    request.progress.follow(folder, training)
    return measuring.with_continuation(result, folder)


def table(found: Findings) -> Table:
    """A row a construction, its errors and how exact it is."""
    rows = []
    for each in found:
        result = each.result
        if isinstance(result, Identity):
            after = result.continued.curve[-1] if result.continued and result.continued.curve else None
            rows.append((
                f"{each.run.name} to {result.depth}", f"{result.max_difference:.2g}", str(result.changed_predictions),
                f"{100 * result.noise.rms_difference / result.noise.rms_logits:.2g} %", f"{100 * result.shallow.train:.2f}",
                f"{100 * result.constructed.train:.2f}", f"{100 * result.scratch.train:.2f}" if result.scratch else "-",
                f"{100 * after.train:.2f} ({after.step:,})" if after else "-",
            ))  # fmt: skip
    results = [each.result for each in found if isinstance(each.result, Identity)]
    images = " / ".join(sorted({f"{each.train_images:,} training and {each.test_images:,} test images" for each in results}))
    header = ("construction", "largest difference", "changed", "noise", "shallow", "built", "scratch", "trained on")
    return Table(
        f"Largest difference of a logit in evaluation mode, and predictions changed, on {images}. Noise: root mean square "
        "difference of the logits in training mode, in percent of theirs. Then clean training error in percent: the shallow "
        "network, the deep one built from it, the deep one from scratch, the built one trained on for so many steps.",
        header,
        tuple(rows),
    )


def by_depths(found: Findings) -> dict[tuple[int, int], dict[str, list[Identity]]]:
    """Each run's newest constructions by shallow and deep depth, and by variant."""
    newest = {
        (each.network[1], each.result.depth, each.network[0], each.run.name): each.result
        for each in found  # in the order of steps
        if isinstance(each.result, Identity)
    }
    pairs: dict[tuple[int, int], dict[str, list[Identity]]] = {}
    for (shallow, depth, variant, _), result in sorted(
        newest.items(), key=lambda item: (item[0][:2], item[0][2] != "plain", item[0])
    ):
        pairs.setdefault((shallow, depth), {}).setdefault(variant, []).append(result)
    return pairs


def sentences(found: Findings) -> Iterator[str]:
    """The answer for each pair of depths and each variant."""
    for (shallow, _), results in by_depths(found).items():
        for variant, identities in results.items():
            yield _answer(f"{variant}-{shallow}", variant, identities)


def _answer(shallow: str, variant: str, identities: Sequence[Identity]) -> str:
    """Whether the solution exists, and whether SGD found it."""
    depth = identities[0].depth
    constructed = statistics.fmean(each.constructed.train for each in identities)
    scratch = [each.scratch.train for each in identities if each.scratch]
    built = f"{shallow} gives a {variant} network of depth {depth} with {percent(constructed)} training error"
    if not scratch:
        return f"The solution exists: {built}."
    by_sgd = statistics.fmean(scratch)
    found = (
        "The solution exists, and SGD did not find it"
        if by_sgd - constructed > MATTERS
        else "SGD found a solution at least as good"
        if by_sgd <= constructed
        else f"SGD came within {100 * (by_sgd - constructed):.2f} points of the solution that exists"
    )
    return f"{found}: {built}; trained from scratch by the same recipe, {variant}-{depth} has {percent(by_sgd)}."


def figures(found: Findings, colours: Colours) -> Iterator[Illustration]:
    """One for each pair of depths."""
    description = "Clean training error of the shallow network, the deep one from scratch, by construction, and trained on."
    for (shallow, deep), results in by_depths(found).items():
        yield Illustration(
            stem=f"identity-{shallow}-to-{deep}",
            title=f"from depth {shallow} to {deep} by construction",
            description=description,
            table=table(found),
            draw=partial(draw, results, colours, shallow),
        )


def draw(results: Mapping[str, Sequence[Identity]], colours: Colours, shallow_depth: int) -> "Figure":
    """Clean training error of shallow, deep from scratch, deep by construction, and that trained on; plain and residual.

    `results` are by variant, over seeds: bars are means and dots are seeds. Where training went on, a second row follows it.
    """
    from resnet_lab.presentation import style

    variants = [variant for variant in VARIANTS if results.get(variant)]
    goes_on = any(each.continued and each.continued.curve for members in results.values() for each in members)
    with style.new_figure(max(8, 3.6 * len(variants)), 6.2 if goes_on else 3.4) as figure:
        rows = figure.subplots(2 if goes_on else 1, len(variants), squeeze=False, sharey="row")
        for column, variant in enumerate(variants):
            _bars(rows[0][column], variant, shallow_depth, results[variant], colours)
            if goes_on:
                _continuation(rows[1][column], variant, shallow_depth, results[variant], colours)
        for row in rows:
            row[0].set_ylabel("clean training error (%)")
    return figure


def _bars(axes: "Axes", variant: str, shallow_depth: int, results: Sequence[Identity], colours: Colours) -> None:
    depth = results[0].depth
    bars = {
        f"{variant}-{shallow_depth}": [each.shallow.train for each in results],
        f"{variant}-{depth}\nfrom scratch": [each.scratch.train for each in results if each.scratch],
        f"{variant}-{depth}\nbuilt": [each.constructed.train for each in results],
        "built, then\ntrained on": [
            each.continued.curve[-1].train for each in results if each.continued and each.continued.curve
        ],
    }
    shown = {name: [100 * error for error in errors] for name, errors in bars.items() if errors}
    faces = [colours[variant, shallow_depth]] + [colours.get((variant, depth), UNTRAINED)] * (len(shown) - 1)
    means = [statistics.fmean(errors) for errors in shown.values()]
    axes.bar(
        range(len(shown)),
        means,
        width=0.6,
        color=faces,
        hatch=["//" if "built" in name else "" for name in shown],
        edgecolor="white",
    )
    for place, (errors, mean) in enumerate(zip(shown.values(), means, strict=True)):
        axes.annotate(f"{mean:.2f}", (place, mean), xytext=(0, 3), textcoords="offset points", ha="center")
        if len(errors) > 1:
            axes.plot([place] * len(errors), errors, "o", color="0.15", markersize=2.5)
    axes.set_xticks(range(len(shown)), shown, fontsize=7.5)
    axes.set_title(f"{variant} networks")
    axes.margins(y=0.12)


def _continuation(axes: "Axes", variant: str, shallow_depth: int, results: Sequence[Identity], colours: Colours) -> None:
    from resnet_lab.presentation import style

    depth = results[0].depth
    shallow, deep = colours[variant, shallow_depth], colours.get((variant, depth), UNTRAINED)
    style.prepare(axes, f"{variant}-{depth} trained on from the construction", "steps since the construction")
    for each in results:
        axes.axhline(100 * each.shallow.train, color=shallow, linewidth=1, linestyle=(0, (1, 1.5)))
        if each.scratch:
            axes.axhline(100 * each.scratch.train, color=deep, linewidth=1, linestyle=(0, (3, 1.5)))
        if each.continued:
            points = [(0, each.constructed.train), *((point.step, point.train) for point in each.continued.curve)]
            axes.plot([step for step, _ in points], [100 * error for _, error in points], "o-", color=deep, markersize=3)
    ends = [(100 * results[0].shallow.train, f"{variant}-{shallow_depth}", shallow)]
    if results[0].scratch:
        ends.append((100 * results[0].scratch.train, "from scratch", deep))
    if results[0].continued and results[0].continued.curve:
        ends.append((100 * results[0].continued.curve[-1].train, "trained on", deep))
    style.label_ends(axes, ends)


ANALYSIS = Analysis(
    name="identity",
    place=1,
    help="""Build the deeper network that computes what the shallowest of each kind and seed does, and compare it with SGD's.

    All training and test images: for CIFAR about five minutes from depth 20 to 56, on a core. With --continue-steps as long as
    training takes; Ctrl-C saves a checkpoint, and the same command goes on.
    """,
    options=Options,
    run=run,
    result=Identity,
    heading="The identity construction",
    text=(
        "The existence argument of the paper's Section 1: a deeper network can copy the shallower one and let the added layers "
        "be the identity. Here it is carried out on the trained networks of this study: at the end of each stage, blocks of "
        "Dirac kernels are added to a plain network, blocks with a zero branch to a residual one."
    ),
    table=table,
    figures=figures,
    sentences=sentences,
)
