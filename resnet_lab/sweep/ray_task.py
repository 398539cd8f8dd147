"""What runs on the nodes of a Ray cluster; imports neither ray nor torch, so that a worker starts fast."""

import contextlib
import platform
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from resnet_lab.errors import ConfigError
from resnet_lab.sweep.process import PROGRAM, SAVE_SECONDS, exit_code, start_process

_POLL_SECONDS = 0.2  # KeyboardInterrupt reaches the task between two waits


def check_sees(paths: Sequence[Path]) -> None:
    """Raise ConfigError if this node lacks one of the files or folders of the sweep."""
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        raise ConfigError(
            f"Node {platform.node()} does not see {' or '.join(missing)}: the runs folder (--runs) must be on storage that all "
            "nodes share, and the data folder (--data-dir) must exist on each."
        )


def train(program: Sequence[str] | None, arguments: Sequence[str], paths: Sequence[Path], log_file: Path, threads: int) -> int:
    """Run the process of a run and return its exit code, as in a shell. `program` is by default this node's own.

    KeyboardInterrupt, which `ray.cancel` raises here, sends SIGTERM to the process and waits for its checkpoint. The process is
    in the worker's group, which Ray ends together with the worker. Raises ConfigError if `paths` are missing here, DiskError,
    and KeyboardInterrupt if the process had not been started.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a script has started this node in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    process: subprocess.Popen[bytes] | None = None
    try:
        check_sees(paths)
        process = start_process([*(program or PROGRAM), *arguments], log_file, threads, new_session=False)
        while (code := exit_code(process)) is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_POLL_SECONDS)
    except KeyboardInterrupt:
        if process is None:
            raise
        code = _stopped(process)
    return code


def _stopped(process: "subprocess.Popen[bytes]") -> int:
    process.terminate()
    try:
        process.wait(SAVE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    code = exit_code(process)
    assert code is not None
    return code
