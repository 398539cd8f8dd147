"""What a sweep will do: which runs are left, in which order, with which resources, and how long it will take."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from resnet_lab.config import DataConfig, RunConfig
from resnet_lab.configfile import StudyConfig
from resnet_lab.data import cifar10
from resnet_lab.data.stand_in import resolve
from resnet_lab.estimate import Forecast, Speed, forecast, measure
from resnet_lab.experiment import Resources, as_begun
from resnet_lab.models.cost import Cost, count
from resnet_lab.record.store import RunFolder, RunState
from resnet_lab.records import DownloadProgress
from resnet_lab.sweep.grid import expand, folder_of
from resnet_lab.sweep.launch import Job, LocalPool, Outcome, num_cores, threads_for
from resnet_lab.train.world import pick_device, set_threads


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
    configs = expand(source)
    device = pick_device(resources.device)
    begun = next((config for config in configs if folder_of(config, study).exists()), configs[0])
    configs = [config.model_copy(update={"data": as_begun(begun, folder_of(begun, study)).data}) for config in configs]
    for config in configs:
        if config.data.dataset != "auto":
            folder_of(config, study).check(config)
    data = _data(configs[0].data, resources, show, must_have_data)
    configs = [config.model_copy(update={"data": data}) for config in configs]
    num_devices = torch.cuda.device_count() if resources.device in ("auto", "cuda") and device.type == "cuda" else 1
    num_jobs = min(num_jobs or (num_cores() if device.type == "cpu" else num_devices), len(configs))
    threads = set_threads(resources.threads or threads_for(num_jobs, num_cores()))
    runs = _longest_first(configs, study, device)
    data_dir = cifar10.data_dir(resources.data_dir)
    jobs = tuple(
        Job(run.folder, data_dir, f"cuda:{index % num_devices}" if num_devices > 1 else str(device), threads)
        for index, run in enumerate(run for run in runs if run.state not in ("finished", "diverged"))
    )
    return Plan(study, runs, jobs, num_jobs, threads, str(device), data.dataset == "synthetic")


def _data(
    config: DataConfig, resources: Resources, show: Callable[[DownloadProgress | str], None], must_have: bool
) -> DataConfig:
    """The data config of all runs, with its images found good; where they need not be there, as it is."""
    data_dir = cifar10.data_dir(resources.data_dir)
    if not must_have:
        return config
    resolving = resolve(config, data_dir)
    while True:
        try:
            show(next(resolving))
        except StopIteration as done:
            data: DataConfig = done.value
            break
    if data.dataset == "cifar10":
        cifar10.prepare(data_dir)
    return data


def _longest_first(configs: list[RunConfig], study: Path, device: torch.device) -> tuple[PlannedRun, ...]:
    """Forecasts from the shallowest net of each kind, scaled by multiply-adds to the deeper ones."""
    measured: dict[str, tuple[Cost, Speed]] = {}
    for config in sorted(configs, key=lambda config: config.model.depth):
        if config.model.kind not in measured:
            measured[config.model.kind] = count(config.model), measure(config, device)
    costs = {config.model: count(config.model) for config in configs}
    runs = []
    for config in configs:
        folder = folder_of(config, study)
        run = folder.read() if folder.exists() else None
        reference, speed = measured[config.model.kind]
        cost = costs[config.model]
        speed = speed.scaled(cost.multiply_adds / reference.multiply_adds)
        expected = forecast(config, cost, speed, from_step=run.step if run else 0)
        if run and run.state in ("finished", "diverged"):
            expected = replace(expected, seconds=0.0)
        runs.append(PlannedRun(folder, run.state if run else "planned", expected))
    return tuple(sorted(runs, key=lambda run: run.forecast.seconds, reverse=True))
