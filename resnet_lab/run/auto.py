"""Settings left to `auto`, the data set and `compute.compile`: how a run or a sweep decides them.

All runs of a study have them alike: as its first run has them, else by what there is on this machine.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from resnet_lab.config.datasets import Dataset
from resnet_lab.config.schema import RunConfig, with_compile
from resnet_lab.data import auto as images
from resnet_lab.data.progress import DownloadProgress
from resnet_lab.models.compile import why_not
from resnet_lab.record.study import run_folders
from resnet_lab.run.estimate import UNMEASURED, Speed, measure

TRIAL_SECONDS, _LEAST_GAIN = 60.0, 1.05


def as_in_study(config: RunConfig, study: Path) -> RunConfig:
    """The config with settings left to `auto` as the study's first run has them; they stay where the study has no run yet."""
    if "auto" not in (config.data.dataset, config.compute.compile):
        return config
    folders = run_folders(study)
    if not folders:
        return config
    first = folders[0].config()
    if config.data.dataset == "auto":
        config = _with_dataset(config, first.data.dataset)
    if config.compute.compile == "auto":
        config = with_compile(config, first.compute.compile is True)
    return config


def fetch_data(config: RunConfig, settled: RunConfig, root: Path) -> Iterator[DownloadProgress | str]:
    """Try to have CIFAR-10 in `root` where a new study leaves its data set to `auto`; yields progress and sentences on it.

    `settled` is the same config as in the study.
    """
    if settled.data.dataset == "auto":
        yield from images.fetch(root)
    elif config.data.dataset == "auto" and settled.data.dataset == "synthetic" and images.available_dataset(root) == "cifar10":
        yield (
            "This study began on the synthetic stand-in and continues on it. CIFAR-10 is here now: --study NAME starts "
            "another on it."
        )


def decide_data(config: RunConfig, root: Path) -> RunConfig:
    """The config with its data set decided: `auto` is CIFAR-10 where `root` has it now, else the synthetic stand-in."""
    return _with_dataset(config, images.available_dataset(root)) if config.data.dataset == "auto" else config


def _with_dataset(config: RunConfig, dataset: Dataset) -> RunConfig:
    return config.model_copy(update={"data": config.data.model_copy(update={"dataset": dataset})})


@dataclass(frozen=True)
class Decided:
    """A config whose `compute.compile` is decided, and what was found on the way.

    `here` is the config as this machine can compute it, without compiled blocks where nothing compiles, and `speed` its speed.
    `notices` are sentences for the user.
    """

    config: RunConfig
    here: RunConfig
    speed: Speed
    notices: tuple[str, ...] = ()


def decide_compile(
    config: RunConfig, device: torch.device, equal_steps: float | None = None, *, measure_speed: bool = True
) -> Decided:
    """Decide whether the study compiles blocks, where the config leaves that open, and measure the run's speed.

    `equal_steps` is the study's duration in steps of this network, the run's own if not given. With 0 nothing is tried.
    Without `measure_speed` the speed is measured only where the decision needs it, or where blocks are compiled, which are so
    before the first step that counts.
    """
    if config.compute.compile == "auto":
        decided = _tried(config, device, config.recipe.steps if equal_steps is None else equal_steps)
    else:
        decided = _as_told(config, device, measure_speed=measure_speed)
    if measure_speed and config.compute.precision == "bf16" and device.type == "cpu":
        decided = replace(decided, notices=(*decided.notices, *_slow_bf16(decided, device)))
    return decided


def _as_told(config: RunConfig, device: torch.device, *, measure_speed: bool) -> Decided:
    fault = why_not(device) if config.compute.compile is True else None
    here = config if fault is None else with_compile(config, False)
    speed = measure(here, device) if measure_speed or here.compute.compile is True else UNMEASURED
    return Decided(config, here, speed, () if fault is None else (f"Blocks are not compiled here: {fault}.",))


def _tried(config: RunConfig, device: torch.device, steps: float) -> Decided:
    eager = with_compile(config, False)
    speed = measure(eager, device)
    compiled, notice = _trial(eager, device, speed, steps * speed.step_seconds)
    decided = with_compile(config, compiled is not None)
    return Decided(decided, decided, compiled or speed, () if notice is None else (notice,))


def _slow_bf16(decided: Decided, device: torch.device) -> Iterator[str]:
    """A sentence where fp32 is faster: on a CPU without instructions for bf16 (AVX512_BF16, AMX) by an order of magnitude."""
    compute = decided.here.compute.model_copy(update={"precision": "fp32"})
    fp32 = measure(decided.here.model_copy(update={"compute": compute}), device)
    ratio = decided.speed.step_seconds / fp32.step_seconds
    if ratio > 1:
        yield f"bf16 takes {ratio:.1f} times as long as fp32 on this CPU: --set compute.precision=fp32 is faster."


def _trial(config: RunConfig, device: torch.device, eager: Speed, seconds: float) -> tuple[Speed | None, str | None]:
    """The speed with compiled blocks where that pays, else None; and a sentence where there is something to say.

    A trial costs about a minute, compiling included. It is made only where the least gain worth having would save that minute of
    the study's `seconds`.
    """
    if not trial_pays(seconds):
        return None, None
    fault = why_not(device)
    if fault is not None:
        return None, f"Blocks are not compiled here: {fault}."
    compiled = measure(with_compile(config, True), device)
    gain = eager.step_seconds / compiled.step_seconds
    name = f"{config.model.family}-{config.model.depth}"
    if gain < _LEAST_GAIN:
        return None, f"Compiled blocks are {gain:.2f} times as fast in a trial of {name} here: this study does without."
    return compiled, f"Compiled blocks are {gain:.2f} times as fast in a trial of {name} here: this study compiles them."


def trial_pays(seconds: float) -> bool:
    """Whether training of so many seconds is long enough for a trial of compiled blocks."""
    return seconds * (1 - 1 / _LEAST_GAIN) >= TRIAL_SECONDS
