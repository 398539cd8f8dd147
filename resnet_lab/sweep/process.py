"""The process that trains a run, as launchers start it."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from resnet_lab.record.files import disk_errors
from resnet_lab.sweep.launch import THREAD_VARIABLES

PROGRAM = (sys.executable, "-m", "resnet_lab")
SAVE_SECONDS = 120.0  # for a step and a checkpoint, after which a process that was asked to end is killed


def start_process(argv: Sequence[str], log_file: Path, threads: int, *, new_session: bool) -> "subprocess.Popen[bytes]":
    """Start a process with this number of CPU threads, whose output is appended to `log_file`. Raises DiskError."""
    variables = dict.fromkeys(THREAD_VARIABLES, str(threads))
    with disk_errors(log_file.parent), log_file.open("ab") as log:
        return subprocess.Popen(
            argv, env=os.environ | variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=new_session
        )


def exit_code(process: "subprocess.Popen[bytes]") -> int | None:
    """The exit code as in a shell: 128 plus the number of the signal for a process killed by one. None if it is running."""
    code: int | None = process.poll()
    return 128 - code if code is not None and code < 0 else code
