"""Which runs a study has: kinds, shortcuts, depths and seeds, each run with the config of its own folder."""

from pathlib import Path

from resnet_lab.config.files import StudyConfig
from resnet_lab.config.schema import RunConfig
from resnet_lab.errors import ConfigError
from resnet_lab.record.store import RunFolder

_INSTEAD = {
    ("seed",): "sweep.seeds",
    ("model", "kind"): "sweep.kinds",
    ("model", "shortcut"): "sweep.shortcuts",
    ("model", "depth"): "sweep.depths",
}


def expand(study: StudyConfig) -> list[RunConfig]:
    """The configs of all runs, seeds outermost, so that a sweep cut short has whole pairs. Raises ConfigError.

    Plain runs are there once, whatever the shortcuts.
    """
    wrong = [
        f"{study.where('.'.join(path))}: {'.'.join(path)} is for a single run; in a sweep, set {instead}."
        for path, instead in _INSTEAD.items()
        if study.sets(path)
    ]
    if wrong:
        raise ConfigError("\n".join(wrong))
    sweep = study.sweep
    return [
        study.run(of_sweep=True, kind=kind, shortcut=shortcut, depth=depth, seed=seed)
        for seed in sweep.seeds
        for depth in sweep.depths
        for kind in sweep.kinds
        for shortcut in (sweep.shortcuts if kind == "residual" else (None,))
    ]


def folder_of(config: RunConfig, study: Path) -> RunFolder:
    """Where a run of a study lives."""
    return RunFolder(study / config.name)
