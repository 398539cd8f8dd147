"""A Ray cluster of several nodes on this machine, and the ray launcher on it for the contract suite."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.builders import ROOT
from tests.sweep.harness import SECONDS, Commands, of_session


class Cluster:
    """Nodes, each in a session of its own that stands for a machine. The head node, which is first, has one CPU."""

    def __init__(self) -> None:
        port, client_port = _free_ports(2)
        self.address = f"127.0.0.1:{port}"
        self.variables = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_worker_niceness": "0",  # else runs get little time on a busy machine
            "RAY_health_check_period_ms": "1000",  # with the threshold, a dead node is noticed in 3 s, else in 15
            "RAY_health_check_failure_threshold": "3",
            "PYTHONPATH": str(ROOT),
        }
        self._folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # sockets allow no long paths
        self.nodes: list[subprocess.Popen[bytes]] = []
        try:
            head = ["--head", "--port", str(port), "--ray-client-server-port", str(client_port), "--include-dashboard=false"]
            self._add(*head, "--temp-dir", str(self._folder / "t"), cpus=1)
        except BaseException:
            self.close()
            raise

    def add(self, *, cpus: int = 1, gpus: int = 0, prefix: tuple[str, ...] = ()) -> "subprocess.Popen[bytes]":
        """Add a node; GPUs are only counted, not used. `prefix` is a command that starts another one."""
        return self._add("--address", self.address, cpus=cpus, gpus=gpus, prefix=prefix)

    def kill(self, node: "subprocess.Popen[bytes]") -> None:
        """All processes of a node end at once."""
        self.nodes.remove(node)
        _end(node)

    def close(self) -> None:
        """Stop all nodes, the head node last."""
        for node in reversed(self.nodes):
            _end(node)
        self.nodes.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _add(self, *arguments: str, cpus: int, gpus: int = 0, prefix: tuple[str, ...] = ()) -> "subprocess.Popen[bytes]":
        ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--node-ip-address", "127.0.0.1"]
        limits = ["--num-cpus", str(cpus), "--num-gpus", str(gpus), "--object-store-memory", "80000000"]
        log = self._folder / f"node-{secrets.token_hex(4)}.log"
        with log.open("wb") as file:
            node = subprocess.Popen(
                [*prefix, *ray, *limits, *arguments],
                env=os.environ | self.variables,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        self.nodes.append(node)
        end = time.monotonic() + SECONDS
        while "Ray runtime started" not in log.read_text():
            assert node.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.1)
        return node


class RayHarness(Commands):
    """A cluster of two nodes with one CPU each."""

    name = "ray"

    def __init__(self, root: Path, cluster: Cluster) -> None:
        super().__init__(root, ["--launcher", "ray", "--address", cluster.address], cluster.variables)
        self._cluster = cluster
        while len(cluster.nodes) < 2:
            cluster.add()

    def kill_node(self) -> None:
        """The node that is not the head goes down."""
        self._cluster.kill(self._cluster.nodes[-1])


def _end(node: "subprocess.Popen[bytes]") -> None:
    while pids := list(of_session(node.pid)):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if node.poll() is None:
            node.wait(SECONDS)
        time.sleep(0.05)


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)]
        return [each.getsockname()[1] for each in sockets]
