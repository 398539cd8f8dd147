"""The runs of a sweep: a grid of kinds, shortcuts, depths and seeds, and further ones with varied settings."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

from resnet_lab.config.durations import DURATION_KEYS
from resnet_lab.config.files import StudyConfig
from resnet_lab.config.schema import RunConfig, differences
from resnet_lab.config.sweep import KIND
from resnet_lab.config.varied import BY_SWEEP, VariedSettings
from resnet_lab.errors import ConfigError
from resnet_lab.record.store import RunFolder

_FOLLOWING = [".".join(path) for path in DURATION_KEYS]  # in epochs or percent they follow other settings


def expand(study: StudyConfig) -> list[RunConfig]:
    """Return the configs of all runs, seeds outermost, so that an interrupted sweep has complete pairs.

    First the base runs: every kind at every depth; plain ones occur once, regardless of the number of shortcuts. Then the deepest
    networks with varied settings; a combination that a kind does not allow, or that equals the base, is left out. Raises
    ConfigError for settings that only a single run has, and for varied settings that no kind allows.
    """
    problems = [
        f"{study.where(key)}: {key} is for a single run; in a sweep, set {sweep_key}."
        for key, sweep_key in {**BY_SWEEP, "varied": "sweep.vary"}.items()
        if study.sets(key.split("."))
    ]
    if problems:
        raise ConfigError("\n".join(problems))
    configs: dict[str, RunConfig] = {}  # by name: grids may overlap
    for seed in study.sweep.seeds:
        base = [_run(study, network, depth, seed) for depth in study.sweep.depths for network in _networks(study)]
        configs |= {config.name: config for config in base}
        for case in _cases(study):
            configs |= {config.name: config for config in _varied(study, case, seed)}
    return list(configs.values())


def folder_of(config: RunConfig, study: Path) -> RunFolder:
    """The folder of a run in a study's folder."""
    return RunFolder(study / config.name)


def _networks(study: StudyConfig) -> list[dict[str, Any]]:
    """Kind and shortcut of each network of the sweep."""
    shortcuts = {"plain": (None,), "residual": study.sweep.shortcuts}
    return [{"kind": kind, "shortcut": shortcut} for kind in study.sweep.kinds for shortcut in shortcuts[kind]]


def _run(study: StudyConfig, network: dict[str, Any], depth: int, seed: int, vary: VariedSettings | None = None) -> RunConfig:
    return study.run(of_sweep=True, depth=depth, seed=seed, vary=vary, **network)


def _cases(study: StudyConfig) -> Iterator[dict[str, Any]]:
    """Each combination of the values in each grid."""
    for grid in study.sweep.vary:
        for values in product(*grid.values()):
            yield dict(zip(grid, values, strict=True))


def _varied(study: StudyConfig, case: VariedSettings, seed: int) -> Iterator[RunConfig]:
    """The deepest networks with these settings. Raises ConfigError if none of them allows the settings."""
    depth, settings = max(study.sweep.depths), {key: value for key, value in case.items() if key != KIND}
    pairs, problems = [], []
    for network in (network for network in _networks(study) if case.get(KIND, network["kind"]) == network["kind"]):
        try:
            pairs.append((_run(study, network, depth, seed), _run(study, network, depth, seed, settings)))
        except ConfigError as error:
            problems += str(error).splitlines()
    if not pairs:
        raise ConfigError("\n".join(dict.fromkeys(problems)))
    for base, config in pairs:
        if changed := _changed(base, config, settings):
            yield config.model_copy(update={"varied": changed})


def _changed(base: RunConfig, config: RunConfig, settings: VariedSettings) -> tuple[str, ...]:
    """The keys of the settings in which a config differs from the base, without durations that follow others."""
    changed = (key for key, _, value in differences(base, config) if value is not None)
    return tuple(key for key in changed if key not in _FOLLOWING or any(f"{key}.".startswith(f"{name}.") for name in settings))
