"""An interpreter of Indexed Jobs: runs what `sweep --launcher k8s --dry-run` prints as processes of this machine.

It follows https://kubernetes.io/docs/concepts/workloads/controllers/job/ for the fields that the manifest has: completions,
parallelism, backoffLimitPerIndex, podFailurePolicy, podReplacementPolicy: Failed, and the grace period of a deletion. A pod is
one process. The claim is the folder that contains the runs folder. An index that failed waits less than on a cluster.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from resnet_lab.errors import SweepError
from tests.builders import ROOT
from tests.sweep.harness import Submissions, words

_BACKOFF_SECONDS = 0.2  # 10 on a cluster, doubled with each failure
_POLL_SECONDS = 0.05


def entrypoint() -> list[str]:
    """The command of the image, from the Dockerfile, with this Python."""
    [line] = re.findall(r"^ENTRYPOINT (.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    python, *rest = yaml.safe_load(line)
    assert python == "python"
    return [sys.executable, *rest]


@dataclass
class Pod:
    """A pod of an index; `disrupted` is its condition DisruptionTarget."""

    index: int
    process: "subprocess.Popen[bytes]"
    disrupted: bool = False

    @property
    def exit_code(self) -> int:
        code = self.process.returncode
        return 128 - code if code < 0 else code


class Job:
    """A Job, its ConfigMap and its pods. `claim` is the folder that stands for the claim, `scratch` one for mounted configs."""

    def __init__(self, manifest: str, claim: Path, scratch: Path) -> None:
        config_map, job = yaml.safe_load_all(manifest)
        self.spec: dict[str, Any] = job["spec"]
        self._pod_spec = self.spec["template"]["spec"]
        [self._container] = self._pod_spec["containers"]
        for name, text in config_map["data"].items():
            (scratch / name).write_text(text)
        folders = {"persistentVolumeClaim": claim, "configMap": scratch}
        volumes = {volume["name"]: folders[next(key for key in volume if key != "name")] for volume in self._pod_spec["volumes"]}
        self._mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in self._container["volumeMounts"]}
        self.waiting = dict.fromkeys(range(self.spec["completions"]), 0.0)  # an index, and when it may start
        self.pods: list[Pod] = []
        self.starts: list[int] = []  # the index of every pod
        self.failures: Counter[int] = Counter()
        self.succeeded: set[int] = set()
        self.failed: set[int] = set()
        self.is_deleted = threading.Event()

    @property
    def is_complete(self) -> bool:
        """Whether every index has succeeded."""
        return len(self.succeeded) == self.spec["completions"]

    def run(self) -> None:
        """Act as the Job's controller until no pod is left."""
        while self.step():
            if self.is_deleted.is_set():
                self.delete()
                return
            time.sleep(_POLL_SECONDS)

    def step(self) -> bool:
        """Handle the pods that have ended and start those that have room; returns whether the Job is still active."""
        for pod in [pod for pod in self.pods if pod.process.poll() is not None]:
            self.pods.remove(pod)
            self._ended(pod)
        for index, begin in list(self.waiting.items()):
            if len(self.pods) < self.spec["parallelism"] and time.monotonic() >= begin:
                del self.waiting[index]
                self.pods.append(self._start(index))
        return bool(self.pods or self.waiting)

    def delete(self) -> None:
        """SIGTERM to every pod, SIGKILL after the grace period."""
        self.waiting.clear()
        for pod in self.pods:
            pod.process.terminate()
        end = time.monotonic() + self._pod_spec["terminationGracePeriodSeconds"]
        for pod in self.pods:
            try:
                pod.process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                pod.process.kill()
                pod.process.wait()

    def disrupt(self, number: int) -> None:
        """End all running pods by a signal that the cluster sends: SIGTERM to evict them, SIGKILL for the loss of their node."""
        for pod in list(self.pods):
            pod.disrupted = True
            pod.process.send_signal(number)

    def _start(self, index: int) -> Pod:
        self.starts.append(index)
        arguments = [self._mounted(_expanded(argument, index)) for argument in self._container["args"]]
        log = self._mounts["/configs"] / f"pod-{len(self.starts)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*entrypoint(), *arguments],
                cwd=self._mounted(self._container["workingDir"]),
                env=os.environ | {"JOB_COMPLETION_INDEX": str(index)},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return Pod(index, process)

    def _mounted(self, text: str) -> str:
        for path, folder in self._mounts.items():
            if text == path or text.startswith(f"{path}/"):
                return str(folder) + text.removeprefix(path)
        return text

    def _ended(self, pod: Pod) -> None:
        if pod.exit_code == 0:
            self.succeeded.add(pod.index)
            return
        action = next((rule["action"] for rule in self.spec["podFailurePolicy"]["rules"] if _matches(rule, pod)), "Count")
        self.failures[pod.index] += action == "Count"
        if action == "FailIndex" or self.failures[pod.index] > self.spec["backoffLimitPerIndex"]:
            self.failed.add(pod.index)
        else:
            self.waiting[pod.index] = time.monotonic() + _BACKOFF_SECONDS * 2 ** self.failures[pod.index]


def _expanded(argument: str, index: int) -> str:
    """`$(JOB_COMPLETION_INDEX)` is replaced by its value, and `$$` by `$`."""
    values = {"$$": "$", "$(JOB_COMPLETION_INDEX)": str(index)}
    return re.sub(r"\$\$|\$\(\w+\)", lambda match: values[match[0]], argument)


def _matches(rule: dict[str, Any], pod: Pod) -> bool:
    if "onPodConditions" in rule:
        return pod.disrupted and {"type": "DisruptionTarget", "status": "True"} in rule["onPodConditions"]
    assert rule["onExitCodes"]["operator"] == "In"
    return pod.exit_code in rule["onExitCodes"]["values"]


class KubernetesHarness(Submissions):
    """A cluster on this machine; `root` stands for the claim, so the studies are in `root/runs`."""

    name = "k8s"

    def __init__(self, root: Path) -> None:
        super().__init__(root, ["--launcher", "k8s", "--dry-run"], {})
        self._job: Job | None = None
        self._controller: threading.Thread | None = None

    def start(self, config: Path, *arguments: str) -> None:
        """Print the Job of the study's remaining runs, and submit it unless it exists, as `kubectl apply` does."""
        manifest = self.submit(config, *arguments)
        if manifest and self._controller is None:
            self._job = Job(manifest, self.root, Path(tempfile.mkdtemp(prefix="configs-", dir=self.root)))
            self._controller = threading.Thread(target=self._job.run)
            self._controller.start()

    def finish(self) -> int:
        """Wait until no pod is left."""
        if self._controller is not None:
            self._controller.join()
            self._controller = None
        return 0 if self._job is None or self._job.is_complete else SweepError.exit_code

    def stop(self) -> None:
        """What `kubectl delete --cascade=foreground` does."""
        assert self._job is not None
        self._job.is_deleted.set()

    def kill_node(self) -> None:
        """The node with all running pods is lost; they are replaced on another one."""
        assert self._job is not None
        self._job.disrupt(signal.SIGKILL)

    @property
    def printed(self) -> str:
        return words(sorted(self.root.glob("configs-*/pod-*.log")))

    def close(self) -> None:
        """Delete the Job."""
        if self._controller is not None:
            self.stop()
            self.finish()
