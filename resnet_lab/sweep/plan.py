"""What a sweep will do: which runs are left, in which order, with which resources, and how long it will take."""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from resnet_lab.config.files import StudyConfig
from resnet_lab.config.schema import RunConfig, with_compile
from resnet_lab.config.terms import Kind
from resnet_lab.data.load import data_root, prepare
from resnet_lab.data.progress import DownloadProgress
from resnet_lab.models.cost import count_run
from resnet_lab.record.store import Run, RunFolder, RunState
from resnet_lab.record.study import recorded_images, run_folders
from resnet_lab.run.auto import TRIAL_SECONDS, as_in_study, decide_compile, decide_data, fetch_data, trial_pays
from resnet_lab.run.compute import set_up
from resnet_lab.run.estimate import UNMEASURED, Forecast, Speed, background_training, forecast, measure, measuring_seconds
from resnet_lab.sweep.grid import expand, folder_of
from resnet_lab.sweep.launch import Allocation, Job, Launcher, Outcome, start

_ENDED: tuple[RunState, ...] = ("finished", "diverged")
_LEAST_SHARE = 0.05  # of the work done, before what is left is judged by it


@dataclass(frozen=True)
class PlannedRun:
    """A run of the plan: where it stands and what is left of it. `seconds` are those of its process, 0 for a finished run."""

    folder: RunFolder
    state: RunState
    forecast: Forecast
    seconds: float


@dataclass(frozen=True)
class Plan:
    """All runs of a sweep, longest first, and the jobs that remain to be started in that order.

    `trial_seconds` are those of a trial of compiled blocks that is still to be made.
    """

    study: Path
    runs: tuple[PlannedRun, ...]
    jobs: tuple[Job, ...]
    launcher: Launcher
    allocation: Allocation
    stand_in: bool
    trial_seconds: float

    def progress(self, runs: Sequence[Run], elapsed: float) -> tuple[float, float]:
        """The share of the planned work that is done, and the seconds left, `elapsed` seconds after the start.

        The time left is the plan's own at first. As work gets done, it is scaled by how the work done compares with the plan.
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
        slower = elapsed * self.allocation.num_jobs / done if share >= _LEAST_SHARE else 1.0
        return share, expected * slower

    @property
    def diverged(self) -> tuple[RunFolder, ...]:
        """Runs that have diverged and would do so again."""
        return tuple(run.folder for run in self.runs if run.state == "diverged")

    @property
    def seconds(self) -> float:
        """Estimated wall time."""
        return makespan([run.seconds for run in self.runs], self.allocation.num_jobs) + self.trial_seconds

    def start(self, stop: Callable[[], int | None]) -> Iterator[Outcome | None]:
        """Write the config of every run, then launch the jobs. See Launcher.launch."""
        for run in self.runs:
            run.folder.create(run.forecast.config)
        return start(self.launcher, self.jobs, self.allocation, stop)


@dataclass(frozen=True)
class Outlook:
    """What a sweep takes from its beginning to its end on this machine, whatever of it there is already."""

    forecasts: tuple[Forecast, ...]
    seconds: float
    allocation: Allocation


def outlook(source: StudyConfig, launcher: Launcher, start_seconds: float = 0.0) -> Outlook:
    """Measure this machine's speed for a sweep; nothing is tried with compiled blocks. Raises ConfigError.

    `start_seconds` is what a run's process takes to start.
    """
    configs = expand(source)
    allocation = launcher.allocate(len(configs))
    here = _measured(configs, allocation, lambda _: None, may_try=False)
    runs = [_expected(config, here, start_seconds) for config in here.configs]
    seconds = makespan([seconds for _, seconds in runs], allocation.num_jobs) + here.trial_seconds
    return Outlook(tuple(expected for expected, _ in runs), seconds, allocation)


def plan(
    source: StudyConfig,
    study: Path,
    data_dir: Path | None,
    launcher: Launcher,
    show: Callable[[DownloadProgress | str], None],
    *,
    must_have_data: bool = True,
    start_seconds: float = 0.0,
) -> Plan:
    """Check everything that can be checked before anything is written or started, and measure this machine's speed.

    `start_seconds` is what a run's process takes to start. Raises ConfigError and DataError; with `must_have_data=False` missing
    data is no error.
    """
    told = expand(source)
    allocation = launcher.allocate(len(told))
    folders = [folder_of(config, study) for config in told]
    configs = [as_in_study(config, study) for config in told]
    for config, folder in zip(configs, folders, strict=True):
        folder.check(config)
    found = [folder.read() if folder.exists() else None for folder in folders]
    is_done = all(run is not None and run.state in _ENDED for run in found)
    root = data_root(data_dir)
    if must_have_data and not is_done:
        for said in fetch_data(told[0], configs[0], root):
            show(said)
        configs = [decide_data(config, root) for config in configs]
        prepare(configs[0].data, root, recorded_images(run_folders(study)))
    here = _Measured(configs, {})
    if not is_done:
        here = _measured(configs, allocation, show, may_try=must_have_data)
    runs = [
        _planned(config, folder, run, here, start_seconds)
        for config, folder, run in zip(here.configs, folders, found, strict=True)
    ]
    runs.sort(key=lambda run: run.seconds, reverse=True)
    jobs = tuple(Job(run.folder, root) for run in runs if run.state not in _ENDED)
    stand_in = configs[0].data.facts.is_stand_in
    return Plan(study, tuple(runs), jobs, launcher, allocation, stand_in, here.trial_seconds)


def makespan(seconds: Iterable[float], num_jobs: int) -> float:
    """When the last run ends, if each is started, in this order, as soon as one of `num_jobs` places is free."""
    ends = [0.0] * num_jobs
    for each in seconds:
        heapq.heappush(ends, heapq.heappop(ends) + each)
    return max(ends)


@dataclass(frozen=True)
class _Measured:
    """A sweep's configs with `compute.compile` decided for all alike, and what this machine needs for them.

    `speeds` has multiply-adds and speed of the shallowest net of each kind; `trial_seconds` is what a trial of compiled
    blocks takes that is still to be made, else 0.
    """

    configs: list[RunConfig]
    speeds: dict[Kind, tuple[int, Speed]]
    trial_seconds: float = 0.0


def _measured(configs: list[RunConfig], allocation: Allocation, show: Callable[[str], None], *, may_try: bool) -> _Measured:
    """Measure the shallowest net of each kind, beside as many others as will run at once, with the threads of a run."""
    device = torch.device(allocation.device)
    set_up(configs[0].compute, device, allocation.threads)
    by_depth = sorted(configs, key=lambda config: config.model.depth)
    shallowest = {config.model.kind: config for config in reversed(by_depth)}  # of residual ones, that with the first shortcut
    first = by_depth[0]
    work = sum(config.recipe.steps * count_run(config).multiply_adds for config in configs)
    equal_steps = work / count_run(first).multiply_adds / allocation.num_jobs
    others = allocation.num_jobs - 1 if device.type == "cpu" else 0
    with background_training(with_compile(first, False), device, others):  # eager: they must train where nothing compiles, too
        decided = decide_compile(first, device, equal_steps if may_try else 0)
        for notice in decided.notices:
            show(notice)
        speeds = {}
        for kind, config in shallowest.items():
            here = config.model_copy(update={"compute": decided.effective.compute})
            speeds[kind] = count_run(config).multiply_adds, decided.speed if config is first else measure(here, device)
    undecided = first.compute.compile == "auto" and not may_try and trial_pays(equal_steps * decided.speed.step_seconds)
    alike = [with_compile(config, decided.config.compute.compile is True) for config in configs]
    return _Measured(alike, speeds, TRIAL_SECONDS if undecided else 0.0)


def _planned(config: RunConfig, folder: RunFolder, run: Run | None, here: _Measured, start_seconds: float) -> PlannedRun:
    """A run with the time that is left of it."""
    if run is not None and run.state in _ENDED:
        return PlannedRun(folder, run.state, forecast(config, count_run(config), UNMEASURED, from_step=run.step), 0.0)
    return PlannedRun(folder, run.state if run else "planned", *_expected(config, here, start_seconds, run.step if run else 0))


def _expected(config: RunConfig, here: _Measured, start_seconds: float, from_step: int = 0) -> tuple[Forecast, float]:
    """What is left of a run, at its kind's measured speed scaled by multiply-adds; and the seconds of its process."""
    cost = count_run(config)
    multiply_adds, speed = here.speeds[config.model.kind]
    speed = speed.scaled(cost.multiply_adds / multiply_adds)
    expected = forecast(config, cost, speed, from_step)
    measuring = measuring_seconds(speed) if config.compute.compile is True else 0.0
    return expected, start_seconds + measuring + expected.seconds
