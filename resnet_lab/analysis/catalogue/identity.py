"""The identity construction: a deeper network that computes the same function as a trained shallower one."""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from pydantic import Field

from resnet_lab.analysis.definition import Analysis, Findings, Outcome, Request
from resnet_lab.analysis.results import Count, Number, Result, Values
from resnet_lab.config.terms import VARIANTS
from resnet_lab.config.varied import folder_name
from resnet_lab.errors import ConfigError
from resnet_lab.presentation.blocks import Colours, Illustration, Layout, Table
from resnet_lab.record.lines import Error
from resnet_lab.record.store import RunFolder
from resnet_lab.study.differences import MATTERS
from resnet_lab.text import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from resnet_lab.analysis.subject import Subject
    from resnet_lab.record.lines import Event, Record
    from resnet_lab.run.estimate import Forecast

UNTRAINED = "0.35"  # colour of a depth that the study has not trained


class Errors(Values):
    """Clean training error and test error of one network, on the images of the analysis."""

    train: Error
    test: Error


class BatchNoise(Values):
    """The difference between the construction and the shallower network in training mode, where BN uses batch statistics."""

    batches: Count
    rms_difference: Number = Field(description="of the logits, over images and classes")
    rms_logits: Number = Field(description="of the shallower network's logits, for comparison")
    max_difference: Number
    shallow_loss: Number
    constructed_loss: Number


class CurvePoint(Values):
    """Clean errors after `step` steps of training continued from the construction."""

    step: Count
    train: Error
    test: Error


class Continued(Values):
    """Training continued from the construction."""

    steps: Count = Field(description="planned number of steps")
    step: Count = Field(description="steps done so far")
    curve: tuple[CurvePoint, ...]


class Identity(Result):
    """A trained network, a deeper one that computes the same function, and one of that depth trained from scratch."""

    analysis: Literal["identity"] = "identity"
    depth: Count = Field(description="of the construction")
    train_images: Count
    test_images: Count
    max_difference: Number = Field(description="largest absolute difference of a logit, over all images")
    changed_predictions: Count
    shallow: Errors
    constructed: Errors
    scratch: Errors | None = Field(
        description="the same depth and seed trained from scratch for as many steps, if the study has it"
    )
    scratch_step: Count | None
    noise: BatchNoise
    continued: Continued | None = None

    @property
    def from_scratch(self) -> Errors | None:
        """The errors of the network trained from scratch, if it had as many steps as the shallow one; else None."""
        return self.scratch if self.scratch_step == self.step else None

    @property
    def file_name(self) -> str:
        """One file per depth of the construction and step."""
        return f"identity-{self.depth}-{self.step:08d}.json"


@dataclass(frozen=True)
class Options:
    """The depth of the construction, and whether to continue training from it."""

    depth: Annotated[
        int | None, typer.Option(help="Depth of the construction (default: that of each deeper run of the same kind and seed).")
    ] = None
    continue_steps: Annotated[
        int | None, typer.Option(min=1, help="Continue training from the construction for this many steps of the study's recipe.")
    ] = None


def run(folders: Sequence[RunFolder], options: Options, request: Request) -> Iterator[Outcome]:
    """Build and compare every construction; with `continue_steps`, continue training from it."""
    from resnet_lab.analysis import identity as measuring

    num_images = measuring.FAST_IMAGES if request.fast else None
    for folder, depth, scratch_folder in constructions(folders, options.depth):
        shallow = next(request.load([folder]))
        scratch = _from_scratch(shallow, scratch_folder, request) if scratch_folder else None
        if options.continue_steps is not None:
            measuring.continuation(shallow.config, depth, options.continue_steps)  # raises before anything is computed
        request.progress.note(f"{shallow.name} at step {shallow.step:,}, from depth {shallow.config.model.depth} to {depth}")
        saved = measuring.saved(shallow, depth, scratch, num_images)
        result = saved or measuring.with_earlier_training(measuring.identity(shallow, depth, scratch, num_images), shallow)
        yield folder, result
        if options.continue_steps is not None:
            yield folder, _continued(shallow, result, options.continue_steps, request)


def _from_scratch(shallow: "Subject", folder: RunFolder, request: Request) -> "Subject | None":
    """The deeper network at its newest checkpoint; None, with a notice, if it was not trained for as many steps."""
    from resnet_lab.analysis.subject import subjects

    subject = next(subjects([folder], None, request.resources))
    if subject.step == shallow.step:
        return subject
    request.progress.note(
        f"{subject.name} is at step {subject.step:,} and {shallow.name} at {shallow.step:,}: they are not compared."
    )
    return None


def constructions(folders: Sequence[RunFolder], depth: int | None) -> list[tuple[RunFolder, int, RunFolder | None]]:
    """The shallowest run of each study, kind and seed, with each depth to construct and the run of that depth, if any.

    Runs with varied settings are left out if there are others: they have no shallower run.
    """
    groups: dict[tuple[Path, str, str, int], dict[int, RunFolder]] = {}
    configs = {folder: folder.config() for folder in folders}
    base = {folder: config for folder, config in configs.items() if not config.varied}
    for folder, config in (base or configs).items():
        key = folder.path.parent, config.model.family, folder_name(config.varied_settings), config.seed
        groups.setdefault(key, {})[config.model.depth] = folder
    found = []
    for by_depth in groups.values():
        shallowest = min(by_depth)
        depths = [depth] if depth is not None else sorted(set(by_depth) - {shallowest})
        if not depths:
            raise ConfigError(
                f"The construction needs a depth: name a deeper run in addition to {by_depth[shallowest].path}, or give --depth."
            )
        found += [(by_depth[shallowest], deeper, by_depth.get(deeper)) for deeper in depths]
    return found


def _continued(shallow: "Subject", result: Identity, steps: int, request: Request) -> Identity:
    """Continue training from the construction with the study's recipe, resuming an interrupted training."""
    from resnet_lab.analysis import identity as measuring
    from resnet_lab.run.device import set_threads
    from resnet_lab.run.experiment import train_in

    config = measuring.continuation(shallow.config, result.depth, steps)
    folder = measuring.continuation_folder(shallow, result.depth, steps)

    def training(stop: Callable[[], bool]) -> "Iterator[str | Forecast | Record | Event]":
        """Train, yielding updates, until `stop()` is true."""
        threads = set_threads(request.resources.threads)
        start = measuring.starting_point(shallow, result.depth)
        return train_in(folder, config, shallow.data, shallow.device, threads, stop, start)

    request.progress.follow(folder, training)
    return measuring.with_continuation(result, folder)


def table(findings: Findings) -> Table:
    """A row per construction: how exact it is, and its errors."""
    rows = []
    for finding in findings:
        result = finding.result
        if isinstance(result, Identity):
            after = result.continued.curve[-1] if result.continued and result.continued.curve else None
            rows.append((
                f"{finding.run.name} to {result.depth}", f"{result.max_difference:.2g}", str(result.changed_predictions),
                _noise(result.noise), f"{100 * result.shallow.train:.2f}",
                f"{100 * result.constructed.train:.2f}", f"{100 * result.scratch.train:.2f}" if result.scratch else "-",
                f"{100 * after.train:.2f} ({after.step:,})" if after else "-",
            ))  # fmt: skip
    results = [finding.result for finding in findings if isinstance(finding.result, Identity)]
    images = " / ".join(sorted({f"{item.train_images:,} training and {item.test_images:,} test images" for item in results}))
    header = ("construction", "largest difference", "changed", "noise", "shallow", "built", "scratch", "continued")
    return Table(
        f"Largest difference of a logit in evaluation mode, and number of changed predictions, on {images}. Noise: root mean "
        "square difference of the logits in training mode, in percent of that of the logits. The other columns are clean "
        "training errors in percent: the shallow network, the deep one built from it, the deep one trained from scratch, and the "
        "built one after continued training (steps).",
        header,
        tuple(rows),
    )


def _noise(noise: BatchNoise) -> str:
    return f"{100 * noise.rms_difference / noise.rms_logits:.2g} %" if noise.rms_logits else "-"


def by_depths(findings: Findings) -> dict[tuple[int, int], dict[str, list[Identity]]]:
    """The newest constructions of each run, by (shallow depth, deep depth) and by variant."""
    newest = {
        (finding.network[1], finding.result.depth, finding.network[0], finding.run.name): finding.result
        for finding in findings  # in the order of steps
        if isinstance(finding.result, Identity)
    }
    pairs: dict[tuple[int, int], dict[str, list[Identity]]] = {}
    for (shallow, depth, variant, _), result in sorted(
        newest.items(), key=lambda item: (item[0][:2], item[0][2] != "plain", item[0])
    ):
        pairs.setdefault((shallow, depth), {}).setdefault(variant, []).append(result)
    return pairs


def sentences(findings: Findings) -> Iterator[str]:
    """A sentence for each pair of depths and each variant."""
    for (shallow, _), results in by_depths(findings).items():
        for variant, identities in results.items():
            yield _sentence(f"{variant}-{shallow}", variant, identities)


def _sentence(shallow: str, variant: str, identities: Sequence[Identity]) -> str:
    """Whether a deeper network can be as good as the shallow one, and whether SGD found such a network."""
    depth = identities[0].depth
    identities = _paired(identities)
    constructed = statistics.fmean(result.constructed.train for result in identities)
    scratch = [result.from_scratch.train for result in identities if result.from_scratch]
    construction = f"the {variant} network of depth {depth} constructed from {shallow} has {percent(constructed)} training error"
    if not scratch:
        return f"A solution exists: {construction}."
    by_sgd = statistics.fmean(scratch)
    outcome = (
        "A solution exists, but SGD did not find it"
        if by_sgd - constructed > MATTERS
        else "SGD found a solution at least as good"
        if by_sgd <= constructed
        else f"SGD came within {100 * (by_sgd - constructed):.2f} points of the constructed solution"
    )
    return f"{outcome}: {construction}; trained from scratch with the same recipe, {variant}-{depth} has {percent(by_sgd)}."


def _paired(identities: Sequence[Identity]) -> Sequence[Identity]:
    """Those that have a network from scratch to compare with, so that all means are over the same seeds; all if none has."""
    return [result for result in identities if result.from_scratch] or identities


def figures(findings: Findings, colours: Colours) -> Iterator[Illustration]:
    """One figure for each pair of depths."""
    description = (
        "Clean training error of the shallow network, and of the deep one trained from scratch, built by construction, and "
        "after continued training."
    )
    for (shallow, deep), results in by_depths(findings).items():
        yield Illustration(
            stem=f"identity-{shallow}-to-{deep}",
            title=f"from depth {shallow} to {deep} by construction",
            description=description,
            table=table(findings),
            draw=partial(draw, results, colours, shallow),
        )


def draw(results: Mapping[str, Sequence[Identity]], colours: Colours, shallow_depth: int, layout: Layout = "wide") -> "Figure":
    """Clean training error of the shallow network, and of the deep one from scratch, by construction, and trained further.

    `results` are by variant, one per seed: bars are means, dots are seeds. A second row shows continued training, if any.
    """
    from resnet_lab.presentation import style

    variants = [variant for variant in VARIANTS if results.get(variant)]
    has_curves = any(result.continued and result.continued.curve for members in results.values() for result in members)
    with style.new_panels(layout, len(variants), 3.4, rows=2 if has_curves else 1) as (figure, panels):
        rows = [panels[: len(variants)], panels[len(variants) :]]
        for axes, variant in zip(rows[0], variants, strict=True):
            _bars(axes, variant, shallow_depth, results[variant], colours)
        for axes, variant in zip(rows[1], variants if has_curves else [], strict=True):
            _continuation(axes, variant, shallow_depth, results[variant], colours)
        for row in filter(None, rows):
            style.from_zero(row, "clean training error (%)")
        for axes, variant in zip(rows[1], variants if has_curves else [], strict=True):
            style.label_ends(axes, _ends(variant, shallow_depth, results[variant], colours))
    return figure


def _bars(axes: "Axes", variant: str, shallow_depth: int, results: Sequence[Identity], colours: Colours) -> None:
    results = _paired(results)
    depth = results[0].depth
    bars = {
        f"depth {shallow_depth}": [result.shallow.train for result in results],
        f"depth {depth},\nfrom\nscratch": [result.from_scratch.train for result in results if result.from_scratch],
        f"depth {depth},\nbuilt": [result.constructed.train for result in results],
        "built,\nthen\ntrained": [
            result.continued.curve[-1].train for result in results if result.continued and result.continued.curve
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
    for x, (errors, mean) in enumerate(zip(shown.values(), means, strict=True)):
        axes.annotate(f"{mean:.2f}", (x, mean), xytext=(0, 3), textcoords="offset points", ha="center")
        if len(errors) > 1:
            axes.plot([x] * len(errors), errors, "o", color="0.15", markersize=2.5)
    axes.set_xticks(range(len(shown)), shown, fontsize=7)
    axes.set_title(f"{variant} networks")
    axes.margins(y=0.12)


def _continuation(axes: "Axes", variant: str, shallow_depth: int, results: Sequence[Identity], colours: Colours) -> None:
    from resnet_lab.presentation import style

    depth = results[0].depth
    shallow, deep = colours[variant, shallow_depth], colours.get((variant, depth), UNTRAINED)
    style.prepare(axes, f"{variant}-{depth} trained from the construction", "steps since the construction")
    for result in results:
        axes.axhline(100 * result.shallow.train, color=shallow, **style.DOTTED)
        if result.scratch:
            axes.axhline(100 * result.scratch.train, color=deep, **style.DOTTED)
        if result.continued:
            points = [(0, result.constructed.train), *((point.step, point.train) for point in result.continued.curve)]
            look = {"color": deep, "marker": style.marker(variant), "markersize": 3, **style.TRAINING}
            axes.plot([step for step, _ in points], [100 * error for _, error in points], **look)


def _ends(variant: str, shallow_depth: int, results: Sequence[Identity], colours: Colours) -> list[tuple[float, str, str]]:
    shallow, deep = colours[variant, shallow_depth], colours.get((variant, results[0].depth), UNTRAINED)
    ends = [(100 * results[0].shallow.train, f"{variant}-{shallow_depth}", shallow)]
    if results[0].scratch:
        ends.append((100 * results[0].scratch.train, "from scratch", deep))
    if results[0].continued and results[0].continued.curve:
        ends.append((100 * results[0].continued.curve[-1].train, "continued", deep))
    return ends


ANALYSIS = Analysis(
    name="identity",
    place=1,
    help="""Build a deeper network that computes the same function as the shallowest of each kind and seed, and compare it with
    the one that SGD finds.

    Uses all training and test images: about five minutes for CIFAR from depth 20 to 56, on one core. --continue-steps takes as
    long as training; Ctrl-C saves a checkpoint, and the same command resumes.
    """,
    options=Options,
    run=run,
    result=Identity,
    heading="The identity construction",
    text=(
        "The paper argues (Section 1) that a deeper network can be as good as a shallower one: copy its layers, and let the "
        "added layers be the identity. Here this construction is applied to the trained networks of this study. At the end of "
        "each stage, blocks of Dirac kernels are added to a plain network, and blocks with a zero branch to a residual one."
    ),
    table=table,
    figures=figures,
    sentences=sentences,
)
