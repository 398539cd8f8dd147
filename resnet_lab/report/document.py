"""The report of a study as a document: sections of text, tables and figures, which HTML and Markdown both render."""

import json
import shlex
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from resnet_lab.config import paper
from resnet_lab.config.files import StudyConfig, load_study, presets
from resnet_lab.config.schema import RunConfig, differences
from resnet_lab.config.settings import flatten
from resnet_lab.presentation.blocks import Block, Bullets, Document, Picture, Section, Table, Text
from resnet_lab.record.store import Run
from resnet_lab.report import figures
from resnet_lab.report.tables import difference_table, error_table, spread
from resnet_lab.study.compare import Comparison
from resnet_lab.study.differences import MATTERS
from resnet_lab.study.digest import mark
from resnet_lab.study.published import NUMBERS
from resnet_lab.text import duration

FEW_STEPS = 10_000


def build(
    comparison: Comparison, pictures: Mapping[str, Picture], reasons: Section | None = None, verified: str | None = None
) -> Document:
    """The report of a study; everything in it comes from the study's files. `pictures` are by stem.

    `reasons` is the section on its analyses, if there are any; `verified` the day on which `verify` passed these records.
    """
    sections = [_verdict(comparison), _curves(pictures), _errors(comparison, pictures)]
    if comparison.differences:
        sections.append(_differences(comparison))
    if reasons is not None:
        sections.append(reasons)
    if comparison.cells:
        sections.append(_published(comparison))
    if comparison.runs:
        runs = comparison.runs
        sections += [
            _recipe(runs),
            _departures(runs),
            _environment(runs, verified),
            Section("Learning rate and speed", (pictures["traces"],)),
            _runs(runs),
            _events(runs),
        ]
    title = f"Plain and residual networks: {comparison.study}"
    return Document(title, _notices(comparison), tuple(sections), mark(comparison.records_digest))


def _notices(comparison: Comparison) -> tuple[str, ...]:
    notices = []
    if comparison.stand_in:
        notices.append(
            f"{figures.STAND_IN_NOTICE}. These networks were trained on procedurally generated shapes; nothing here is a result "
            "on CIFAR-10. `resnet-lab data --download` fetches the real images."
        )
    steps = max((run.config.recipe.steps for run in comparison.runs), default=0)
    if 0 < steps < FEW_STEPS:
        papers = paper.recipe_for(comparison.runs[0].config).steps
        notices.append(
            f"These networks were trained for {steps:,} steps, not the paper's {papers:,}: they show how far SGD gets in that "
            "time, and not what the networks converge to."
        )
    return tuple(notices)


def _verdict(comparison: Comparison) -> Section:
    blocks: list[Block] = [Text(sentence, leads=True) for sentence in comparison.verdict]
    if comparison.gaps:
        blocks.append(
            Text(
                "Degradation means that the deepest network of a kind has a higher clean training error at its last evaluation "
                f"than the shallowest. From three seeds on the 95 % interval decides: above zero, or below {100 * MATTERS:g} "
                f"points. One or two seeds show it where every difference is above {100 * MATTERS:g} points, and do not where "
                "none is outside twice its binomial standard error."
            )
        )
    if comparison.missing:
        blocks.append(Bullets(comparison.missing))
    return Section("Verdict", tuple(blocks))


def _curves(pictures: Mapping[str, Picture]) -> Section:
    blocks: list[Block] = [
        pictures["curves"],
        Text(
            "As in Figure 6 of He et al. 2015. Dashed: training error as trained, on augmented images in train mode, averaged "
            "since the last record, and over neighbouring records where there are many. Bold: test error in evaluation mode. "
            "Over several seeds the line is their mean at the steps that all of them have recorded, and the band goes from the "
            "lowest to the highest. Dotted: a drop of the lr. The points are in the study's curves.csv."
        ),
    ]
    if "degradation" in pictures:
        blocks += [
            pictures["degradation"],
            Text("As in Figure 1 of He et al. 2015. Were the deeper network overfitting, its training error would be lower."),
        ]
    return Section("Curves", tuple(blocks))


def _errors(comparison: Comparison, pictures: Mapping[str, Picture]) -> Section:
    if not comparison.cells:
        return Section("Errors", (Text("No run has finished yet."),))
    images = sorted({cell.train_images for cell in comparison.cells})
    number = " or ".join(f"{count:,}" for count in images)
    note = f"Clean training error: evaluation mode, no augmentation, on {number} training images."
    chance = [name for cell in comparison.cells for name in cell.at_chance]
    sentences = [Text(note)]
    if chance:
        sentences.append(Text(f"At chance level, as if nothing had been learnt: {', '.join(chance)}."))
    return Section("Errors", (error_table(comparison), pictures["depth"], *sentences))


def _differences(comparison: Comparison) -> Section:
    unmatched = (Bullets(comparison.unmatched),) if comparison.unmatched else ()
    return Section("Paired differences", (difference_table(comparison), *unmatched))


def _published(comparison: Comparison) -> Section:
    """Published numbers beside ours where the recipe is the paper's, and why not where it is not."""
    depths = figures.published_depths(comparison)
    if not depths:
        return Section(
            "Paper against ours",
            (Text("Published numbers stand here only beside runs of the paper's recipe at depths that were published."),),
        )
    ours = {(cell.variant, cell.depth): cell for cell in comparison.cells}
    rows = tuple(
        (
            f"{number.variant}-{number.depth}",
            number.source,
            f"{number.test_error:.2f}",
            "-" if number.train_error is None else f"{number.train_error:.2f}",
            spread(ours[number.variant, number.depth].test_error),
            spread(ours[number.variant, number.depth].train_error),
        )
        for number in NUMBERS
        if (number.variant, number.depth) in ours
    )
    caption = (
        "Error in percent. Published training errors were measured by each source in its own way; ours is the clean one, of the "
        "last evaluation. No source has plain networks over several seeds."
    )
    header = ("network", "source", "test, published", "training, published", "test, here", "training, here")
    return Section("Paper against ours", (Table(caption, header, rows),))


def _recipe(runs: Sequence[Run]) -> Section:
    settings = runs[0].config.shared_settings()
    rows = tuple((key, _plain(value)) for key, value in flatten(settings))
    return Section("Recipe", (Table("Settings that all runs share; durations are steps.", ("setting", "value"), rows),))


def _departures(runs: Sequence[Run]) -> Section:
    found = dict.fromkeys(sentence for run in runs for sentence in paper.departures(run.config))
    recipe = paper.recipe_for(runs[0].config)
    source = f"He et al. 2015, {recipe.section}"
    blocks: list[Block] = [Text(f"Where these runs differ from the recipe of {source}:")] if found else []
    blocks.append(Bullets(tuple(found)) if found else Text(f"The settings are those of {source}."))
    blocks += [Text("In every run of this tool:"), Bullets(paper.always(runs[0].config))]
    return Section("Departures from the paper", tuple(blocks))


def _environment(runs: Sequence[Run], verified: str | None) -> Section:
    """What the environment files say, a table for each distinct one, what changed where a run was resumed, and `verified`."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(repr(run.environment), []).append(run)
    tables: list[Block] = [Text(f"Verified on {verified}: `resnet-lab verify` found no fault in these runs.")] if verified else []
    for members in groups.values():
        rows = tuple((key, _plain(value)) for key, value in flatten(members[0].environment))
        names = ", ".join(run.name for run in members)
        tables.append(Table(names, ("what", "value"), rows) if rows else Text(f"{names}: no environment file."))
    resumed = [
        (run, event)
        for run in runs
        for event in run.events
        if event.name == "resumed" and isinstance(event.detail.get("changed"), dict)
    ]
    changes = tuple(
        f"{run.name} went on at step {event.step:,} with {key} = {_plain(value)}."
        for run, event in resumed
        for key, value in flatten(event.detail["changed"])
    )
    return Section("Environment and data", (*tables, *([Bullets(changes)] if changes else [])))


def _events(runs: Sequence[Run]) -> Section:
    """What happened to every run; checkpoints are counted, not listed."""
    rows = tuple(
        (
            run.name,
            event.time,
            event.name,
            f"{event.step:,}",
            "; ".join(f"{key}: {_plain(value)}" for key, value in event.detail.items() if key != "sha256"),
        )
        for run in runs
        for event in run.events
        if event.name != "checkpointed"
    )
    checkpoints = sum(event.name == "checkpointed" for run in runs for event in run.events)
    caption = f"What happened to every run, in UTC; {checkpoints:,} checkpoints are not listed."
    return Section("Events", (Table(caption, ("run", "time", "event", "step", "detail"), rows),))


def _runs(runs: Sequence[Run]) -> Section:
    header = ("run", "state", "step", "parameters", "training time", "speed", "command")
    rows = tuple(
        (
            run.name,
            run.state,
            f"{run.step:,} of {run.config.recipe.steps:,}",
            "-" if run.parameters is None else f"{run.parameters:,}",
            duration(sum(record.seconds for record in run.train) + sum(record.seconds for record in run.evaluations)),
            "-" if run.images_per_second is None else f"{run.images_per_second:,.0f} images/s",
            command(run.config),
        )
        for run in runs
    )
    return Section(
        "Runs",
        (
            Table(
                "Every run of the study and the command that makes it again; --study NAME puts it beside this one.", header, rows
            ),
        ),
    )


def command(config: RunConfig) -> str:
    """The command line that trains this config: the preset that is nearest to it, and what differs from that."""
    model = config.model
    network: dict[str, Any] = {"kind": model.kind, "depth": model.depth, "block": model.block, "layout": model.layout}
    near = {name: study.run(**network, seed=config.seed) for name, study in _presets().items()}
    preset = min(near, key=lambda name: (len(differences(near[name], config)), name))
    changed = [(key, value) for key, _, value in differences(near[preset], config) if value is not None]
    parts = ["resnet-lab", "train", "--config", preset, "--depth", str(model.depth), f"--{model.kind}"]
    parts += ["--seed", str(config.seed)] if config.seed else []
    usual = {"model.block": "basic", "model.layout": "cifar"}
    changed += [(key, value) for key in usual if (value := network[key.removeprefix("model.")]) != usual[key]]
    parts += [word for key, value in changed for word in ("--set", f"{key}={json.dumps(value)}")]
    return shlex.join(parts)


@cache
def _presets() -> dict[str, StudyConfig]:
    return {name: load_study(name) for name in presets()}


def _plain(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "-" if value is None else str(value)
