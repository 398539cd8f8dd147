"""The execution of one run: starts it, resumes it, or reports that it has ended.

Use::

    for item in run(config, RunFolder(Path("runs/mine/plain-20-s0"))):
        print(item)
"""

import itertools
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path

import torch

from resnet_lab.config.files import load_run
from resnet_lab.config.schema import RunConfig, with_compile
from resnet_lab.data.images import Data
from resnet_lab.data.load import data_root, load, size_change
from resnet_lab.data.progress import DownloadProgress
from resnet_lab.errors import DivergedError
from resnet_lab.models.resnet import ResNet
from resnet_lab.record.lines import Event, Record
from resnet_lab.record.lock import STALE_SECONDS, awaited
from resnet_lab.record.store import RunFolder
from resnet_lab.record.study import recorded_images, run_folders
from resnet_lab.run.auto import as_in_study, decide_compile, decide_data, fetch_data
from resnet_lab.run.compute import initial_state, set_up
from resnet_lab.run.device import Resources, pick_device
from resnet_lab.run.environment import describe
from resnet_lab.run.estimate import UNMEASURED, Forecast
from resnet_lab.run.journal import FolderJournal, Journal
from resnet_lab.run.ranks import ALONE, Ranks
from resnet_lab.run.session import Session, Stop

CHECKPOINT_SECONDS = 120.0


def run(
    config: RunConfig,
    folder: RunFolder,
    resources: Resources = Resources(),
    stop: Stop = lambda: False,
    *,
    measure_speed: bool = True,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    ranks: Ranks = ALONE,
) -> Iterator[DownloadProgress | str | Forecast | Record | Event]:
    """Train `config` in `folder` and yield its progress; resumes an unfinished run, yields the last event of a finished one.

    Nothing is written before the config, folder, device and data have been checked. Once `stop()` returns true, the run saves a
    checkpoint and ends with a `preempted` event; the next call resumes it with identical results. With `dataset = "auto"` the
    first items may be messages and DownloadProgress. Without `measure_speed` the speed is measured only if `compile = "auto"` is
    decided by it or blocks are compiled; otherwise it is measured for the forecast. If several ranks train the run, this is the
    work of rank 0, and `follow` that of the others.
    Raises ConfigError, DataError, DivergedError, CheckpointError, DiskError, LockedError, JobError.
    """
    root = data_root(resources.data_dir)
    prepared = yield from _prepare(config, folder, resources, root, stop, ranks)
    ranks.share(_packed(prepared))
    if prepared is None:
        return
    device = pick_device(resources.device)
    threads = set_up(prepared.compute, device, resources.threads)
    recorded = recorded_images([folder, *run_folders(folder.path.parent)])
    data = load(prepared.data, root, prepared.seed, recorded).to(device)
    if (changed := size_change(recorded, data.digests)) is not None:
        yield f"{changed}; training continues with the changed files."
    yield from train_in(
        folder,
        prepared,
        data,
        device,
        threads,
        stop,
        measure_speed=measure_speed,
        checkpoint_seconds=checkpoint_seconds,
        ranks=ranks,
    )


def _prepare(
    requested: RunConfig, folder: RunFolder, resources: Resources, root: Path, stop: Stop, ranks: Ranks
) -> Generator[DownloadProgress | str | Event, None, RunConfig | None]:
    """Check the run and fetch its data; gives the config with the data set decided, or None if there is nothing to train."""
    config = as_in_study(requested, folder.path.parent)
    folder.check(config)
    end = _final_event(folder)
    if end is not None:
        yield end
        return None
    ranks.check(config)
    set_up(config.compute, pick_device(resources.device), resources.threads)
    for progress in fetch_data(requested, config, root):
        if stop():
            return None  # the partial download is kept
        yield progress
    return None if stop() else decide_data(config, root)


def train_in(
    folder: RunFolder,
    config: RunConfig,
    data: Data,
    device: torch.device,
    threads: int,
    stop: Stop,
    start: ResNet | None = None,
    *,
    measure_speed: bool = True,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    ranks: Ranks = ALONE,
) -> Iterator[str | Forecast | Record | Event]:
    """Like `run`, with the data loaded and the device set up; weights are copied from `start` if given, else from the seed."""
    folder.make()
    if (owner := awaited(folder.path)) is not None:
        yield f"{folder.path} was not released by {owner}; waiting up to {STALE_SECONDS:.0f} s for a sign of life."
    with folder.lock(stop) as hold:
        if hold is None:  # asked to stop while waiting
            ranks.share(_packed(None))
            return
        if hold.taken_over is not None:
            yield f"Taken over from {hold.taken_over}, which showed no sign of life."
        decided = decide_compile(ranks.share_of(config), device, measure_speed=measure_speed)
        config = with_compile(config, decided.config.compute.compile is True)
        folder.create(config)
        end = _final_event(folder)  # again, under the lock: another process may have finished the run
        ranks.share(_packed(None if end else config))
        if end is not None:
            yield end
            return
        yield from decided.notices
        effective = with_compile(config, decided.effective.compute.compile is True)
        state = initial_state(effective, device, start, ranks)
        session = Session(config, FolderJournal(folder, hold), data, state, stop, checkpoint_seconds, ranks)
        environment = describe(device, threads, effective.compute, data.provenance, ranks.size)
        speed = replace(decided.speed, eval_image_seconds=decided.speed.eval_image_seconds / ranks.size)
        yield from session.begin(environment, speed)
        yield from session.train()


def follow(ranks: Ranks, resources: Resources, stop: Stop, checkpoint_seconds: float = CHECKPOINT_SECONDS) -> Iterator[Event]:
    """The work of a rank other than 0 while rank 0 executes `run`: writes nothing; yields the run's events.

    Raises ConfigError, DataError, DivergedError, CheckpointError, JobError, and what ends rank 0.
    """
    config = _unpacked(ranks.share(None))
    if config is None:
        return
    device = pick_device(resources.device)
    set_up(config.compute, device, resources.threads)
    data = load(config.data, data_root(resources.data_dir), config.seed).to(device)
    config = _unpacked(ranks.share(None))
    if config is None:
        return
    decided = decide_compile(ranks.share_of(config), device, measure_speed=False)
    effective = with_compile(config, decided.effective.compute.compile is True)
    state = initial_state(effective, device, ranks=ranks)
    session = Session(config, Journal(), data, state, stop, checkpoint_seconds, ranks)
    for item in itertools.chain(session.begin({}, UNMEASURED), session.train()):
        if isinstance(item, Event):
            yield item


def _packed(config: RunConfig | None) -> bytes:
    return b"" if config is None else config.model_dump_json().encode()


def _unpacked(content: bytes) -> RunConfig | None:
    return load_run(content.decode(), "rank 0") if content else None


def _final_event(folder: RunFolder) -> Event | None:
    """The `finished` event, if the run has ended. Raises DivergedError for a diverged run, which would diverge again."""
    end = folder.ending()
    if end is not None and end.name == "diverged":
        raise DivergedError(
            f"{folder.path} diverged at step {end.step} and would diverge again. Change the recipe, such as "
            "--set recipe.lr=0.05, and use another --study NAME."
        )
    return end
