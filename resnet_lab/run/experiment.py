"""The execution of one run: starts it, resumes it, or reports that it has ended.

Use::

    for item in run(config, RunFolder(Path("runs/mine/plain-20-s0"))):
        print(item)
"""

import time
from collections.abc import Callable, Iterator

import torch
from torch import nn

from resnet_lab.config.schema import RunConfig
from resnet_lab.data.batches import clean_batches
from resnet_lab.data.digest import data_digest, order_digest
from resnet_lab.data.images import Data, Images
from resnet_lab.data.load import data_root, load, size_change, training_batches
from resnet_lab.data.progress import DownloadProgress
from resnet_lab.errors import DataError, DivergedError
from resnet_lab.models.cost import count_run
from resnet_lab.models.digest import weights_digest
from resnet_lab.models.fold import folded
from resnet_lab.models.resnet import ResNet
from resnet_lab.record import checkpoint
from resnet_lab.record.files import read_json, write_json
from resnet_lab.record.lines import EvalRecord, Event, Record
from resnet_lab.record.lock import STALE_SECONDS, Hold, awaited
from resnet_lab.record.store import RunFolder
from resnet_lab.record.study import recorded_images, run_folders
from resnet_lab.rng import generator
from resnet_lab.run.auto import as_in_study, decide_compile, decide_data, fetch_data
from resnet_lab.run.compute import initial_state, set_up
from resnet_lab.run.device import Resources, pick_device
from resnet_lab.run.environment import describe
from resnet_lab.run.estimate import Forecast, Speed, forecast
from resnet_lab.train.evaluate import evaluate
from resnet_lab.train.loop import train
from resnet_lab.train.state import TrainState

CHECKPOINT_SECONDS = 120.0
_REPRODUCIBILITY_KEYS = ("versions", "device", "device_name", "threads", "compiled", "git_commit")  # compared on resume
Stop = Callable[[], bool]


class _Stopped(Exception):
    """The run was asked to stop. An interrupted evaluation or plateau check is repeated on resume."""


def run(
    config: RunConfig,
    folder: RunFolder,
    resources: Resources = Resources(),
    stop: Stop = lambda: False,
    *,
    measure_speed: bool = True,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> Iterator[DownloadProgress | str | Forecast | Record | Event]:
    """Train `config` in `folder` and yield its progress; resumes an unfinished run, yields the last event of a finished one.

    Nothing is written before the config, folder, device and data have been checked. Once `stop()` returns true, the run saves a
    checkpoint and ends with a `preempted` event; the next call resumes it with identical results. With `dataset = "auto"` the
    first items may be messages and DownloadProgress. Without `measure_speed` the speed is measured only if `compile = "auto"` is
    decided by it or blocks are compiled; otherwise it is measured for the forecast.
    Raises ConfigError, DataError, DivergedError, CheckpointError, DiskError, LockedError.
    """
    study = folder.path.parent
    requested, config = config, as_in_study(config, study)
    folder.check(config)
    end = _final_event(folder)
    if end is not None:
        yield end
        return
    device = pick_device(resources.device)
    threads = set_up(config.compute, device, resources.threads)
    root = data_root(resources.data_dir)
    for progress in fetch_data(requested, config, root):
        if stop():
            return  # the partial download is kept
        yield progress
    if stop():
        return
    config = decide_data(config, root)
    recorded = recorded_images([folder, *run_folders(study)])
    data = load(config.data, root, config.seed, recorded).to(device)
    if (changed := size_change(recorded, data.digests)) is not None:
        yield f"{changed}; training continues with the changed files."
    yield from train_in(
        folder, config, data, device, threads, stop, measure_speed=measure_speed, checkpoint_seconds=checkpoint_seconds
    )


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
) -> Iterator[str | Forecast | Record | Event]:
    """Like `run`, with the data loaded and the device set up; weights are copied from `start` if given, else from the seed."""
    folder.make()
    if (owner := awaited(folder.path)) is not None:
        yield f"{folder.path} was not released by {owner}; waiting up to {STALE_SECONDS:.0f} s for a sign of life."
    with folder.lock(stop) as hold:
        if hold is None:  # asked to stop while waiting
            return
        if hold.taken_over is not None:
            yield f"Taken over from {hold.taken_over}, which showed no sign of life."
        decided = decide_compile(config, device, measure_speed=measure_speed)
        config = decided.config
        folder.create(config)
        end = _final_event(folder)  # again, under the lock: another process may have finished the run
        if end is not None:
            yield end
            return
        yield from decided.notices
        state = initial_state(decided.effective, device, start)
        session = _Session(config, folder, data, state, stop, checkpoint_seconds, hold)
        environment = describe(device, threads, decided.effective.compute, data.provenance)
        yield from session.begin(environment, decided.speed)
        yield from session.train()


def _final_event(folder: RunFolder) -> Event | None:
    """The `finished` event, if the run has ended. Raises DivergedError for a diverged run, which would diverge again."""
    end = folder.ending()
    if end is not None and end.name == "diverged":
        raise DivergedError(
            f"{folder.path} diverged at step {end.step} and would diverge again. Change the recipe, such as "
            "--set recipe.lr=0.05, and use another --study NAME."
        )
    return end


class _Session:
    """The work of one process on a run, from start or resume to the end or a stop."""

    def __init__(
        self,
        config: RunConfig,
        folder: RunFolder,
        data: Data,
        state: TrainState,
        stop: Stop,
        checkpoint_seconds: float,
        hold: Hold,
    ) -> None:
        self._config, self._folder, self._data, self._state, self._stop = config, folder, data, state, stop
        self._hold = hold
        self._checkpoint_seconds = checkpoint_seconds
        self._batches = training_batches(data, config.recipe.batch_size, config.seed)
        self._saved_at = time.monotonic()

    def begin(self, environment: dict[str, object], speed: Speed) -> Iterator[Forecast | Event]:
        """Restore the newest checkpoint, if any, and yield the `started` or `resumed` event and a forecast."""
        saved, faults = checkpoint.load_newest(self._folder, self._state.load_state_dict)
        cost = count_run(self._config)
        if saved is None:
            write_json(self._folder.path / "environment.json", environment)
            yield self._folder.append_event(
                "started",
                0,
                parameters=cost.parameters,
                multiply_adds=cost.multiply_adds,
                digest=self._config.digest(),
                sha256=self._digests(),
            )
        else:
            initial = read_json(self._folder.path / "environment.json")
            now = {key: environment[key] for key in _REPRODUCIBILITY_KEYS}
            changed = {key: value for key, value in now.items() if value != initial.get(key, value)}
            digests = self._data.digests
            if digests is not None and digests != self._folder.read_image_digests():
                changed["images"] = digests._asdict()
            former = self._hold.taken_over
            taken_over = {"taken_over": {"host": former.host, "pid": former.pid}} if former else {}
            yield self._folder.append_event("resumed", self._state.step, skipped=faults, changed=changed, **taken_over)
        yield forecast(self._config, cost, speed, from_step=self._state.step)

    def _digests(self) -> dict[str, str]:
        """The digests that `verify` compares: of the environment file, and of what the runs of a matched pair have in common."""
        return {
            "environment.json": self._folder.digests()["environment.json"],
            "initial weights": weights_digest(self._state.net),
            "training images": data_digest(self._data),
            "order and augmentation": order_digest(self._batches),
        }

    def train(self) -> Iterator[Record | Event]:
        """Train, record, evaluate and save checkpoints until the run ends or is stopped."""
        try:
            try:
                yield from self._work()
            except _Stopped:
                yield self._save()
                yield self._folder.append_event("preempted", self._state.step)
                return
            except DataError as error:  # an image in a folder that cannot be decoded
                yield self._save()
                yield self._folder.append_event("failed", self._state.step, reason=str(error))
                raise
        except DivergedError:
            self._folder.append_event("diverged", self._state.step)
            raise
        yield self._folder.append_event("finished", self._state.step, sha256=self._folder.digests())

    def _work(self) -> Iterator[Record | Event]:
        config, state = self._config, self._state
        evaluated = {record.step for record in self._folder.records() if isinstance(record, EvalRecord)}
        if state.reported_step == state.step and state.step not in evaluated:
            yield from self._evaluate_if_due()  # the run was stopped or killed during the evaluation at this step
        for records in train(
            state,
            self._batches,
            config.recipe,
            log_every=config.log.every,
            validate=self._validate,
            precision=config.compute.precision,
        ):
            if records:
                self._hold.check()
            for record in records:
                self._folder.append(record)
                yield record
            if self._stop():
                raise _Stopped
            due = time.monotonic() - self._saved_at > self._checkpoint_seconds
            if due or state.step == config.recipe.steps or state.step in config.log.keep:
                yield self._save()
            yield from self._evaluate_if_due()

    def _save(self) -> Event:
        self._state.raise_if_diverged()
        self._hold.check()
        self._folder.sync()
        path = checkpoint.save(self._folder, self._state.step, self._state.state_dict(), self._config.log.keep)
        self._saved_at = time.monotonic()
        return self._folder.append_event("checkpointed", self._state.step, file=path.name)

    def _evaluate_if_due(self) -> Iterator[EvalRecord]:
        step, settings = self._state.step, self._config.evaluation
        final = step == self._config.recipe.steps
        if final or (step > 0 and step % settings.every == 0):
            self._state.raise_if_diverged()
            num_images = settings.final_train_images if final else settings.train_images
            views = settings.final_test_views if final else 1
            record = self._evaluate(len(self._data.train) if num_images == "all" else num_images, views)
            self._hold.check()
            self._folder.append(record)
            yield record

    def _evaluate(self, num_train_images: int, test_views: int) -> EvalRecord:
        begin = time.perf_counter()
        net = folded(self._state.net)
        train_subset = self._train_subset(num_train_images)
        train_error, train_loss = self._measure(net, train_subset)
        validation = self._measure(net, self._data.validation) if self._data.validation else (None, None)
        test_error, test_loss = self._measure(net, self._data.test, test_views)
        return EvalRecord(
            step=self._state.step,
            train_error=train_error,
            train_loss=train_loss,
            train_images=len(train_subset),
            validation_error=validation[0],
            validation_loss=validation[1],
            test_error=test_error,
            test_loss=test_loss,
            seconds=time.perf_counter() - begin,
        )

    def _train_subset(self, num_images: int) -> Images:
        """The first `num_images` training images in a seeded order, so that larger subsets contain smaller ones."""
        if num_images >= len(self._data.train):
            return self._data.train
        order = torch.randperm(len(self._data.train), generator=generator(self._config.seed, "evaluation/train"))
        return self._data.train.pick(order[:num_images].to(self._data.train.labels.device))

    def _measure(self, net: nn.Module, images: Images, views: int = 1) -> tuple[float, float]:
        """Error and loss on `images`. Raises _Stopped as soon as the run is asked to stop."""

        def batches() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
            for batch in clean_batches(images, self._data.mean, views=views):
                if self._stop():
                    raise _Stopped
                yield batch

        return evaluate(net, batches(), self._config.compute.precision)

    def _validate(self) -> tuple[float, float]:
        """Error and loss on the validation images, for a plateau check. Raises _Stopped as `_measure` does."""
        assert self._data.validation is not None
        return self._measure(folded(self._state.net), self._data.validation)
