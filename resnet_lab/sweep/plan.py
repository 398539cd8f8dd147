"""What a sweep will do: which runs are left, in which order, with which resources, and how long it will take."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from resnet_lab.config import Kind, RunConfig
from resnet_lab.configfile import StudyConfig
from resnet_lab.data import cifar10
from resnet_lab.data.stand_in import drain, resolve
from resnet_lab.estimate import Forecast, Speed, forecast, measure
from resnet_lab.experiment import Resources, as_begun, begun_data
from resnet_lab.models.cost import count
from resnet_lab.record.store import Run, RunFolder, RunState
from resnet_lab.records import DownloadProgress
from resnet_lab.sweep.grid import expand, folder_of
from resnet_lab.sweep.launch import Job, LocalPool, Outcome, num_cores, threads_for
from resnet_lab.train.world import pick_device, set_threads

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
        """Estimated wall time: the work shared out evenly, and no less than the longest run."""
        times = [run.forecast.seconds for run in self.runs]
        return max(sum(times) / self.num_jobs, max(times, default=0.0))

    def start(self, stop: Callable[[], int | None]) -> Iterator[Outcome | None]:
        """Write the config of every run, then launch the jobs. See Launcher.launch."""
        for run in self.runs:
            run.folder.create(run.forecast.config)
        return LocalPool(self.num_jobs).launch(self.jobs, stop)


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
    begun = begun_data(told[0].data, study)
    configs = [as_begun(config, begun) for config in told]
    for config, folder in zip(configs, folders, strict=True):
        folder.check(config)
    found = [folder.read() if folder.exists() else None for folder in folders]
    is_done = all(run is not None and run.state in _ENDED for run in found)
    data_dir = cifar10.data_dir(resources.data_dir)
    if must_have_data and not is_done:
        data = drain(resolve(told[0].data, data_dir, begun), show)
        if data.dataset == "cifar10":
            cifar10.prepare(data_dir)
        configs = [config.model_copy(update={"data": data}) for config in configs]
    num_devices = torch.cuda.device_count() if resources.device in ("auto", "cuda") and device.type == "cuda" else 1
    num_jobs = min(num_jobs or (num_cores() if device.type == "cpu" else num_devices), len(configs))
    threads = set_threads(resources.threads or threads_for(num_jobs, num_cores()))
    speeds = {} if is_done else _speeds(configs, device)
    runs = [_planned(config, folder, run, speeds) for config, folder, run in zip(configs, folders, found, strict=True)]
    runs.sort(key=lambda run: run.forecast.seconds, reverse=True)
    jobs = tuple(
        Job(run.folder, data_dir, f"cuda:{index % num_devices}" if num_devices > 1 else str(device), threads)
        for index, run in enumerate(run for run in runs if run.state not in _ENDED)
    )
    return Plan(study, tuple(runs), jobs, num_jobs, threads, str(device), configs[0].data.dataset == "synthetic")


def _speeds(configs: list[RunConfig], device: torch.device) -> dict[Kind, tuple[int, Speed]]:
    """Multiply-adds and measured speed of the shallowest net of each kind."""
    speeds: dict[Kind, tuple[int, Speed]] = {}
    for config in sorted(configs, key=lambda config: config.model.depth):
        if config.model.kind not in speeds:
            speeds[config.model.kind] = count(config.model).multiply_adds, measure(config, device)
    return speeds


def _planned(config: RunConfig, folder: RunFolder, run: Run | None, speeds: dict[Kind, tuple[int, Speed]]) -> PlannedRun:
    """A run with the time it will take: the speed of the shallowest net of its kind, scaled by multiply-adds."""
    cost = count(config.model)
    if run is not None and run.state in _ENDED:
        return PlannedRun(folder, run.state, forecast(config, cost, Speed(0.0, 0.0), from_step=run.step))
    multiply_adds, speed = speeds[config.model.kind]
    expected = forecast(config, cost, speed.scaled(cost.multiply_adds / multiply_adds), from_step=run.step if run else 0)
    return PlannedRun(folder, run.state if run else "planned", expected)
