"""The launchers of `resnet-lab sweep`, and the options that only one of them has."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from resnet_lab.errors import ConfigError

if TYPE_CHECKING:
    from resnet_lab.sweep.launch import Launcher

LauncherName = Literal["local", "ray"]
_RAY = "On a Ray cluster"
_LEAST_GPUS = 0.01

LauncherOption = Annotated[LauncherName, typer.Option("--launcher", help="What starts the runs: local, this machine, or ray.")]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="HOST:PORT",
        help="Head node; auto: the cluster that runs on this machine; local: a new one here "
        "(default: $RAY_ADDRESS, or else local).",
        rich_help_panel=_RAY,
    ),
]
CpusPerRun = Annotated[
    int | None,
    typer.Option("--cpus-per-run", min=1, max=1024, help="CPUs and threads of each run (default: 1).", rich_help_panel=_RAY),
]
GpusPerRun = Annotated[
    float | None,
    typer.Option(
        "--gpus-per-run",
        min=0,
        max=1,
        help="GPU of each run, or the fraction of one; 0: runs train on CPUs (default: 1 if the cluster has GPUs, else 0).",
        rich_help_panel=_RAY,
    ),
]


@contextmanager
def local_launcher(device: str, threads: int | None, jobs: int | None) -> Iterator["Launcher"]:
    """Processes on this machine."""
    from resnet_lab.sweep.local import LocalPool

    yield LocalPool(device, threads, jobs)


@contextmanager
def ray_launcher(address: str | None, cpus: int | None, gpus: float | None, jobs: int | None) -> Iterator["Launcher"]:
    """Tasks on a Ray cluster, connected to until the end. Raises ConfigError."""
    from resnet_lab.sweep.ray import RayPool

    if gpus and gpus < _LEAST_GPUS:
        raise ConfigError(f"--gpus-per-run is 0 or {_LEAST_GPUS} to 1, not {gpus:g}.")
    with RayPool(address, cpus or 1, gpus, jobs) as pool:
        yield pool


def check_options(launcher: LauncherName, owner: LauncherName, options: Mapping[str, object]) -> None:
    """Raise ConfigError if another launcher was chosen than that of these options, and one of them is not None."""
    for option, value in options.items():
        if value is not None and launcher != owner:
            raise ConfigError(f"{option} belongs to --launcher {owner}, not to --launcher {launcher}: drop one of them.")
