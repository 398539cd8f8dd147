"""The options of the launchers of `sweep`."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import typer

from resnet_lab.config.slurm import parse_option
from resnet_lab.errors import ConfigError

LauncherName = Literal["local", "slurm"]
LauncherOption = Annotated[
    LauncherName,
    typer.Option(
        "--launcher", help="Where to train: on this machine, or on a Slurm cluster, where --jobs is per task (default: one)."
    ),
]
_SLURM = "On a Slurm cluster"
Time = Annotated[
    str | None, typer.Option("--time", help="Time limit of each task, such as 4:00:00 or 2-00:00:00.", rich_help_panel=_SLURM)
]
Partition = Annotated[str | None, typer.Option("--partition", help="Partition.", rich_help_panel=_SLURM)]
Account = Annotated[str | None, typer.Option("--account", help="Account to charge.", rich_help_panel=_SLURM)]
Gres = Annotated[
    str | None, typer.Option("--gres", help="Generic resources of each task, such as gpu:1.", rich_help_panel=_SLURM)
]
CpusPerRun = Annotated[
    int | None, typer.Option("--cpus-per-run", help="CPU cores, and threads, of each run (default: 1).", rich_help_panel=_SLURM)
]
AtOnce = Annotated[
    int | None,
    typer.Option("--at-once", help="Number of tasks that run at the same time (default: no limit).", rich_help_panel=_SLURM),
]
SlurmOption = Annotated[
    list[str] | None,
    typer.Option("--slurm", metavar="KEY=VALUE", help="Another option of sbatch, such as qos=long.", rich_help_panel=_SLURM),
]


def refuse_options_of_others(launcher: LauncherName, options: Mapping[LauncherName, Mapping[str, object]]) -> None:
    """Raise ConfigError if an option of another launcher is given; `options` has their values by launcher and name."""
    for owner, values in options.items():
        given = [name for name, value in values.items() if value is not None]
        if owner != launcher and given:
            raise ConfigError(f"{', '.join(given)} {'needs' if len(given) == 1 else 'need'} --launcher {owner}.")


def slurm_settings(options: Mapping[str, object], jobs: int | None, free: Sequence[str]) -> dict[str, Any]:
    """The settings of the section `[slurm]` that command-line options give, by the option's name."""
    given = {name.removeprefix("--").replace("-", "_"): value for name, value in options.items() if name != "--slurm"}
    settings = {name: value for name, value in (given | {"jobs": jobs}).items() if value is not None}
    return settings | {"options": dict(map(parse_option, free))}
