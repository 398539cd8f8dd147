"""The folded sections of a report: recipe, departures from the paper, environment, runs and events."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from resnet_lab.config import paper
from resnet_lab.config.files import StudyConfig, load_study, presets
from resnet_lab.config.schema import RunConfig, differences
from resnet_lab.config.settings import flatten
from resnet_lab.presentation.blocks import Block, Bullets, Picture, Section, Table, Text
from resnet_lab.record.lines import Event
from resnet_lab.record.store import Run
from resnet_lab.study.compare import Comparison
from resnet_lab.text import duration, percent


def details(comparison: Comparison, pictures: Mapping[str, Picture], verified: str | None) -> Iterator[Section]:
    """Yield the sections that are for reference; `verified` is as in `document.build`."""
    yield _recipe(comparison)
    yield _departures(comparison)
    yield _environment(comparison.all_runs, verified)
    yield Section("Learning rate and speed", (pictures["traces"],), folded=True)
    yield _runs(comparison.all_runs)
    yield _events(comparison.all_runs)


# A run on a CPU is deterministic without asking for it.
_LABELS = {"compute.deterministic": "compute.deterministic (requested)", "deterministic": "deterministic (in effect)"}


def _recipe(comparison: Comparison) -> Section:
    settings = comparison.runs[0].config.shared_settings()
    rows = tuple((_LABELS.get(key, key), _formatted(value)) for key, value in flatten(settings))
    runs = "the base runs" if comparison.varied else "all runs"
    caption = f"Settings that {runs} share; durations are steps."
    return Section("Recipe", (Table(caption, ("setting", "value"), rows),), folded=True)


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
    return Section("Departures from the paper", tuple(blocks), folded=True)


def _environment(runs: Sequence[Run], verified: str | None) -> Section:
    """The date of verification, a table of each distinct environment, and the changes to it when a run was resumed."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(repr(run.environment), []).append(run)
    tables: list[Block] = [Text(f"Verified on {verified}: `resnet-lab verify` found no fault in these runs.")] if verified else []
    for members in groups.values():
        rows = tuple((_LABELS.get(key, key), _formatted(value)) for key, value in flatten(members[0].environment))
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
    return Section("Environment and data", (*tables, *([Bullets(changes)] if changes else [])), folded=True)


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
    return Section("Events", (Table(caption, ("run", "time", "event", "step", "detail"), rows),), folded=True)


def _runs(runs: Sequence[Run]) -> Section:
    header = ("run", "state", "step", "training error", "test error", "parameters", "training time", "speed", "command")
    rows = tuple(
        (
            run.name,
            run.state,
            f"{run.step:,} of {run.config.recipe.steps:,}",
            *_last_errors(run),
            "-" if run.parameters is None else f"{run.parameters:,}",
            duration(run.seconds),
            "-" if run.images_per_second is None else f"{run.images_per_second:,.0f} images/s",
            f"`{command(run.config)}`",
        )
        for run in runs
    )
    caption = (
        "Every run of the study, its clean training error and test error at the last evaluation, and the command that repeats "
        "it, in a study of its own with --study NAME."
    )
    return Section("Runs", (Table(caption, header, rows),), folded=True)


def _last_errors(run: Run) -> tuple[str, str]:
    if not run.evaluations:
        return "-", "-"
    last = run.evaluations[-1]
    return percent(last.train_error), percent(last.test_error)


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
