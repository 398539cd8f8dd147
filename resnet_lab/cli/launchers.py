"""The options of the launchers of `sweep`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from resnet_lab.errors import ConfigError

if TYPE_CHECKING:
    from resnet_lab.sweep.ray import RayPool

LauncherName = Literal["local", "ray"]
_RAY = "On a Ray cluster"
_LEAST_GPUS = 0.01

LauncherOption = Annotated[LauncherName, typer.Option("--launcher", help="Where to train: on this machine, or on a Ray cluster.")]
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


def refuse_options_of_others(launcher: LauncherName, options: Mapping[LauncherName, Mapping[str, object]]) -> None:
    """Raise ConfigError if an option of another launcher is given; `options` has their values by launcher and name."""
    for owner, values in options.items():
        given = [name for name, value in values.items() if value is not None]
        if owner != launcher and given:
            raise ConfigError(f"{', '.join(given)} {'needs' if len(given) == 1 else 'need'} --launcher {owner}.")


def check_ray(options: Mapping[str, Any], device: str, threads: int | None) -> None:
    """Raise ConfigError for a fraction of a GPU that is too small, and if options that do not apply are given."""
    given = [name for name, is_given in {"--device": device != "auto", "--threads": threads is not None}.items() if is_given]
    if given:
        raise ConfigError(
            f"{', '.join(given)} cannot be used with --launcher ray: --gpus-per-run decides on the device, "
            "and a run has as many threads as --cpus-per-run."
        )
    gpus = options["--gpus-per-run"]
    if gpus and gpus < _LEAST_GPUS:
        raise ConfigError(f"--gpus-per-run is 0 or {_LEAST_GPUS} to 1, not {gpus:g}.")


@contextmanager
def ray_pool(options: Mapping[str, Any], jobs: int | None) -> "Iterator[RayPool]":
    """A cluster as the options, by name, describe it; disconnected at the end. Raises ConfigError."""
    from resnet_lab.sweep.ray import RayPool

    with RayPool(options["--address"], options["--cpus-per-run"] or 1, options["--gpus-per-run"], jobs) as pool:
        yield pool
