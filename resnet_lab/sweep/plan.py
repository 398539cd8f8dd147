"""The plan of a sweep: the remaining runs, their order, their resources and the estimated time."""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from resnet_lab.config.files import StudyConfig
from resnet_lab.config.schema import RunConfig, with_compile
from resnet_lab.config.terms import KINDS, Kind
from resnet_lab.data.load import data_root, prepare
from resnet_lab.data.progress import DownloadProgress
from resnet_lab.models.cost import count_run
from resnet_lab.record.store import Run, RunFolder, RunState
from resnet_lab.record.study import recorded_images, run_folders
from resnet_lab.run.auto import TRIAL_SECONDS, as_in_study, decide_compile, decide_data, fetch_data, trial_pays
from resnet_lab.run.compute import set_up
from resnet_lab.run.estimate import UNMEASURED, Forecast, Speed, background_training, forecast, measure, measuring_seconds
from resnet_lab.sweep.disk import DiskSpace, disk_space, free_bytes
from resnet_lab.sweep.grid import expand, folder_of
from resnet_lab.sweep.launch import Allocation, Allocator, Job, Launcher, Outcome, start

_ENDED: tuple[RunState, ...] = ("finished", "diverged")
_LEAST_SHARE = 0.05  # of the work to be done before the estimate is scaled by the observed speed
_NOMINAL = 10**9  # multiply-adds per image of a network that takes a second for a step


@dataclass(frozen=True)
class PlannedRun:
    """A run of the plan with its state and a forecast of the remainder.

    `seconds` is the estimated time of its process, 0 for a finished run.
    """

    folder: RunFolder
    state: RunState
    forecast: Forecast
    seconds: float


@dataclass(frozen=True)
class Plan:
    """All runs of a sweep, longest first, and the jobs that remain to be started, in the same order.

    `trial_seconds` is the time of a trial of compiled blocks, 0 if none is pending. `disk` is the space for what is left.
    """

    study_path: Path
    runs: tuple[PlannedRun, ...]
    jobs: tuple[Job, ...]
    allocation: Allocation
    stand_in: bool
    trial_seconds: float
    disk: DiskSpace

    @property
    def is_measured(self) -> bool:
        """Whether times are those of the machine that trains; else they are of use only in relation to each other."""
        return self.allocation.device is not None

    def progress(self, runs: Sequence[Run], elapsed: float) -> tuple[float, float | None]:
        """Return the share of the planned work that is done, and the seconds left, `elapsed` seconds after the start.

        The time left is at first the planned one, or None if the speed was not measured. Later it is scaled by the ratio of
        elapsed to planned time so far.
        """
        left = []
        for planned, run in zip(self.runs, runs, strict=True):
            begin, end = planned.forecast.from_step, planned.forecast.config.recipe.steps
            steps = end - begin
            left.append(planned.seconds * ((end - run.step) / steps if steps and run.state not in _ENDED else 0.0))
        total = sum(planned.seconds for planned in self.runs)
        done = total - sum(left)
        expected = makespan(sorted(left, reverse=True), self.allocation.num_jobs)
        share = done / total if total else 1.0
        if share < _LEAST_SHARE:
            return share, expected if self.is_measured else None
        return share, expected * elapsed * self.allocation.num_jobs / done

    @property
    def diverged(self) -> tuple[RunFolder, ...]:
        """Runs that have diverged, and would diverge again if restarted."""
        return tuple(run.folder for run in self.runs if run.state == "diverged")

    @property
    def seconds(self) -> float:
        """Estimated wall time of the sweep."""
        return makespan([run.seconds for run in self.runs], self.allocation.num_jobs) + self.trial_seconds

    def create(self) -> None:
        """Write the config of every run."""
        for run in self.runs:
            run.folder.create(run.forecast.config)

    def start(self, launcher: Launcher, stop: Callable[[], int | None]) -> Iterator[Outcome | str | None]:
        """Write the config of every run, then launch the jobs. See Launcher.launch."""
        self.create()
        return start(launcher, self.jobs, self.allocation, stop)


@dataclass(frozen=True)
class Outlook:
    """The estimated cost of a complete sweep on this machine, regardless of existing runs. `seconds` is wall time."""

    forecasts: tuple[Forecast, ...]
    seconds: float
    allocation: Allocation


def outlook(source: StudyConfig, launcher: Allocator, start_seconds: float = 0.0) -> Outlook:
    """Measure this machine's speed for a sweep, without a trial of compiled blocks. Raises ConfigError.

    `start_seconds` is the start-up time of a run's process.
    """
    configs = expand(source)
    allocation = launcher.allocate(len(configs))
    measured = _measured(configs, allocation, lambda _: None, may_try=False)
    runs = [_expected(config, measured, start_seconds) for config in measured.configs]
    seconds = makespan([seconds for _, seconds in runs], allocation.num_jobs) + measured.trial_seconds
    return Outlook(tuple(expected for expected, _ in runs), seconds, allocation)


def plan(
    source: StudyConfig,
    study_path: Path,
    data_dir: Path | None,
    launcher: Allocator,
    show: Callable[[DownloadProgress | str], None],
    *,
    must_have_data: bool = True,
    start_seconds: float = 0.0,
    free: Callable[[Path], int] = free_bytes,
) -> Plan:
    """Plan a sweep: check settings, existing runs and data, and measure the speed if this machine trains.

    Writes no run and starts none.

    `start_seconds` is the start-up time of a run's process; `free` returns the free bytes of a folder's disk. Raises ConfigError,
    and DataError unless `must_have_data` is False.
    """
    requested = expand(source)
    allocation = launcher.allocate(len(requested))
    folders = [folder_of(config, study_path) for config in requested]
    configs = [as_in_study(config, study_path) for config in requested]
    for config, folder in zip(configs, folders, strict=True):
        folder.check(config)
    existing = [folder.read() if folder.exists() else None for folder in folders]
    is_done = all(run is not None and run.state in _ENDED for run in existing)
    root = data_root(data_dir)
    if must_have_data and not is_done:
        for update in fetch_data(requested[0], configs[0], root):
            show(update)
        configs = [decide_data(config, root) for config in configs]
        prepare(configs[0].data, root, recorded_images(run_folders(study_path)))
    measured = _Measured(configs, {})
    if not is_done:
        measured = _measured(configs, allocation, show, may_try=must_have_data)
    runs = [
        _planned(config, folder, run, measured, start_seconds)
        for config, folder, run in zip(measured.configs, folders, existing, strict=True)
    ]
    runs.sort(key=lambda run: run.seconds, reverse=True)
    jobs = tuple(Job(run.folder, root) for run in runs if run.state not in _ENDED)
    stand_in = configs[0].data.facts.is_stand_in
    left = [(run.forecast.config, run.folder) for run in runs if run.state not in _ENDED]
    disk = disk_space(left, allocation.num_jobs, study_path, free)
    return Plan(study_path, tuple(runs), jobs, allocation, stand_in, measured.trial_seconds, disk)


def makespan(seconds: Iterable[float], num_jobs: int) -> float:
    """Seconds until the last run ends, if runs are started in this order, `num_jobs` at a time."""
    ends = [0.0] * num_jobs
    for run_seconds in seconds:
        heapq.heappush(ends, heapq.heappop(ends) + run_seconds)
    return max(ends)


@dataclass(frozen=True)
class _Measured:
    """A sweep's configs, all with the same decision on `compute.compile`, and the measured speeds.

    `speeds` has the multiply-adds and the speed of the shallowest net of each kind; `trial_seconds` is the time of a trial of
    compiled blocks, 0 if none is pending.
    """

    configs: list[RunConfig]
    speeds: dict[Kind, tuple[int, Speed]]
    trial_seconds: float = 0.0


def _measured(configs: list[RunConfig], allocation: Allocation, show: Callable[[str], None], *, may_try: bool) -> _Measured:
    """Measure the shallowest net of each kind, with as many threads and concurrent runs as in the sweep.

    If other machines train, the speed is a nominal one, and blocks are compiled only on request, since there is no trial.
    """
    if allocation.device is None:
        images = 3 * configs[0].recipe.batch_size  # that are evaluated with the work of one step
        nominal = dict.fromkeys(KINDS, (_NOMINAL, Speed({"forward": 1.0}, 1 / images)))
        return _Measured([with_compile(config, config.compute.compile is True) for config in configs], nominal)
    device = torch.device(allocation.device)
    set_up(configs[0].compute, device, allocation.threads)
    by_depth = sorted(configs, key=lambda config: config.model.depth)
    shallowest = {config.model.kind: config for config in reversed(by_depth)}  # residual: with the first shortcut
    first = by_depth[0]
    work = sum(config.recipe.steps * count_run(config).multiply_adds for config in configs)
    equal_steps = work / count_run(first).multiply_adds / allocation.num_jobs
    num_neighbours = allocation.num_jobs - 1 if device.type == "cpu" else 0
    with background_training(with_compile(first, False), device, num_neighbours):  # eager, since this machine may lack a compiler
        decided = decide_compile(first, device, equal_steps if may_try else 0)
        for notice in decided.notices:
            show(notice)
        speeds = {}
        for kind, config in shallowest.items():
            effective = config.model_copy(update={"compute": decided.effective.compute})
            speeds[kind] = count_run(config).multiply_adds, decided.speed if config is first else measure(effective, device)
    undecided = first.compute.compile == "auto" and not may_try and trial_pays(equal_steps * decided.speed.step_seconds)
    configs = [with_compile(config, decided.config.compute.compile is True) for config in configs]
    return _Measured(configs, speeds, TRIAL_SECONDS if undecided else 0.0)


def _planned(config: RunConfig, folder: RunFolder, run: Run | None, measured: _Measured, start_seconds: float) -> PlannedRun:
    """A run with the estimate of its remaining time."""
    if run is not None and run.state in _ENDED:
        return PlannedRun(folder, run.state, forecast(config, count_run(config), UNMEASURED, from_step=run.step), 0.0)
    state, from_step = (run.state, run.step) if run else ("planned", 0)
    return PlannedRun(folder, state, *_expected(config, measured, start_seconds, from_step))


def _expected(config: RunConfig, measured: _Measured, start_seconds: float, from_step: int = 0) -> tuple[Forecast, float]:
    """The forecast of a run from this step, with its kind's speed scaled by multiply-adds, and the seconds of its process."""
    cost = count_run(config)
    multiply_adds, speed = measured.speeds[config.model.kind]
    speed = speed.scaled(cost.multiply_adds / multiply_adds)
    expected = forecast(config, cost, speed, from_step)
    measuring = measuring_seconds(speed) if config.compute.compile is True else 0.0
    return expected, start_seconds + measuring + expected.seconds
