"""The grid of a sweep: one run for each combination of kind, shortcut, depth and seed."""

from pathlib import Path

from resnet_lab.config.files import StudyConfig
from resnet_lab.config.schema import RunConfig
from resnet_lab.errors import ConfigError
from resnet_lab.record.store import RunFolder

_SWEEP_KEYS = {
    ("seed",): "sweep.seeds",
    ("model", "kind"): "sweep.kinds",
    ("model", "shortcut"): "sweep.shortcuts",
    ("model", "depth"): "sweep.depths",
}


def expand(study: StudyConfig) -> list[RunConfig]:
    """Return the configs of all runs, seeds outermost, so that an interrupted sweep has complete pairs.

    Plain runs occur once, regardless of the number of shortcuts. Raises ConfigError for settings that only a single run has.
    """
    problems = [
        f"{study.where('.'.join(path))}: {'.'.join(path)} is for a single run; in a sweep, set {sweep_key}."
        for path, sweep_key in _SWEEP_KEYS.items()
        if study.sets(path)
    ]
    if problems:
        raise ConfigError("\n".join(problems))
    sweep = study.sweep
    return [
        study.run(of_sweep=True, kind=kind, shortcut=shortcut, depth=depth, seed=seed)
        for seed in sweep.seeds
        for depth in sweep.depths
        for kind in sweep.kinds
        for shortcut in (sweep.shortcuts if kind == "residual" else (None,))
    ]


def folder_of(config: RunConfig, study: Path) -> RunFolder:
    """The folder of a run in a study's folder."""
    return RunFolder(study / config.name)
