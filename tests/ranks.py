"""Ranks of one run in processes of their own, which find each other through a store in the test's process, as with torchrun."""

import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from torch.distributed import TCPStore

from resnet_lab.config.schema import RunConfig
from resnet_lab.record.store import RunFolder
from tests.reliability import processes

SECONDS = 30.0  # in which a job ends after one of its processes has ended


class Job:
    """Processes that call `target(rank, *arguments)`, a function of a module, with torchrun's environment variables."""

    def __init__(self, size: int, target: Callable[..., None], *arguments: object) -> None:
        self._store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        variables = {
            "WORLD_SIZE": str(size),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(self._store.port),
            "TORCHELASTIC_USE_AGENT_STORE": "True",
            "TORCHELASTIC_RESTART_COUNT": "0",
        }
        self.processes: list[BaseProcess] = [
            processes.start(call, variables | {"RANK": str(rank), "LOCAL_RANK": str(rank)}, target, rank, *arguments)
            for rank in range(size)
        ]

    def exit_codes(self, seconds: float = 120.0) -> list[int]:
        """Wait for all processes to end; minus the signal's number where a signal ended one."""
        return [processes.exit_code(process, seconds) for process in self.processes]


def call(variables: dict[str, str], target: Callable[..., None], *arguments: object) -> None:
    """Call a function with additional environment variables."""
    os.environ.update(variables)
    target(*arguments)


def command(rank: int, arguments: list[str], folder: Path) -> None:
    """The command line with these arguments, in a folder; what a rank prints goes to RANK.log."""
    processes.command(arguments, folder, f"{rank}.log")


def train(rank: int, path: Path, values: dict[str, Any], changes: dict[int, tuple[str, int]]) -> None:
    """Train a run; `changes` says what happens to a rank, and at which question whether to stop: "stop", "kill", "fail" or
    "differ".

    A rank that is to differ has another state than the others at its next checkpoint. Exits as the command line does.
    """
    from resnet_lab.errors import DataError, LabError
    from resnet_lab.run.device import Resources
    from resnet_lab.run.experiment import follow, run
    from resnet_lab.run.ranks import joined
    from resnet_lab.train.state import TrainState

    what, number = changes.get(rank, ("", 0))
    calls = 0

    def stop() -> bool:
        nonlocal calls
        calls += 1
        if calls == number and what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if calls == number and what == "fail":
            raise DataError("an image cannot be read")
        if calls == number and what == "differ":
            TrainState.digest = lambda state: b"another"  # type: ignore[method-assign]
        return what == "stop" and calls >= number

    resources = Resources(device="cpu", threads=1)
    try:
        with joined() as ranks:
            if rank == 0:
                config = RunConfig.model_validate(values)
                list(run(config, RunFolder(path), resources, stop, measure_speed=False, checkpoint_seconds=0.0, ranks=ranks))
            else:
                list(follow(ranks, resources, stop, checkpoint_seconds=0.0))
    except LabError as error:
        (path.parent / f"{rank}.log").write_text(str(error))
        sys.exit(error.exit_code)
