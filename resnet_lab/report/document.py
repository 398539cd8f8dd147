"""The content of a study's report: sections of text, tables and figures, rendered as HTML and as Markdown."""

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
from resnet_lab.record.lines import Event
from resnet_lab.record.sequential import Design
from resnet_lab.record.store import Run
from resnet_lab.report import figures
from resnet_lab.report.tables import case_table, difference_table, error_table, spread
from resnet_lab.study.compare import Comparison
from resnet_lab.study.differences import MATTERS
from resnet_lab.study.digest import mark
from resnet_lab.study.published import NUMBERS
from resnet_lab.study.sequential import OVERALL_ERROR
from resnet_lab.study.verdict import verdict_on_case
from resnet_lab.text import duration

FEW_STEPS = 10_000


def build(
    comparison: Comparison, pictures: Mapping[str, Picture], reasons: Section | None = None, verified: str | None = None
) -> Document:
    """Build the report of a study, from the study's files alone.

    `pictures` are by stem; `reasons` is the section on the analyses, if there are any; `verified` is the date on which
    `resnet-lab verify` found no fault in these records, if it did.
    """
    sections = [_verdict(comparison), _curves(pictures), _errors(comparison, pictures)]
    if comparison.differences:
        sections.append(_differences(comparison))
    if comparison.cases:
        sections.append(_cases(comparison, pictures))
    if reasons is not None:
        sections.append(reasons)
    if comparison.cells:
        sections.append(_published(comparison))
    if comparison.runs:
        sections += [
            _recipe(comparison),
            _departures(comparison),
            _environment(comparison.all_runs, verified),
            Section("Learning rate and speed", (pictures["traces"],)),
            _runs(comparison.all_runs),
            _events(comparison.all_runs),
        ]
    title = f"Plain and residual networks: {comparison.study.name}"
    return Document(title, _notices(comparison), tuple(sections), mark(comparison.records_digest))


def _notices(comparison: Comparison) -> tuple[str, ...]:
    notices = []
    if comparison.stand_in:
        notices.append(
            f"{figures.STAND_IN_NOTICE}. These networks were trained on procedurally generated shapes, so nothing here is a "
            "result on CIFAR-10. Download the real images with `resnet-lab data --download`."
        )
    steps = max((run.config.recipe.steps for run in comparison.runs), default=0)
    if 0 < steps < FEW_STEPS:
        paper_steps = paper.recipe_for(comparison.runs[0].config).steps
        notices.append(
            f"These networks were trained for {steps:,} steps, not the paper's {paper_steps:,}: the results show how far SGD "
            "gets in this time, not what the networks converge to."
        )
    return tuple(notices)


def _verdict(comparison: Comparison) -> Section:
    blocks: list[Block] = [Text(sentence, leads=True) for sentence in comparison.verdict]
    if comparison.gaps and comparison.study.design is not None:
        blocks.append(Text(_sequential_rule(comparison.study.design)))
    elif comparison.gaps:
        blocks.append(
            Text(
                "Degradation means that the deepest network of a kind has a higher clean training error at its last evaluation "
                "than the shallowest. With three or more seeds, it counts as shown if the 95 % interval of the difference lies "
                f"above zero, and as not shown if the interval lies below {100 * MATTERS:g} points. With one or two seeds, it "
                f"counts as shown if every difference exceeds {100 * MATTERS:g} points and two binomial standard errors, and as "
                "not shown if every difference is within two standard errors."
            )
        )
    if comparison.missing:
        blocks.append(Bullets(comparison.missing))
    return Section("Verdict", tuple(blocks))


def _sequential_rule(design: Design) -> str:
    """How the verdict is decided in a study whose seeds are added until it is."""
    return (
        "Degradation means that the deepest network of a kind has a higher clean training error at its last evaluation than the "
        "shallowest. Seeds were added until the verdict on plain nets was decided (`sweep --until-decided`): it is looked at "
        f"with {design.first_look} seeds and with each further one, up to {design.max_seeds}. Degradation counts as shown if the "
        "interval of the difference lies above zero at one of these looks, and as not shown if it lies below "
        f"{100 * MATTERS:g} points. The intervals are wider than Student's 95 % intervals (alpha spending, Lan and DeMets 1983): "
        f"the probability that one of them, at any look, misses the true mean is at most {100 * OVERALL_ERROR:g} %. Every number "
        "of seeds counts as a look, whether or not anyone looked."
    )


def _curves(pictures: Mapping[str, Picture]) -> Section:
    blocks: list[Block] = [
        pictures["curves"],
        Text(
            "As in Figure 6 of He et al. 2015. Dashed: running training error (augmented images, training mode), averaged since "
            "the previous record, and over neighbouring records if there are many. Bold: test error in evaluation mode. With "
            "several seeds, lines are means over seeds at the steps recorded by all of them, and bands show the range from the "
            "lowest to the highest seed. Dotted: lr drops. All points are in the study's curves.csv."
        ),
    ]
    if "degradation" in pictures:
        blocks += [
            pictures["degradation"],
            Text("As in Figure 1 of He et al. 2015. If the deeper network were overfitting, its training error would be lower."),
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


def _cases(comparison: Comparison, pictures: Mapping[str, Picture]) -> Section:
    """What varied settings change: a sentence on each case, the figures, and the table with the rules of the sentences."""
    sentences = Bullets(tuple(" ".join(verdict_on_case(case)) for case in comparison.cases))
    drawn = [picture for stem, picture in pictures.items() if stem == "cases" or stem.startswith("cases-")]
    limit = f"{100 * MATTERS:g} points"
    rules = Text(
        "The change is the clean training error of a network with varied settings minus that of its base runs, which have none. "
        "With three or more seeds, a setting reduces or raises the error if the 95 % interval of the change lies below or above "
        f"zero. No effect is shown if the interval lies within {limit} of zero; otherwise, and with fewer seeds, the effect is "
        "undecided. A setting removes degradation if the base networks show it, if the setting reduces the error, and if the "
        f"95 % interval of the remaining gap to the shallowest base network lies below {limit}. A residual network is also "
        "compared with the plain network of its depth by these rules, if that degrades and the recipe is the same. Each interval "
        "is for its case alone: of twenty settings without any effect, one is expected to appear to have one."
    )
    return Section("What changes the error", (sentences, *drawn, case_table(comparison), rules))


def _published(comparison: Comparison) -> Section:
    """Published errors beside ours, or the reason why they cannot be compared."""
    depths = figures.published_depths(comparison)
    if not depths:
        return Section(
            "Paper against ours",
            (Text("No comparison: these runs do not use the paper's recipe at published depths."),),
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
        "Error in percent. Sources measured training errors in different ways; ours is the clean training error of the last "
        "evaluation. No source reports plain networks over several seeds."
    )
    header = ("network", "source", "test, published", "training, published", "test, ours", "training, ours")
    return Section("Paper against ours", (Table(caption, header, rows),))


def _recipe(comparison: Comparison) -> Section:
    settings = comparison.runs[0].config.shared_settings()
    rows = tuple((key, _formatted(value)) for key, value in flatten(settings))
    runs = "the base runs" if comparison.varied else "all runs"
    return Section("Recipe", (Table(f"Settings that {runs} share; durations are steps.", ("setting", "value"), rows),))


def _departures(comparison: Comparison) -> Section:
    runs = comparison.runs
    departures = dict.fromkeys(sentence for run in runs for sentence in paper.departures(run.config))
    recipe = paper.recipe_for(runs[0].config)
    source = f"He et al. 2015, {recipe.section}"
    if departures:
        blocks: list[Block] = [Text(f"Differences of these runs from the recipe of {source}:"), Bullets(tuple(departures))]
    else:
        blocks = [Text(f"The settings are those of {source}.")]
    if comparison.varied:
        blocks.append(Text("These are the base runs; the others differ further, in the settings that their names state."))
    blocks += [Text("In all runs of resnet-lab:"), Bullets(paper.always(runs[0].config))]
    return Section("Departures from the paper", tuple(blocks))


def _environment(runs: Sequence[Run], verified: str | None) -> Section:
    """The date of verification, a table of each distinct environment, and the changes to it when a run was resumed."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(repr(run.environment), []).append(run)
    tables: list[Block] = [Text(f"Verified on {verified}: `resnet-lab verify` found no fault in these runs.")] if verified else []
    for members in groups.values():
        rows = tuple((key, _formatted(value)) for key, value in flatten(members[0].environment))
        names = ", ".join(run.name for run in members)
        tables.append(Table(names, ("property", "value"), rows) if rows else Text(f"{names}: no environment file."))
    resumed = [
        (run, event)
        for run in runs
        for event in run.events
        if event.name == "resumed" and isinstance(event.detail.get("changed"), dict)
    ]
    changes = tuple(
        f"{run.name} was resumed at step {event.step:,} with {_changed(event)}: from this step on it is no longer exactly "
        "reproducible."
        for run, event in resumed
        if event.detail["changed"]
    )
    return Section("Environment and data", (*tables, *([Bullets(changes)] if changes else [])))


def _changed(event: Event) -> str:
    return ", ".join(f"{key} = {_formatted(value)}" for key, value in flatten(event.detail["changed"]))


def _events(runs: Sequence[Run]) -> Section:
    """The events of every run; checkpoints are counted, not listed. A takeover names a machine, which is not published."""
    rows = tuple(
        (
            run.name,
            event.time,
            event.name,
            f"{event.step:,}",
            "; ".join(
                f"{key}: {_formatted(value)}" for key, value in event.detail.items() if key not in ("sha256", "taken_over")
            ),
        )
        for run in runs
        for event in run.events
        if event.name != "checkpointed"
    )
    checkpoints = sum(event.name == "checkpointed" for run in runs for event in run.events)
    caption = f"The events of every run, with times in UTC; {checkpoints:,} checkpoints are not listed."
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
                "Every run of the study and the command that repeats it, in a study of its own with --study NAME.", header, rows
            ),
        ),
    )


def command(config: RunConfig) -> str:
    """The command line that trains this config: the nearest preset, and the settings that differ from it."""
    model = config.model
    network: dict[str, Any] = {name: getattr(model, name) for name in ("kind", "depth", "block", "layout", "span")}
    candidates = {name: study.run(**network, seed=config.seed) for name, study in _presets().items()}
    preset = min(candidates, key=lambda name: (len(differences(candidates[name], config)), name))
    changed = [(key, value) for key, _, value in differences(candidates[preset], config) if value is not None]
    parts = ["resnet-lab", "train", "--config", preset, "--depth", str(model.depth), f"--{model.kind}"]
    parts += ["--seed", str(config.seed)] if config.seed else []
    defaults = {"model.block": "basic", "model.layout": "cifar", "model.span": 2}
    changed += [(key, value) for key in defaults if (value := network[key.removeprefix("model.")]) != defaults[key]]
    parts += [word for key, value in changed for word in ("--set", f"{key}={json.dumps(value)}")]
    return shlex.join(parts)


@cache
def _presets() -> dict[str, StudyConfig]:
    return {name: load_study(name) for name in presets()}


def _formatted(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "-" if value is None else str(value)
