"""Files that are replaced whole or only grow, and errors of the disk as one sentence."""

import contextlib
import errno
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet_lab.errors import DiskError


def write_atomically(path: Path, content: bytes, option: str = "--runs") -> None:
    """Replace a file by `content`, whole or not at all, and on the disk when this returns. Raises DiskError, see disk_errors."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    with disk_errors(path, option):
        try:
            with aside.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_json(path: Path, values: Any) -> None:
    """Write indented JSON atomically."""
    write_atomically(path, (json.dumps(values, indent=2) + "\n").encode())


def read_regular(path: Path) -> bytes:
    """The bytes of a file. Raises OSError, also for what is none and could be read without end, such as a pipe or a device."""
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return path.read_bytes()


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object, or an empty one where the file is missing or not one."""
    try:
        values = json.loads(read_regular(path).decode())
    except (OSError, ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


@contextlib.contextmanager
def disk_errors(path: Path, option: str = "--runs") -> Iterator[None]:
    """Turn an OSError into a DiskError that names the place and the way out, the option by which the place was chosen."""
    try:
        yield
    except OSError as error:
        raise DiskError(
            f"{path} cannot be used: {error.strerror or error}. Make room or name another folder with {option}."
        ) from error


def append_line(path: Path, line: str) -> None:
    """Add a line to a file that only grows. Raises DiskError."""
    with disk_errors(path), path.open("ab") as file:
        if file.tell() > 0 and not _ends_with_newline(path):
            line = "\n" + line  # what a killed process left of its last line stays a line of its own
        file.write(line.encode())


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def read_lines(path: Path) -> list[str]:
    """The lines of a file, none where there is no file; bytes that are no text are replaced."""
    try:
        return read_regular(path).decode("utf-8", errors="replace").splitlines()
    except OSError:
        return []


@dataclass(frozen=True)
class Position:
    """How far a file has been read: which file of the disk it is, and bytes."""

    inode: int = -1
    offset: int = 0

    def follows(self, earlier: "Position") -> bool:
        """Whether this is further in the same file, which has only grown since."""
        return self.inode == earlier.inode and self.offset >= earlier.offset


def read_on(path: Path, position: Position) -> tuple[list[str], Position]:
    """The complete lines behind a position, and the position behind them; from the beginning where it is not the same file."""
    if not path.is_file():
        return [], Position()
    try:
        with path.open("rb") as file:
            there = os.fstat(file.fileno())
            here = Position(there.st_ino, there.st_size)
            start = position.offset if here.follows(position) else 0
            file.seek(start)
            content = file.read()
    except OSError:
        return [], Position()
    complete = content[: content.rfind(b"\n") + 1]
    return complete.decode("utf-8", errors="replace").splitlines(), Position(here.inode, start + len(complete))


def sync(path: Path) -> None:
    """Put what was appended to a file on the disk, if there is one. Raises DiskError."""
    with disk_errors(path):
        if path.exists():
            with path.open("ab") as file:
                os.fsync(file.fileno())
