"""Resolution of settings that are `auto`: the data set and `compute.compile`.

All runs of a study share them: the values come from the study's first run, or else from what this machine has.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from resnet_lab.config.datasets import Dataset
from resnet_lab.config.schema import RunConfig, with_compile
from resnet_lab.data import auto
from resnet_lab.data.progress import DownloadProgress
from resnet_lab.models.compile import compile_problem
from resnet_lab.record.study import run_folders
from resnet_lab.run.estimate import UNMEASURED, Speed, measure

TRIAL_SECONDS, _MIN_SPEED_UP = 60.0, 1.05


def as_in_study(config: RunConfig, study: Path) -> RunConfig:
    """The config with `auto` settings taken from the study's first run; unchanged if the study has no runs yet.

    Raises ConfigError or DiskError if that run's config cannot be read.
    """
    if "auto" not in (config.data.dataset, config.compute.compile):
        return config
    folders = run_folders(study)
    if not folders:
        return config
    first = folders[0].config()
    if config.data.dataset == "auto":
        config = with_dataset(config, first.data.dataset)
    if config.compute.compile == "auto":
        config = with_compile(config, first.compute.compile is True)
    return config


def fetch_data(requested: RunConfig, config: RunConfig, root: Path) -> Iterator[DownloadProgress | str]:
    """Try to download CIFAR-10 into `root` if a new study has `dataset = "auto"`; yields progress and messages.

    `config` is the result of `as_in_study` for the config `requested`.
    """
    if config.data.dataset == "auto":
        yield from auto.fetch(root)
    elif requested.data.dataset == "auto" and config.data.dataset == "synthetic" and auto.available_dataset(root) == "cifar10":
        yield (
            "This study started on the synthetic stand-in and continues on it. CIFAR-10 is available now: start another study "
            "with --study NAME to use it."
        )


def decide_data(config: RunConfig, root: Path) -> RunConfig:
    """The config with `dataset = "auto"` resolved: CIFAR-10 if it is in `root`, else the synthetic stand-in."""
    return with_dataset(config, auto.available_dataset(root)) if config.data.dataset == "auto" else config


def with_dataset(config: RunConfig, dataset: Dataset) -> RunConfig:
    """The same run on another data set of the same sizes."""
    return config.model_copy(update={"data": config.data.model_copy(update={"dataset": dataset})})


@dataclass(frozen=True)
class Decided:
    """A config with `compute.compile` resolved.

    `effective` is the config that this machine can run: without compiled blocks if compilation fails. `speed` is its speed, and
    `notices` are messages for the user.
    """

    config: RunConfig
    effective: RunConfig
    speed: Speed
    notices: tuple[str, ...] = ()


def decide_compile(
    config: RunConfig, device: torch.device, equal_steps: float | None = None, *, measure_speed: bool = True
) -> Decided:
    """Resolve `compute.compile = "auto"`, by a timed trial if worthwhile, and measure the run's speed.

    `equal_steps` is the study's duration in steps of this network, by default the run's own; 0 rules out a trial.
    Without `measure_speed` the speed is measured only if the decision needs it or blocks are compiled; measuring compiles them
    before the first training step.
    """
    if config.compute.compile == "auto":
        decided = _decide_by_trial(config, device, config.recipe.steps if equal_steps is None else equal_steps)
    else:
        decided = _as_requested(config, device, measure_speed=measure_speed)
    if measure_speed and config.compute.precision == "bf16" and device.type == "cpu":
        decided = replace(decided, notices=(*decided.notices, *_slow_bf16(decided, device)))
    return decided


def _as_requested(config: RunConfig, device: torch.device, *, measure_speed: bool) -> Decided:
    fault = compile_problem(device) if config.compute.compile is True else None
    effective = config if fault is None else with_compile(config, False)
    speed = measure(effective, device) if measure_speed or effective.compute.compile is True else UNMEASURED
    return Decided(config, effective, speed, () if fault is None else (f"Blocks are not compiled: {fault}.",))


def _decide_by_trial(config: RunConfig, device: torch.device, steps: float) -> Decided:
    eager = with_compile(config, False)
    speed = measure(eager, device)
    compiled, notice = _trial(eager, device, speed, steps * speed.step_seconds)
    decided = with_compile(config, compiled is not None)
    return Decided(decided, decided, compiled or speed, () if notice is None else (notice,))


def _slow_bf16(decided: Decided, device: torch.device) -> Iterator[str]:
    """A notice if fp32 is faster, as it is by an order of magnitude on CPUs without bf16 instructions (AVX512_BF16, AMX)."""
    compute = decided.effective.compute.model_copy(update={"precision": "fp32"})
    fp32 = measure(decided.effective.model_copy(update={"compute": compute}), device)
    ratio = decided.speed.step_seconds / fp32.step_seconds
    if ratio > 1:
        yield f"bf16 takes {ratio:.1f} times as long as fp32 on this CPU; consider --set compute.precision=fp32."


def _trial(config: RunConfig, device: torch.device, eager: Speed, seconds: float) -> tuple[Speed | None, str | None]:
    """The speed with compiled blocks if they are faster by at least 5 %, else None; and a notice for the user, or None.

    A trial takes about a minute, including compile time. It is skipped unless a 5 % speed-up of the study's `seconds` would repay
    that minute.
    """
    if not trial_pays(seconds):
        return None, None
    fault = compile_problem(device)
    if fault is not None:
        return None, f"Blocks are not compiled: {fault}."
    compiled = measure(with_compile(config, True), device)
    speed_up = eager.step_seconds / compiled.step_seconds
    trial = f"In a trial of {config.model.family}-{config.model.depth}, compiled blocks were {speed_up:.2f} times as fast"
    if speed_up < _MIN_SPEED_UP:
        return None, f"{trial}: this study does not compile them."
    return compiled, f"{trial}: this study compiles them."


def trial_pays(seconds: float) -> bool:
    """Whether a 5 % speed-up of training that takes `seconds` would repay a trial of compiled blocks."""
    return seconds * (1 - 1 / _MIN_SPEED_UP) >= TRIAL_SECONDS
