"""Which runs a study has: every kind at every depth with every seed, each with the config of its own folder."""

from pathlib import Path

from resnet_lab.config import RunConfig
from resnet_lab.configfile import StudyConfig
from resnet_lab.record.store import RunFolder


def expand(study: StudyConfig) -> list[RunConfig]:
    """The configs of all runs, seeds outermost, so that a sweep cut short has whole pairs. Raises ConfigError."""
    sweep = study.sweep
    return [
        study.run(kind=kind, depth=depth, seed=seed) for seed in sweep.seeds for depth in sweep.depths for kind in sweep.kinds
    ]


def folder_of(config: RunConfig, study: Path) -> RunFolder:
    """Where a run of a study lives."""
    return RunFolder(study / config.name)
