"""One run from its config to its last record: starts it, resumes it, or says that it is finished.

Use::

    for said in run(config, RunFolder(Path("runs/mine/plain-20-s0"))):
        print(said)
"""

import time
from collections.abc import Callable, Iterator

import torch
from torch import nn

from resnet_lab.config.schema import RunConfig
from resnet_lab.data.batches import clean_batches
from resnet_lab.data.images import Data, Images
from resnet_lab.data.load import data_root, load, other_sizes, training_batches
from resnet_lab.data.progress import DownloadProgress
from resnet_lab.errors import DataError, DivergedError
from resnet_lab.models.cost import count_run
from resnet_lab.models.fold import folded
from resnet_lab.models.resnet import ResNet
from resnet_lab.record import checkpoint
from resnet_lab.record.files import read_json, write_json
from resnet_lab.record.lines import EvalRecord, Event, Record
from resnet_lab.record.store import RunFolder
from resnet_lab.record.study import begun_on_images, run_folders
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
_MATTERS = ("versions", "device", "device_name", "threads", "compiled", "git_commit")  # what exact repetition rests on
Stop = Callable[[], bool]


class _Stopped(Exception):
    """An evaluation was given up since the run is to stop; it will be made when the run goes on."""


def run(
    config: RunConfig,
    folder: RunFolder,
    resources: Resources = Resources(),
    stop: Stop = lambda: False,
    *,
    measure_speed: bool = True,
) -> Iterator[DownloadProgress | str | Forecast | Record | Event]:
    """Train `config` in `folder` and yield what happens; an unfinished run goes on, a finished one yields its last event.

    Nothing is written before config, folder, device and data have been found good. Where `stop()` turns true the run is
    checkpointed and ends with a `preempted` event; called again, it goes on as if it had never stopped. `dataset = "auto"` may
    begin with the DownloadProgress of a download and sentences on it. The speed is measured for the forecast; without
    `measure_speed`, only where `compile = "auto"` is decided by it or blocks are compiled.
    Raises LabError subclasses: ConfigError, DataError, DivergedError, CheckpointError, DiskError, LockedError.
    """
    study = folder.path.parent
    settled = as_in_study(config, study)
    folder.check(settled)
    ended = _how_it_ended(folder)
    if ended is not None:
        yield ended
        return
    device = pick_device(resources.device)
    threads = set_up(settled.compute, device, resources.threads)
    root = data_root(resources.data_dir)
    for said in fetch_data(config, settled, root):
        if stop():
            return  # what has been downloaded is kept
        yield said
    if stop():
        return
    settled = decide_data(settled, root)
    begun_on = begun_on_images([folder, *run_folders(study)])
    data = load(settled.data, root, settled.seed, begun_on).to(device)
    if (changed := other_sizes(begun_on, data.digests)) is not None:
        yield f"{changed}; they are taken as they are."
    yield from train_in(folder, settled, data, device, threads, stop, measure_speed=measure_speed)


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
) -> Iterator[str | Forecast | Record | Event]:
    """`run` with its data loaded and its device set up; the network starts as `start` where that is given, else from its seed."""
    folder.make()
    with folder.lock():
        decided = decide_compile(config, device, measure_speed=measure_speed)
        config = decided.config
        folder.create(config)
        ended = _how_it_ended(folder)  # once more: another process may have had the run since
        if ended is not None:
            yield ended
            return
        yield from decided.notices
        session = _Session(config, folder, data, initial_state(decided.here, device, start), stop)
        environment = describe(device, threads, decided.here.compute, data.provenance)
        yield from session.begin(environment, decided.speed)
        yield from session.train()


def _how_it_ended(folder: RunFolder) -> Event | None:
    """The event that ended the run for good; a diverged run would diverge again, bit for bit."""
    end = folder.ending()
    if end is not None and end.name == "diverged":
        raise DivergedError(
            f"{folder.path} diverged at step {end.step} and would do so again. Change the recipe, such as "
            "--set recipe.lr=0.05, under another --study NAME."
        )
    return end


class _Session:
    """One process's work on a run."""

    def __init__(self, config: RunConfig, folder: RunFolder, data: Data, state: TrainState, stop: Stop) -> None:
        self._config, self._folder, self._data, self._state, self._stop = config, folder, data, state, stop
        self._batches = training_batches(data, config.recipe.batch_size, config.seed)
        self._saved_at = time.monotonic()
        self._mid_step = False

    def begin(self, environment: dict[str, object], speed: Speed) -> Iterator[Forecast | Event]:
        """Restore the newest checkpoint, if any, and say what is about to happen."""
        saved, faults = checkpoint.load_newest(self._folder, self._state.load_state_dict)
        cost = count_run(self._config)
        if saved is None:
            write_json(self._folder.path / "environment.json", environment)
            yield self._folder.append_event(
                "started", 0, parameters=cost.parameters, multiply_adds=cost.multiply_adds, digest=self._config.digest()
            )
        else:
            begun = read_json(self._folder.path / "environment.json")
            changed = {key: environment[key] for key in _MATTERS if environment[key] != begun.get(key, environment[key])}
            digests = self._data.digests
            if digests is not None and digests != self._folder.read_image_digests():
                changed["images"] = digests._asdict()
            yield self._folder.append_event("resumed", self._state.step, skipped=faults, changed=changed)
        yield forecast(self._config, cost, speed, from_step=self._state.step)

    def train(self) -> Iterator[Record | Event]:
        """Train, record, evaluate and checkpoint to the end, or to the stop."""
        try:
            try:
                yield from self._work()
            except _Stopped:
                yield self._save()
                yield self._folder.append_event("preempted", self._state.step)
                return
            except DataError as error:  # an image of a folder that cannot be read
                if not self._mid_step:
                    yield self._save()
                yield self._folder.append_event("failed", self._state.step, reason=str(error))
                raise
        except DivergedError:
            self._folder.append_event("diverged", self._state.step)
            raise
        yield self._folder.append_event("finished", self._state.step)

    def _work(self) -> Iterator[Record | Event]:
        config, state = self._config, self._state
        if state.step not in (record.step for record in self._folder.records() if isinstance(record, EvalRecord)):
            yield from self._evaluate_if_due()  # a run that was stopped or killed while it evaluated
        for records in train(
            state,
            self._batches,
            config.recipe,
            log_every=config.log.every,
            validate=self._validate,
            precision=config.compute.precision,
        ):
            for record in records:
                self._folder.append(record)
                yield record
            if self._stop():
                raise _Stopped
            due = time.monotonic() - self._saved_at > CHECKPOINT_SECONDS
            if due or state.step == config.recipe.steps or state.step in config.log.keep:
                yield self._save()
            yield from self._evaluate_if_due()

    def _save(self) -> Event:
        self._state.raise_if_diverged()
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
        """The first `num_images` of a seeded order: a larger subset contains the smaller."""
        if num_images >= len(self._data.train):
            return self._data.train
        order = torch.randperm(len(self._data.train), generator=generator(self._config.seed, "evaluation/train"))
        return self._data.train.pick(order[:num_images].to(self._data.train.labels.device))

    def _measure(self, net: nn.Module, images: Images, views: int = 1) -> tuple[float, float]:
        """Error and loss on `images`; given up with _Stopped when the run is to stop."""

        def batches() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
            for batch in clean_batches(images, self._data.mean, views=views):
                if self._stop():
                    raise _Stopped
                yield batch

        return evaluate(net, batches(), self._config.compute.precision)

    def _validate(self) -> tuple[float, float]:
        """A plateau check, which is part of the step and so is never given up half-way."""
        assert self._data.validation is not None
        batches = clean_batches(self._data.validation, self._data.mean)
        self._mid_step = True  # and stays so where this raises: the state is between two steps, and must not be saved
        found = evaluate(folded(self._state.net), batches, self._config.compute.precision)
        self._mid_step = False
        return found
