"""What the contract suite needs of a launcher: a sweep that it can start, stop, and take machines away from."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from resnet_lab.record.store import RunFolder
from tests.builders import ROOT

SECONDS = 300.0  # for whatever a test waits for; machines with several processes for each core are slow


class Harness(Protocol):
    """Sweeps with one launcher in the working directory `root`, whose studies are in `root/runs`.

    Runs train on the CPU with one thread, two at once.
    """

    name: str

    def start(self, config: Path, *arguments: str) -> None:
        """Begin a sweep and return at once. Several may be begun."""
        ...

    def finish(self) -> int:
        """Wait until all that was begun is over; the highest exit code of a sweep."""
        ...

    def stop(self) -> None:
        """Cancel the sweep as a user would."""
        ...

    def kill_driver(self) -> None:
        """SIGKILL the process that the user has started."""
        ...

    def kill_node(self) -> None:
        """Let a machine on which a run trains go down, with all its processes. The sweep goes on, if need be by `start`."""
        ...

    @property
    def out(self) -> str:
        """What the sweeps have printed on stdout."""
        ...

    @property
    def err(self) -> str:
        """What the sweeps have printed on stderr, without line breaks."""
        ...


class Commands:
    """The parts of a harness for launchers whose `resnet-lab sweep` lasts as long as the runs."""

    def __init__(self, root: Path, arguments: list[str], variables: dict[str, str]) -> None:
        self._root, self._arguments, self._variables = root, arguments, variables
        self._processes: list[subprocess.Popen[bytes]] = []
        self._out, self._err = root / "sweep.out", root / "sweep.err"

    def start(self, config: Path, *arguments: str) -> None:
        argv = [sys.executable, "-m", "resnet_lab", "sweep", str(config), *self._arguments, *arguments]
        environment = os.environ | {"PYTHONPATH": str(ROOT)} | self._variables
        with self._out.open("ab") as out, self._err.open("ab") as err:
            self._processes.append(subprocess.Popen(argv, cwd=self._root, env=environment, stdout=out, stderr=err))

    def finish(self) -> int:
        codes = [process.wait(SECONDS) for process in self._processes]
        self._processes.clear()
        return max(codes)

    def stop(self) -> None:
        self._processes[-1].send_signal(signal.SIGINT)

    def kill_driver(self) -> None:
        driver = self._processes.pop()
        driver.kill()
        driver.wait()

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return " ".join(self._err.read_text().split())

    def close(self) -> None:
        """End all sweeps."""
        for process in self._processes:
            process.terminate()
        try:
            for process in self._processes:
                process.wait(SECONDS)
        finally:
            for process in self._processes:
                process.kill()
            for folder in runs_in(self._root):
                end_process(folder)


def runs_in(root: Path) -> list[RunFolder]:
    """The runs of all studies."""
    return [RunFolder(path.parent) for path in sorted(root.glob("runs/*/*/config.json"))]


def end_process(folder: RunFolder) -> bool:
    """SIGKILL the process that trains a run; False if there is none."""
    owner = folder.holder()
    if owner is None or not owner.pid:
        return False
    os.kill(owner.pid, signal.SIGKILL)
    return True


def wait_for(condition: Callable[[], object], harness: Harness) -> None:
    """Wait until something is the case."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, harness.err
        time.sleep(0.05)


def of_session(leader: int) -> Iterator[int]:
    """The processes of a session."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(path.name)) == leader:
                yield int(path.name)
        except ProcessLookupError:
            continue
