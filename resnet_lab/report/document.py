"""The report of a study as a document: sections of text, tables and figures, which HTML and Markdown both render."""

import json
import shlex
from collections.abc import Sequence

from resnet_lab import paper
from resnet_lab.compare import MATTERS, Comparison
from resnet_lab.config import RunConfig, differences, flatten
from resnet_lab.configfile import load_study, presets
from resnet_lab.duration import duration
from resnet_lab.record.store import Run
from resnet_lab.report.blocks import Block, Bullets, Document, Picture, Section, Table, Text
from resnet_lab.report.charts import chart, curve_table
from resnet_lab.report.figures import STAND_IN_NOTICE, colours, curves, svg
from resnet_lab.report.tables import difference_table, error_table, interval_table

FEW_STEPS = 10_000


def build(comparison: Comparison) -> Document:
    """The report of a study; everything in it comes from the study's files."""
    sections = [_verdict(comparison), _curves(comparison), _errors(comparison)]
    if comparison.differences:
        sections.append(_differences(comparison))
    if comparison.runs:
        sections += [_recipe(comparison.runs), _departures(comparison.runs), _environment(comparison.runs)]
        sections.append(_runs(comparison.runs))
    return Document(f"Plain and residual networks: {comparison.study}", _notices(comparison), tuple(sections))


def _notices(comparison: Comparison) -> tuple[str, ...]:
    notices = []
    if comparison.stand_in:
        notices.append(
            f"{STAND_IN_NOTICE}. These networks were trained on procedurally generated shapes; nothing here is a result on "
            "CIFAR-10. `resnet-lab data --download` fetches the real images."
        )
    steps = max((run.config.recipe.steps for run in comparison.runs), default=0)
    if 0 < steps < FEW_STEPS:
        notices.append(
            f"These networks were trained for {steps:,} steps, not the paper's 64,000: they show how far SGD gets in that time, "
            "and not what the networks converge to."
        )
    return tuple(notices)


def _verdict(comparison: Comparison) -> Section:
    blocks: list[Block] = [Text(sentence) for sentence in comparison.verdict]
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


def _curves(comparison: Comparison) -> Section:
    kinds = {"plain": "left", "residual": "right"}
    parts = [
        f"{side}, {kind}: " + (", ".join(run.name for run in comparison.runs if run.config.model.kind == kind) or "no runs")
        for kind, side in kinds.items()
    ]
    description = "Error in percent against training steps. " + "; ".join(parts) + ". Training error dashed, test error bold."
    blocks = (
        Picture(
            svg(curves(comparison)),
            "../curves.svg",
            description,
            curve_table(comparison),
            chart(comparison, colours(comparison)),
        ),
        Text(
            "As in Figure 6 of He et al. 2015. Dashed: training error as trained, on augmented images in train mode, averaged "
            "since the last record. Bold: test error in evaluation mode. The points are in the study's curves.csv."
        ),
    )
    return Section("Curves", blocks)


def _errors(comparison: Comparison) -> Section:
    if not comparison.cells:
        return Section("Errors", (Text("No run has finished yet."),))
    images = sorted({cell.train_images for cell in comparison.cells})
    number = " or ".join(f"{count:,}" for count in images)
    note = f"Clean training error: evaluation mode, no augmentation, on {number} training images."
    chance = [name for cell in comparison.cells for name in cell.at_chance]
    sentences = [Text(note)]
    if chance:
        sentences.append(Text(f"At chance level, as if nothing had been learnt: {', '.join(chance)}."))
    return Section("Errors", (error_table(comparison), interval_table(comparison), *sentences))


def _differences(comparison: Comparison) -> Section:
    return Section("Paired differences", (difference_table(comparison),))


def _recipe(runs: Sequence[Run]) -> Section:
    settings = runs[0].config.shared_settings()
    rows = tuple((key, _plain(value)) for key, value in flatten(settings))
    return Section("Recipe", (Table("Settings that all runs share; durations are steps.", ("setting", "value"), rows),))


def _departures(runs: Sequence[Run]) -> Section:
    found = dict.fromkeys(sentence for run in runs for sentence in paper.departures(run.config))
    blocks: list[Block] = [Text("Where these runs differ from the recipe of He et al. 2015, Sec. 4.2:")] if found else []
    blocks.append(Bullets(tuple(found)) if found else Text("The settings are those of He et al. 2015, Sec. 4.2."))
    blocks += [Text("In every run of this tool:"), Bullets(paper.ALWAYS)]
    return Section("Departures from the paper", tuple(blocks))


def _environment(runs: Sequence[Run]) -> Section:
    """What the environment files say, a table for each distinct one, and what changed where a run was resumed."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(repr(run.environment), []).append(run)
    tables: list[Block] = []
    for members in groups.values():
        rows = tuple((key, _plain(value)) for key, value in flatten(members[0].environment))
        names = ", ".join(run.name for run in members)
        tables.append(Table(names, ("what", "value"), rows) if rows else Text(f"{names}: no environment file."))
    resumed = [(run, event) for run in runs for event in run.events if event.name == "resumed" and event.detail.get("changed")]
    changes = tuple(
        f"{run.name} went on at step {event.step:,} with {key} = {_plain(value)}."
        for run, event in resumed
        for key, value in flatten(event.detail["changed"])
    )
    return Section("Environment and data", (*tables, *([Bullets(changes)] if changes else [])))


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
    near = {name: load_study(name).run(kind=model.kind, depth=model.depth, seed=config.seed) for name in presets()}
    preset = min(near, key=lambda name: (len(differences(near[name], config)), name))
    changed = [(key, value) for key, _, value in differences(near[preset], config) if value is not None]
    parts = ["resnet-lab", "train", "--config", preset, "--depth", str(model.depth), f"--{model.kind}"]
    parts += ["--seed", str(config.seed)] if config.seed else []
    parts += [word for key, value in changed for word in ("--set", f"{key}={json.dumps(value)}")]
    return shlex.join(parts)


def _plain(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "-" if value is None else str(value)
