"""What `resnet-lab sweep --launcher k8s` prints."""

from typing import TYPE_CHECKING, NoReturn

from resnet_lab.cli import terminal
from resnet_lab.errors import ConfigError
from resnet_lab.text import in_bytes

if TYPE_CHECKING:
    from resnet_lab.sweep.k8s import KubernetesJob
    from resnet_lab.sweep.plan import Plan


def refuse_submission(config: str | None) -> NoReturn:
    """Raise ConfigError: the manifest is only printed."""
    command = " ".join(["resnet-lab sweep", *([config] if config else []), "--launcher k8s --dry-run"])
    raise ConfigError(f"resnet-lab submits nothing to Kubernetes; use `{command} | kubectl apply -f -`.")


def print_manifest(job: "KubernetesJob", plan: "Plan") -> None:
    """Print the manifest on stdout and what to know about it on stderr."""
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
