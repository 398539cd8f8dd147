"""A sweep on Kubernetes: the manifest of an Indexed Job with one index for each remaining run. Nothing is submitted.

An index has its run's config in a ConfigMap, from which its pod creates the run on the claim, or resumes it there. So a study can
be started from a machine that does not have the claim.
Source: https://kubernetes.io/docs/concepts/workloads/controllers/job/
"""

import hashlib
import json
import math
import re
from dataclasses import dataclass
from importlib.metadata import version

import jinja2

from resnet_lab.config.schema import RunConfig
from resnet_lab.config.settings import to_toml
from resnet_lab.errors import ConfigError, final_exit_codes
from resnet_lab.run.auto import with_dataset
from resnet_lab.sweep.launch import MAX_RETRIES, Allocation
from resnet_lab.sweep.plan import Plan
from resnet_lab.text import shortened

IMAGE, CLAIM = f"resnet-lab:{version('resnet-lab')}", "resnet-lab"
_PREFIX = "resnet-lab-"
_MAX_NAME = 57  # a pod's host name is the Job's name, "-" and the index, of at most 63 characters in total
_MAX_CONFIG_BYTES = 250_000  # `kubectl apply` keeps a copy of an object in an annotation of at most 256 KiB
_GRACE_SECONDS = 120
_USER = 1000  # as in the Dockerfile
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(rf"(?=.{{1,253}}$){_LABEL.pattern}(\.{_LABEL.pattern})*")


@dataclass(frozen=True)
class KubernetesJob:
    """What every run of the Job gets; see Allocator. Raises ConfigError for names that Kubernetes does not accept.

    `threads` are the CPU threads of a run, by default one for each of its CPUs. `num_jobs` is the number of runs at once, by
    default all of them, as far as the cluster has room.
    """

    image: str = IMAGE
    claim: str = CLAIM
    namespace: str | None = None
    cpus: int = 1
    gpus: float = 0
    threads: int | None = None
    num_jobs: int | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w./:@-]+", self.image, re.ASCII):
            raise ConfigError(f"--image expects a container image such as {IMAGE}, got {shortened(self.image)}.")
        if not _SUBDOMAIN.fullmatch(self.claim):
            raise ConfigError(
                f"--claim expects the name of a PersistentVolumeClaim such as {CLAIM}, got {shortened(self.claim)}."
            )
        if self.namespace is not None and not _LABEL.fullmatch(self.namespace):
            raise ConfigError(f"--namespace expects a name such as research, got {shortened(self.namespace)}.")
        if not math.isfinite(self.gpus) or self.gpus != int(self.gpus):
            raise ConfigError(
                f"--gpus-per-run must be a whole number on Kubernetes, which does not divide GPUs, got {self.gpus}."
            )

    def allocate(self, num_runs: int) -> Allocation:
        """See Allocator."""
        return Allocation(min(self.num_jobs or num_runs, num_runs), self.threads or self.cpus, device=None)

    def manifest(self, plan: Plan) -> str:
        """The Job and its ConfigMap as YAML. Raises ConfigError if the configs are too large for a ConfigMap."""
        study, jobs = plan.study_path.name, {job.folder for job in plan.jobs}
        configs = [_on_the_claim(run.forecast.config) for run in plan.runs if run.folder in jobs]
        texts = [{"name": config.name, "toml": to_toml(config.model_dump(mode="json"))} for config in configs]
        num_bytes = sum(len(json.dumps(text)) for text in texts)
        if num_bytes > _MAX_CONFIG_BYTES:
            raise ConfigError(
                f"The configs of {len(texts)} runs have {num_bytes / 1000:,.0f} kB, more than the "
                f"{_MAX_CONFIG_BYTES / 1000:.0f} kB that fit into one Job: submit one part after the other, such as with "
                "--set 'sweep.seeds=[0,1]' first."
            )
        environment = jinja2.Environment(
            loader=jinja2.PackageLoader("resnet_lab", "sweep"), undefined=jinja2.StrictUndefined, keep_trailing_newline=True
        )
        environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False}  # YAML has no surrogate pairs
        return environment.get_template("k8s.yaml.jinja").render(
            study=study,
            name=job_name(study),
            configs=texts,
            parallelism=min(plan.allocation.num_jobs, len(texts)),
            arguments=self._arguments(study, plan.allocation.threads),
            retries=MAX_RETRIES,
            final_exit_codes=final_exit_codes(),
            grace_seconds=_GRACE_SECONDS,
            user=_USER,
            kubectl="kubectl" + (f" --namespace {self.namespace}" if self.namespace else ""),
            image=self.image,
            claim=self.claim,
            namespace=self.namespace,
            cpus=self.cpus,
            gpus=int(self.gpus),
        )

    def _arguments(self, study: str, threads: int) -> list[str]:
        """The arguments of `resnet-lab` in a pod, whose working folder is the claim. Kubernetes replaces `$(NAME)` and `$$`."""
        device = "cuda" if self.gpus else "cpu"
        return [
            *("train", "--config", "/configs/$(JOB_COMPLETION_INDEX).toml", "--study", study.replace("$", "$$")),
            *("--runs", "runs", "--data-dir", "data", "--no-forecast", "--device", device, "--threads", str(threads)),
        ]


def job_name(study: str) -> str:
    """The name of a study's Job and ConfigMap: a DNS label of at most 57 characters.

    A study's name that does not fit into one is changed, and distinguished by the first digits of its sha256.
    """
    room = _MAX_NAME - len(_PREFIX)
    label = re.sub("[^a-z0-9-]", "-", study.lower()).strip("-")
    if label == study and len(label) <= room:
        return _PREFIX + study
    digits = hashlib.sha256(study.encode()).hexdigest()[:6]
    return _PREFIX + f"{label[: room - 7].rstrip('-')}-{digits}".lstrip("-")


def _on_the_claim(config: RunConfig) -> RunConfig:
    """The config with `dataset = "auto"` resolved to CIFAR-10, since the pods would have to decide on it each by themselves."""
    return with_dataset(config, "cifar10") if config.data.dataset == "auto" else config
