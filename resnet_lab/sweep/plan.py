"""What a sweep will do: which runs are left, in which order, with which resources, and how long it will take."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from resnet_lab.compute import set_up
from resnet_lab.config import Kind, RunConfig, with_compile
from resnet_lab.configfile import StudyConfig
from resnet_lab.data.load import data_root, prepare
from resnet_lab.data.stand_in import drain, resolve
from resnet_lab.estimate import Forecast, Speed, footing, forecast, measure
from resnet_lab.experiment import Resources, as_begun, begun_as
from resnet_lab.models.cost import count_run
from resnet_lab.record.store import Run, RunFolder, RunState, begun_on_images, run_folders
from resnet_lab.records import DownloadProgress
from resnet_lab.sweep.grid import expand, folder_of
from resnet_lab.sweep.launch import Job, LocalPool, Outcome, num_cores, threads_for
from resnet_lab.train.world import pick_device

_ENDED: tuple[RunState, ...] = ("finished", "diverged")


@dataclass(frozen=True)
class PlannedRun:
    """A run of the plan: where it stands and what is left of it. `forecast.seconds` is 0 for a finished run."""

    folder: RunFolder
    state: RunState
    forecast: Forecast


@dataclass(frozen=True)
class Plan:
    """All runs of a sweep, longest first, and the jobs that remain to be started in that order."""

    study: Path
    runs: tuple[PlannedRun, ...]
    jobs: tuple[Job, ...]
    num_jobs: int
    threads: int
    device: str
    stand_in: bool

    @property
    def diverged(self) -> tuple[RunFolder, ...]:
        """Runs that have diverged and would do so again."""
        return tuple(run.folder for run in self.runs if run.state == "diverged")

    @property
    def seconds(self) -> float:
        """Estimated wall time."""
        return _wall_seconds([run.forecast for run in self.runs], self.num_jobs)

    def start(self, stop: Callable[[], int | None]) -> Iterator[Outcome | None]:
        """Write the config of every run, then launch the jobs. See Launcher.launch."""
        for run in self.runs:
            run.folder.create(run.forecast.config)
        return LocalPool(self.num_jobs).launch(self.jobs, stop)


@dataclass(frozen=True)
class Outlook:
    """What a sweep takes from its beginning to its end on this machine, whatever of it there is already."""

    forecasts: tuple[Forecast, ...]
    num_jobs: int
    threads: int

    @property
    def seconds(self) -> float:
        """Estimated wall time."""
        return _wall_seconds(self.forecasts, self.num_jobs)


def outlook(source: StudyConfig, resources: Resources, num_jobs: int | None) -> Outlook:
    """Measure this machine's speed for a sweep; nothing is tried with compiled blocks. Raises ConfigError."""
    configs = expand(source)
    device = pick_device(resources.device)
    num_jobs, _, threads = _shared_out(configs, device, resources, num_jobs)
    configs, speeds = _measured(configs, device, lambda _: None, may_try=False)
    return Outlook(tuple(_forecast(config, speeds) for config in configs), num_jobs, threads)


def plan(
    source: StudyConfig,
    study: Path,
    resources: Resources,
    num_jobs: int | None,
    show: Callable[[DownloadProgress | str], None],
    *,
    must_have_data: bool = True,
) -> Plan:
    """Check everything that can be checked before anything is written or started, and measure this machine's speed.

    Raises ConfigError and DataError; with `must_have_data=False` missing data is no error.
    """
    told = expand(source)
    device = pick_device(resources.device)
    folders = [folder_of(config, study) for config in told]
    begun = begun_as(told[0], study)
    configs = [as_begun(config, begun) for config in told]
    for config, folder in zip(configs, folders, strict=True):
        folder.check(config)
    found = [folder.read() if folder.exists() else None for folder in folders]
    is_done = all(run is not None and run.state in _ENDED for run in found)
    root = data_root(resources.data_dir)
    if must_have_data and not is_done:
        data = drain(resolve(told[0].data, root, begun.data if begun else None), show)
        prepare(data, root, begun_on_images(run_folders(study)))
        configs = [config.model_copy(update={"data": data}) for config in configs]
    num_jobs, num_devices, threads = _shared_out(configs, device, resources, num_jobs)
    speeds: dict[Kind, tuple[int, Speed]] = {}
    if not is_done:
        configs, speeds = _measured(configs, device, show, may_try=must_have_data)
    runs = [_planned(config, folder, run, speeds) for config, folder, run in zip(configs, folders, found, strict=True)]
    runs.sort(key=lambda run: run.forecast.seconds, reverse=True)
    jobs = tuple(
        Job(run.folder, root, f"cuda:{index % num_devices}" if num_devices > 1 else str(device), threads)
        for index, run in enumerate(run for run in runs if run.state not in _ENDED)
    )
    return Plan(study, tuple(runs), jobs, num_jobs, threads, str(device), configs[0].data.dataset == "synthetic")


def _shared_out(
    configs: list[RunConfig], device: torch.device, resources: Resources, num_jobs: int | None
) -> tuple[int, int, int]:
    """Runs at once, devices, and CPU threads of each run, which this process takes as well."""
    num_devices = torch.cuda.device_count() if resources.device in ("auto", "cuda") and device.type == "cuda" else 1
    num_jobs = min(num_jobs or (num_cores() if device.type == "cpu" else num_devices), len(configs))
    threads = set_up(configs[0].compute, device, resources.threads or threads_for(num_jobs, num_cores()))
    return num_jobs, num_devices, threads


def _wall_seconds(forecasts: Iterable[Forecast], num_jobs: int) -> float:
    """The work shared out evenly, and no less than the longest run."""
    times = [each.seconds for each in forecasts]
    return max(sum(times) / num_jobs, max(times, default=0.0))


def _measured(
    configs: list[RunConfig], device: torch.device, show: Callable[[str], None], *, may_try: bool
) -> tuple[list[RunConfig], dict[Kind, tuple[int, Speed]]]:
    """The configs with `compute.compile` decided for all alike; multiply-adds and speed of the shallowest net of each kind."""
    by_depth = sorted(configs, key=lambda config: config.model.depth)
    shallowest = {config.model.kind: config for config in reversed(by_depth)}  # of residual ones, that with the first shortcut
    first = by_depth[0]
    work = sum(config.recipe.steps * count_run(config).multiply_adds for config in configs)
    equal_steps = work / count_run(first).multiply_adds if may_try else 0
    stands = footing(first, device, equal_steps)
    if stands.notice is not None:
        show(stands.notice)
    speeds = {}
    for kind, config in shallowest.items():
        here = config.model_copy(update={"compute": stands.here.compute})
        speeds[kind] = count_run(config).multiply_adds, stands.speed if config is first else measure(here, device)
    return [with_compile(config, stands.config.compute.compile is True) for config in configs], speeds


def _planned(config: RunConfig, folder: RunFolder, run: Run | None, speeds: dict[Kind, tuple[int, Speed]]) -> PlannedRun:
    """A run with the time that is left of it."""
    if run is not None and run.state in _ENDED:
        return PlannedRun(folder, run.state, forecast(config, count_run(config), Speed({}, 0.0), from_step=run.step))
    return PlannedRun(folder, run.state if run else "planned", _forecast(config, speeds, run.step if run else 0))


def _forecast(config: RunConfig, speeds: dict[Kind, tuple[int, Speed]], from_step: int = 0) -> Forecast:
    """The time a run takes: the speed of the shallowest net of its kind, scaled by multiply-adds."""
    cost = count_run(config)
    multiply_adds, speed = speeds[config.model.kind]
    return forecast(config, cost, speed.scaled(cost.multiply_adds / multiply_adds), from_step)
