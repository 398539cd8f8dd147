"""What the contract suite needs of a launcher: a sweep that it can start, stop, and take machines away from."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

from resnet_lab.record.store import RunFolder
from tests.builders import ROOT

SECONDS = 300.0  # for whatever a test waits for; machines with several processes for each core are slow


class Harness(Protocol):
    """Sweeps with one launcher in the working directory `root`, whose studies are in `root/runs`.

    Runs train on the CPU with one thread, two at once. `follows` says whether the command lasts as long as the runs. Then it
    reports on them and its exit code is theirs; else it ends once they are submitted.
    """

    name: str
    follows: bool

    def start(self, config: Path, *arguments: str) -> None:
        """Begin a sweep and return while its runs train. Several may be begun."""
        ...

    def finish(self) -> int:
        """Wait until all that was begun is over.

        Returns the highest exit code of a command that follows its runs; else 0 if all runs have finished, and 5 if not.
        """
        ...

    def stop(self) -> None:
        """Cancel the sweep as a user would."""
        ...

    def kill_driver(self) -> None:
        """SIGKILL the process that the user has started, if it follows the runs."""
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

    @property
    def printed(self) -> str:
        """What the processes of the runs have printed, without line breaks."""
        ...

    def close(self) -> None:
        """End all sweeps and runs."""
        ...


class Commands:
    """The parts of a harness for launchers whose command follows the runs."""

    follows = True

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
        return words([self._err])

    @property
    def printed(self) -> str:
        return words(folder.log_file for folder in runs_in(self._root) if folder.log_file.exists())

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


class Submissions:
    """The parts of a harness for launchers whose command ends once the runs are submitted."""

    follows = False

    def __init__(self, root: Path, arguments: list[str], variables: dict[str, str]) -> None:
        self.root, self._arguments, self.out, self.err = root, arguments, "", ""
        self._environment = os.environ | {"COLUMNS": "200", "PYTHONPATH": str(ROOT)} | variables

    def submit(self, config: Path, *arguments: str) -> str:
        """Run the command to its end; what it has printed on stdout."""
        argv = [sys.executable, "-m", "resnet_lab", "sweep", str(config), *self._arguments, *arguments]
        done = subprocess.run(argv, cwd=self.root, env=self._environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        self.err += " ".join(done.stderr.split()) + " "
        return done.stdout

    def kill_driver(self) -> None:
        """Nothing: the command has ended."""


def words(files: Iterable[Path]) -> str:
    """The texts of files without line breaks."""
    return " ".join(word for file in files for word in file.read_text().split())


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


def saved(root: Path) -> list[RunFolder]:
    """The runs that have a checkpoint."""
    return [folder for folder in runs_in(root) if any(folder.checkpoints.glob("*.pt"))]


def paused(root: Path, number: int, harness: Harness) -> list[int]:
    """Wait until so many runs have a checkpoint and suspend each at that, so that none ends by itself; their process ids."""
    pids: dict[Path, int] = {}

    def pause() -> bool:
        for folder in saved(root):
            owner = folder.holder()
            if folder.path not in pids and owner is not None and owner.pid:
                os.kill(owner.pid, signal.SIGSTOP)
                pids[folder.path] = owner.pid
        return len(pids) == number

    wait_for(pause, harness)
    return list(pids.values())


def go_on(pids: Iterable[int]) -> None:
    """Let suspended processes go on, except those that have ended."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def is_told(pid: int) -> bool:
    """Whether a process that was suspended has ended, goes on, or will get another signal once it goes on."""
    try:
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    except (FileNotFoundError, ProcessLookupError):
        return True
    return not status["State"].startswith("T") or int(status["ShdPnd"], 16) != 0


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
