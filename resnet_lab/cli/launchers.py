"""The options of the launchers of `sweep`, and what `sweep --launcher k8s` prints."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from resnet_lab.cli import terminal
from resnet_lab.errors import ConfigError

if TYPE_CHECKING:
    from resnet_lab.sweep.k8s import KubernetesJob
    from resnet_lab.sweep.plan import Plan

LauncherName = Literal["local", "k8s"]
LauncherOption = Annotated[
    LauncherName, typer.Option("--launcher", help="Where to train: on this machine, or on Kubernetes (with --dry-run).")
]
_KUBERNETES = "On Kubernetes"
Image = Annotated[
    str | None,
    typer.Option(help="Container image built from the Dockerfile (default: resnet-lab:VERSION).", rich_help_panel=_KUBERNETES),
]
Claim = Annotated[
    str | None,
    typer.Option(help="PersistentVolumeClaim with the folders runs and data (default: resnet-lab).", rich_help_panel=_KUBERNETES),
]
Namespace = Annotated[str | None, typer.Option(help="Namespace (default: kubectl's).", rich_help_panel=_KUBERNETES)]
CpusPerRun = Annotated[int | None, typer.Option(min=1, help="CPUs of each run (default: 1).", rich_help_panel=_KUBERNETES)]
GpusPerRun = Annotated[
    float | None, typer.Option(min=0, help="GPUs of each run, a whole number (default: 0).", rich_help_panel=_KUBERNETES)
]


def refuse_options_of_others(launcher: LauncherName, options: Mapping[LauncherName, Mapping[str, object]]) -> None:
    """Raise ConfigError if an option of another launcher is given; `options` has their values by launcher and name."""
    for owner, values in options.items():
        given = [name for name, value in values.items() if value is not None]
        if owner != launcher and given:
            raise ConfigError(f"{', '.join(given)} {'needs' if len(given) == 1 else 'need'} --launcher {owner}.")


def check_kubernetes(config: str | None, *, dry_run: bool, others: Mapping[str, bool]) -> None:
    """Raise ConfigError unless the Job is only to be printed. `others` says which options that do not apply are given."""
    given = [name for name, is_given in others.items() if is_given]
    if given:
        raise ConfigError(
            f"{', '.join(given)} cannot be used with --launcher k8s: the output is YAML, --gpus-per-run decides on the device, "
            "and images are read from the claim's folder data."
        )
    if not dry_run:
        command = " ".join(["resnet-lab sweep", *([config] if config else []), "--launcher k8s --dry-run"])
        raise ConfigError(f"resnet-lab submits nothing to Kubernetes; use `{command} | kubectl apply -f -`.")


def kubernetes_job(options: Mapping[str, Any], threads: int | None, jobs: int | None) -> "KubernetesJob":
    """What the options, by name, describe. Raises ConfigError."""
    from resnet_lab.sweep.k8s import CLAIM, IMAGE, KubernetesJob

    return KubernetesJob(
        image=options["--image"] or IMAGE,
        claim=options["--claim"] or CLAIM,
        namespace=options["--namespace"],
        cpus=options["--cpus-per-run"] or 1,
        gpus=options["--gpus-per-run"] or 0,
        threads=threads,
        num_jobs=jobs,
    )


def print_manifest(job: "KubernetesJob", plan: "Plan") -> None:
    """Print the manifest on stdout and what to know about it on stderr."""
    from resnet_lab.sweep.disk import in_bytes
    from resnet_lab.sweep.k8s import job_name

    if not plan.jobs:
        return
    study = plan.study_path.name
    terminal.plain(job.manifest(plan))
    if not (name := job_name(study)).endswith(f"-{study}"):
        terminal.note(
            f"Kubernetes does not accept {study!r} as part of a name; the Job is called {name}. The study keeps its name."
        )
    terminal.note(
        f"The claim {job.claim} must have the images in its folder data, and {in_bytes(plan.disk.needed)} of free space. "
        "resnet-lab submits nothing: pipe the output into `kubectl apply -f -`. Its first lines show how to watch and cancel."
    )
