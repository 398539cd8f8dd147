"""Runs in processes of their own, which start in a tenth of a second: a server that has imported torch forks them."""

import errno
import io
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from resnet_lab.config.schema import RunConfig
from resnet_lab.errors import LabError
from resnet_lab.record.store import RunFolder

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(  # torch imports the compiler when it is told how deterministic to be
    ["torch._inductor", "resnet_lab.run.experiment", "resnet_lab.cli.main", "tests.reliability.processes"]
)


def start(target: Callable[..., None], *arguments: object) -> BaseProcess:
    """Call `target`, a function of a module, in a new process."""
    process = _CONTEXT.Process(target=target, args=arguments)
    process.start()
    return process


def exit_code(process: BaseProcess, seconds: float = 300.0) -> int:
    """Wait for a process to end; minus the signal's number where a signal ended it."""
    process.join(seconds)
    assert process.exitcode is not None, "the process did not end in time"
    return process.exitcode


def command(arguments: list[str], folder: Path, log: str = "/dev/null") -> None:
    """The command line with these arguments, in a folder; what it prints goes to `log`."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored, if a shell runs the tests in the background
    from resnet_lab.__main__ import main

    os.chdir(folder)
    with Path(log).open("w") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    sys.argv = ["resnet-lab", *arguments]
    main()


def train(
    path: str,
    values: dict[str, Any],
    log: str = "/dev/null",
    checkpoint_seconds: float = 0.0,
    edge: int = -1,
    room: int | None = None,
) -> None:
    """Train a run, with a checkpoint at every step unless told otherwise. At the disk operation number `edge` SIGKILL strikes.

    The disk is full after `room` bytes, if given. `log` gets the error or the traceback, else the number of operations and of
    bytes written. Exits as the command line does.
    """
    from resnet_lab.run.device import Resources
    from resnet_lab.run.experiment import run

    with Path(log).open("w") as stderr:
        sys.stderr = stderr
        edges = Edges(edge, room)
        edges.install()
        try:
            for _ in run(
                RunConfig.model_validate(values),
                RunFolder(Path(path)),
                Resources(device="cpu", threads=1),
                measure_speed=False,
                checkpoint_seconds=checkpoint_seconds,
            ):
                pass
        except LabError as error:
            stderr.write(str(error))
            sys.exit(error.exit_code)
        stderr.write(f"{edges.count} {edges.written}")


class Edges:
    """Counts operations on the disk - opening to write, half a write, a whole one, fsync, rename, removal - and dies at one.

    Half a write means that the first half of the bytes has reached the file, and the rest never does.
    """

    def __init__(self, die_at: int = -1, room: int | None = None) -> None:
        self.count, self.written = 0, 0
        self._die_at, self._room = die_at, room

    def install(self) -> None:
        """Wrap the operations of this process, which is a test's own, for good."""
        opened = Path.open

        def open_file(path: Path, mode: str = "r", *arguments: Any, **more: Any) -> Any:
            if not {"w", "a"} & set(mode) or "b" not in mode:
                return opened(path, mode, *arguments, **more)
            self.pass_one()
            return _Counted(opened(path, mode, buffering=0), self)

        Path.open = open_file  # type: ignore[assignment,method-assign]
        for name in ("fsync", "replace", "unlink"):
            setattr(os, name, self._counted(getattr(os, name)))

    def _counted(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            self.pass_one()
            result = operation(*arguments, **more)
            self.pass_one()
            return result

        return call

    def pass_one(self) -> None:
        """One operation; the last of this process where it is the one to die at."""
        if self.count == self._die_at:
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)
        self.count += 1

    def take(self, num_bytes: int) -> int:
        """How many of these bytes there is room for. Raises OSError where the disk is full."""
        free = num_bytes if self._room is None else min(num_bytes, self._room - self.written)
        if num_bytes and free <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.written += free
        return free


class _Counted(io.RawIOBase):
    """A file whose every write has three edges: before, half-way and after."""

    def __init__(self, file: Any, edges: Edges) -> None:
        self._file, self._edges = file, edges

    def write(self, content: Any) -> int:
        """Write in two halves, and no more than there is room for."""
        content = content[: self._edges.take(len(content))]
        self._edges.pass_one()
        half = len(content) // 2
        self._file.write(content[:half])
        self._edges.pass_one()
        self._file.write(content[half:])
        self._edges.pass_one()
        return len(content)

    def tell(self) -> int:
        """As the file's."""
        return int(self._file.tell())

    def truncate(self, size: int | None = None) -> int:
        """As the file's."""
        return int(self._file.truncate(size))

    def fileno(self) -> int:
        """As the file's."""
        return int(self._file.fileno())

    def flush(self) -> None:
        """Nothing waits: the file is unbuffered."""

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            self._file.close()
        super().close()
