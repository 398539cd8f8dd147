"""The launchers of `resnet-lab sweep`, and the options that only some of them have."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from resnet_lab.cli import slurm
from resnet_lab.config.files import StudyConfig
from resnet_lab.errors import ConfigError

if TYPE_CHECKING:
    from resnet_lab.sweep.k8s import KubernetesJob
    from resnet_lab.sweep.launch import Launcher
    from resnet_lab.sweep.slurm import SlurmArray

LauncherName = Literal["local", "slurm", "ray", "k8s"]
_CLUSTERS, _SLURM, _RAY, _KUBERNETES = "On a cluster", "On a Slurm cluster", "On a Ray cluster", "On Kubernetes"
_LEAST_GPUS = 0.01

LauncherOption = Annotated[
    LauncherName,
    typer.Option(
        "--launcher",
        metavar="NAME",
        help="Where to train: `local`, `slurm`, `ray` or `k8s` (Kubernetes, with --dry-run).",
    ),
]
CpusPerRun = Annotated[
    int | None,
    typer.Option(
        "--cpus-per-run", min=1, max=1024, help="CPUs, and threads, of each run (default: 1).", rich_help_panel=_CLUSTERS
    ),
]
GpusPerRun = Annotated[
    float | None,
    typer.Option(
        "--gpus-per-run",
        min=0,
        help="GPUs of each run. Ray: 0, 1, or a fraction (default: 1 if the cluster has GPUs, else 0). Kubernetes: a whole "
        "number (default: 0).",
        rich_help_panel=_CLUSTERS,
    ),
]
Time = Annotated[
    str | None, typer.Option("--time", help="Time limit of each task, such as 4:00:00 or 2-00:00:00.", rich_help_panel=_SLURM)
]
Partition = Annotated[str | None, typer.Option("--partition", help="Partition.", rich_help_panel=_SLURM)]
Account = Annotated[str | None, typer.Option("--account", help="Account to charge.", rich_help_panel=_SLURM)]
Gres = Annotated[
    str | None, typer.Option("--gres", help="Generic resources of each task, such as gpu:1.", rich_help_panel=_SLURM)
]
AtOnce = Annotated[
    int | None,
    typer.Option("--at-once", help="Number of tasks that run at the same time (default: no limit).", rich_help_panel=_SLURM),
]
SlurmOption = Annotated[
    list[str] | None,
    typer.Option("--slurm", metavar="KEY=VALUE", help="Another option of sbatch, such as qos=long.", rich_help_panel=_SLURM),
]
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
Image = Annotated[
    str | None,
    typer.Option(help="Container image built from the Dockerfile (default: resnet-lab:VERSION).", rich_help_panel=_KUBERNETES),
]
Claim = Annotated[
    str | None,
    typer.Option(help="PersistentVolumeClaim with the folders runs and data (default: resnet-lab).", rich_help_panel=_KUBERNETES),
]
Namespace = Annotated[str | None, typer.Option(help="Namespace (default: kubectl's).", rich_help_panel=_KUBERNETES)]

# The launchers that each option applies to; the options of `sweep` that are not listed apply to all.
_OWNERS: Mapping[str, tuple[LauncherName, ...]] = {
    "--device": ("local", "slurm"),
    "--threads": ("local", "slurm", "k8s"),
    "--data-dir": ("local", "slurm", "ray"),
    "--json": ("local", "slurm", "ray"),
    **dict.fromkeys(("--until-decided", "--max-seeds", "--report"), ("local", "ray")),
    "--cpus-per-run": ("slurm", "ray", "k8s"),
    "--gpus-per-run": ("ray", "k8s"),
    **dict.fromkeys(("--time", "--partition", "--account", "--gres", "--at-once", "--slurm"), ("slurm",)),
    "--address": ("ray",),
    **dict.fromkeys(("--image", "--claim", "--namespace"), ("k8s",)),
}
# Why an option does not apply to the other clusters.
_REASONS = {
    "--device": "--gpus-per-run decides on the device",
    "--threads": "a run has as many threads as --cpus-per-run",
    "--data-dir": "images are read from the claim's folder data",
    "--json": "the output is YAML",
    **dict.fromkeys(("--until-decided", "--report"), "the sweep does not wait for its runs"),
}


def check_options(launcher: LauncherName, options: Mapping[str, object]) -> None:
    """Raise ConfigError if options are given that do not apply to this launcher; `options` has their values by name."""
    given = [option for option, value in options.items() if value is not None and value is not False]
    wrong = [option for option in given if launcher not in _OWNERS[option]]
    if not wrong:
        return
    owners = _OWNERS[wrong[0]]
    named = [option for option in wrong if _OWNERS[option] == owners]
    reasons = " and ".join(dict.fromkeys(_REASONS[option] for option in named if option in _REASONS))
    raise ConfigError(
        f"{', '.join(named)} {'needs' if len(named) == 1 else 'need'} --launcher {_either(owners)}"
        + (f"; with {launcher}, {reasons}." if reasons else ".")
    )


def _either(names: Sequence[str]) -> str:
    """Such as `a, b or c`."""
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


@contextmanager
def opened(
    launcher: LauncherName,
    source: StudyConfig,
    options: Mapping[str, Any],
    threads: int | None,
    jobs: int | None,
    *,
    dry_run: bool,
) -> "Iterator[Launcher | SlurmArray | KubernetesJob]":
    """The launcher with this name, connected to its cluster until the end. Raises ConfigError."""
    device = options["--device"] or "auto"
    if launcher == "local":
        from resnet_lab.sweep.local import LocalPool

        yield LocalPool(device, threads, jobs)
    elif launcher == "slurm":
        from resnet_lab.sweep.slurm import SlurmArray, check_sbatch

        if not dry_run:
            check_sbatch()
        yield SlurmArray(source.slurm(slurm.settings(options, jobs)), device, threads)
    elif launcher == "ray":
        from resnet_lab.sweep.ray import RayPool

        gpus = options["--gpus-per-run"]
        if gpus and not _LEAST_GPUS <= gpus <= 1:
            raise ConfigError(f"--gpus-per-run is 0 or {_LEAST_GPUS} to 1 on Ray, not {gpus:g}.")
        with RayPool(options["--address"], options["--cpus-per-run"] or 1, gpus, jobs) as pool:
            yield pool
    else:
        from resnet_lab.sweep.k8s import CLAIM, IMAGE, KubernetesJob

        yield KubernetesJob(
            image=options["--image"] or IMAGE,
            claim=options["--claim"] or CLAIM,
            namespace=options["--namespace"],
            cpus=options["--cpus-per-run"] or 1,
            gpus=options["--gpus-per-run"] or 0,
            threads=threads,
            num_jobs=jobs,
        )
