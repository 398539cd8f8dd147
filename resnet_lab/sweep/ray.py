"""The launcher for a Ray cluster: each run is a task, which Ray starts on a node with free CPUs and GPUs."""

import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from resnet_lab.errors import ConfigError, LabError, LockedError
from resnet_lab.record.files import disk_errors
from resnet_lab.sweep.launch import Allocation, Job, Outcome
from resnet_lab.sweep.local import num_cores
from resnet_lab.sweep.pending import Pending
from resnet_lab.sweep.process import SAVE_SECONDS
from resnet_lab.sweep.ray_task import check_sees, train

_POLL_SECONDS = 0.2
_CONNECT_SECONDS = 5.0
_CHECK_SECONDS = 120.0  # a busy node takes long to start a worker
_STOP_SECONDS = SAVE_SECONDS + 30.0  # longer than a task waits for a run's checkpoint
_KILL_SECONDS = 10.0
_KILLED, _NOT_STARTED = 128 + signal.SIGKILL, 128 + signal.SIGINT  # a run that has started is stopped by SIGTERM
_OBJECT_STORE_BYTES = 100 * 2**20  # of a cluster that is started here; tasks return only exit codes
_Node = dict[str, Any]


class RayPool:
    """A Ray cluster, used as a context manager that connects to it and disconnects. See Launcher.

    `address` is HOST:PORT of the head node, `auto` for a cluster that runs on this machine, or `local` for a new one that ends
    with the sweep; the default is $RAY_ADDRESS, or else `local`. Each run gets `cpus` CPUs, which is its number of threads, and
    `gpus` GPUs, by default 1 if the cluster has any. As many runs are started as fit, at most `num_jobs`. `program` is by default
    that of the node that trains.
    """

    def __init__(
        self,
        address: str | None = None,
        cpus: int = 1,
        gpus: float | None = None,
        num_jobs: int | None = None,
        program: Sequence[str] | None = None,
    ) -> None:
        """Raises ConfigError if ray is not installed."""
        self._address = address or os.environ.get("RAY_ADDRESS") or "local"
        self._cpus, self._gpus, self._num_jobs, self._program = cpus, gpus or 0.0, num_jobs, program
        self._choose_gpus = gpus is None
        self._has_room = True
        self._ray = _import_ray(self._address)

    def __enter__(self) -> Self:
        """Connect. Raises ConfigError."""
        _check_address(self._address)
        with _keep_sigterm_handler():
            _connect(self._ray, self._address)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Disconnect."""
        self._ray.shutdown()

    def allocate(self, num_runs: int) -> Allocation:
        """See Launcher."""
        num_places = sum(self._num_places(node) for node in self._nodes())
        return Allocation(min(self._num_jobs or num_places, num_places, num_runs), self._cpus, None)

    def launch(
        self,
        jobs: Sequence[Job],
        allocation: Allocation,
        stop: Callable[[], int | None],
        retry: Callable[[Outcome], str | None],
    ) -> Iterator[Outcome | str | None]:
        """See Launcher. A run whose node died is started again; this does not count as a retry.

        Raises ConfigError if a node does not see the folders.
        """
        if jobs:
            self._check_nodes(jobs[0], stop)
        pending = Pending["_Task"](jobs)
        notes: list[str] = []
        signalled = False

        def outcome_of(job: Job, task: "_Task") -> Outcome | None:
            if (code := task.exit_code(job.folder.path.name, notes.append)) is None:
                return None
            return Outcome(job.folder, code, was_stopped=signalled)

        try:
            while pending:
                if not signalled and stop() is not None:
                    signalled = True
                    pending.stop()
                    _cancel(pending)
                updates: list[Outcome | str] = [*pending.released(), *pending.found_held()]
                while pending.waiting and len(pending.running) < (self._num_jobs or len(jobs)):
                    job = pending.waiting.pop(0)
                    pending.running[job] = self._start(job)
                updates += pending.ended(outcome_of, retry)
                yield from (*notes, *(update for update in updates if not _is_not_started(update)))
                notes.clear()
                if not updates:
                    self._wait(pending, _POLL_SECONDS, num_ended=1)
                    yield self._loss_of_room()
        finally:
            if signalled:  # they had their time to save
                for task in pending.running.values():
                    task.kill()
            _cancel(pending)
            self._wait(pending, _KILL_SECONDS if signalled else _STOP_SECONDS, num_ended=len(pending.running))

    def _start(self, job: Job) -> "_Task":
        """Submit the task of a job. Paths are made absolute, since workers have another working directory."""
        job = Job(type(job.folder)(job.folder.path.absolute()), job.data_dir.absolute())
        device = "cuda" if self._gpus else "cpu"
        arguments = [*job.arguments(), "--device", device, "--threads", str(self._cpus)]
        remote = self._ray.remote(num_cpus=self._cpus, num_gpus=self._gpus, max_retries=0)(train)
        needed = _needed(job, job.folder.path)
        return _Task(self._ray, remote.remote(self._program, arguments, needed, job.folder.log_file, self._cpus))

    def _wait(self, pending: "Pending[_Task]", seconds: float, num_ended: int) -> None:
        """Wait until so many tasks have ended, at most so many seconds."""
        refs = [task.ref for task in pending.running.values()]
        if refs:
            self._ray.wait(refs, num_returns=num_ended, timeout=seconds)
        elif pending:
            time.sleep(seconds)

    def _num_places(self, node: _Node) -> int:
        """How many runs fit on a node."""
        needs = {"CPU": self._cpus, "GPU": self._gpus}
        return min(int(node["Resources"].get(name, 0) / need + 1e-9) for name, need in needs.items() if need)

    def _alive(self) -> list[_Node]:
        """The nodes that Ray lists as alive; it takes up to half a minute to notice that one is gone."""
        return [node for node in self._ray.nodes() if node["Alive"]]

    def _nodes(self) -> list[_Node]:
        """The nodes on which runs fit; decides on the GPUs of a run. Raises ConfigError if there are none."""
        alive = self._alive()
        if self._choose_gpus:
            self._gpus = float(any(node["Resources"].get("GPU") for node in alive))
        nodes = [node for node in alive if self._num_places(node)]
        if not nodes:
            raise ConfigError(
                f"No node of the Ray cluster has the {self._needs()} of a run: reduce --cpus-per-run or --gpus-per-run."
            )
        return nodes

    def _loss_of_room(self) -> str | None:
        """What to say if no node has room for a run any more; None if one has, or if it has been said."""
        had_room, self._has_room = self._has_room, any(self._num_places(node) for node in self._alive())
        if self._has_room or not had_room:
            return None
        return f"No node of the Ray cluster has the {self._needs()} of a run any more; waiting for one that joins."

    def _needs(self) -> str:
        return f"{self._cpus} CPUs and {self._gpus:g} GPUs"

    def _check_nodes(self, job: Job, stop: Callable[[], int | None]) -> None:
        """Check that all nodes on which runs fit see a file that is written now, and the data. Raises ConfigError, DiskError.

        A node that is gone, or that Ray cannot use yet, is checked again until it answers or is no longer listed: else runs
        would wait for its GPUs, or start there unchecked.
        """
        strategy = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        check = self._ray.remote(num_cpus=0, max_retries=0)(check_sees)
        probe = job.folder.path.absolute().with_name(f".probe-{secrets.token_hex(8)}")
        answered: set[str] = set()
        checks: dict[str, Any] = {}
        end = time.monotonic() + _CHECK_SECONDS
        try:
            with disk_errors(probe):
                probe.touch()
            while stop() is None and (nodes := [node for node in self._nodes() if node["NodeID"] not in answered]):
                if time.monotonic() > end:
                    raise ConfigError(f"Node {_name(nodes[0])} of the Ray cluster does not answer: remove it, or try again.")
                for node in nodes:
                    key = node["NodeID"]
                    if key not in checks:
                        there = strategy(key, soft=False)
                        checks[key] = check.options(scheduling_strategy=there).remote(_needed(job, probe))
                    elif self._ray.wait([checks[key]], timeout=0)[0] and self._has_passed(checks.pop(key), _name(node)):
                        answered.add(key)
                time.sleep(_POLL_SECONDS)
        finally:
            probe.unlink(missing_ok=True)

    def _has_passed(self, ref: Any, name: str) -> bool:
        """Whether the check of a node has passed; False if it could not start or end there. Raises ConfigError if it failed."""
        errors = self._ray.exceptions
        try:
            self._ray.get(ref)
        except (errors.NodeDiedError, errors.TaskUnschedulableError):
            return False
        except errors.RayError as error:
            cause = getattr(error, "cause", error)
            if isinstance(cause, ConfigError):
                raise cause from None
            raise ConfigError(
                f"Node {name} of the Ray cluster cannot run resnet-lab ({_first_line(cause)}): "
                "install the same resnet-lab and ray on every node."
            ) from None
        return True


class _Task:
    """A task of Ray that trains a run."""

    def __init__(self, ray: Any, ref: Any) -> None:
        self._ray, self.ref = ray, ref
        self._is_cancelled = False

    def cancel(self) -> None:
        """Ask it to save a checkpoint and end; a second request has no effect."""
        if not self._is_cancelled:
            self._is_cancelled = True
            self._ray.cancel(self.ref, force=False)

    def kill(self) -> None:
        """End its worker at once, and with it the process of the run."""
        self._is_cancelled = True
        self._ray.cancel(self.ref, force=True)

    def exit_code(self, name: str, note: Callable[[str], None]) -> int | None:
        """The exit code of the run's process, None while it runs; `note` is called with what else is to be said.

        A run whose node died has the exit code of a run that another process holds: the process may live on.
        """
        if not self._ray.wait([self.ref], timeout=0)[0]:
            return None
        errors = self._ray.exceptions
        try:
            code: int = self._ray.get(self.ref)
        except errors.TaskCancelledError:
            return _NOT_STARTED
        except errors.NodeDiedError:
            note(f"{name}: its node died; it is started again on another.")
            return LockedError.exit_code
        except (errors.WorkerCrashedError, errors.OutOfMemoryError):
            return _KILLED
        except errors.RayError as error:
            cause = getattr(error, "cause", error)
            note(f"{name}: {_first_line(cause)}")
            return cause.exit_code if isinstance(cause, LabError) else LabError.exit_code
        return code


def _import_ray(address: str) -> Any:
    if address != "local":
        os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "5")  # seconds in which to connect; else 20
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else ray.init warns of a change
    try:
        import ray
        import ray._private.worker
        import ray.util.scheduling_strategies
    except ModuleNotFoundError:
        raise ConfigError("Ray is not installed: run `pip install 'resnet-lab[ray]'`, here and on every node.") from None
    # It would print what happens to workers on stdout; no option prevents that.
    ray._private.worker._worker_logs_enabled = False
    return ray


def _check_address(address: str) -> None:
    """Raise ConfigError if nothing answers at HOST:PORT; Ray itself would try for long."""
    if address in ("auto", "local"):
        return
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdecimal():
        raise ConfigError(f"--address {address!r} is not HOST:PORT of a Ray head node, `auto` or `local`.")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"No Ray head node answers at {address} ({reason}): start one there with `ray start --head`.") from None


def _connect(ray: Any, address: str) -> None:
    """Connect to a cluster, or start one. Raises ConfigError."""
    here = {"num_cpus": num_cores(), "object_store_memory": _OBJECT_STORE_BYTES} if address == "local" else {}
    try:
        with _quiet_stderr():
            ray.init(address=address, include_dashboard=False, log_to_driver=False, logging_level=logging.CRITICAL, **here)
    except Exception as error:  # Ray raises bare ones, too
        if address == "local":
            raise ConfigError(
                f"Ray does not start on this machine ({_first_line(error)}). Try again when it is less busy."
            ) from None
        raise ConfigError(
            f"The Ray cluster at {address} cannot be used ({_first_line(error)}). Run the sweep on one of its nodes, with the "
            "same versions of Python and ray, and with RAY_AUTH_MODE=token if the cluster has a token."
        ) from None


@contextlib.contextmanager
def _keep_sigterm_handler() -> Iterator[None]:
    """Restore the handler of SIGTERM, which `ray.init` replaces in the main thread."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Discard what is written to stderr: Ray's core reports each failed attempt to connect."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as null:
            os.dup2(null.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _needed(job: Job, path: Path) -> list[Path]:
    """A path that a node must see, and the data folder if it exists here: generated images need none."""
    data_dir = job.data_dir.absolute()
    return [path, data_dir] if data_dir.exists() else [path]


def _cancel(pending: Pending[_Task]) -> None:
    for task in pending.running.values():
        task.cancel()


def _is_not_started(update: Outcome | str) -> bool:
    return isinstance(update, Outcome) and update.was_stopped and update.exit_code == _NOT_STARTED


def _name(node: _Node) -> str:
    return str(node["NodeManagerHostname"])


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
