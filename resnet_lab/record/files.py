"""Atomic and append-only file writes, incremental reads, and disk errors reported as DiskError."""

import contextlib
import errno
import io
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet_lab.errors import DiskError


def write_atomically(path: Path, content: bytes, option: str = "--runs") -> None:
    """Atomically replace a file by `content`, synced to disk on return. Raises DiskError, which names `option`."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with disk_errors(path, option, len(content)):
        try:
            with temporary.open("wb", buffering=0) as file:
                _write_all(file, content)
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        if sys.platform != "win32":  # where folders cannot be opened
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


def to_json(values: Any) -> bytes:
    """Indented JSON with a final newline."""
    return (json.dumps(values, indent=2) + "\n").encode()


def write_json(path: Path, values: Any, option: str = "--runs") -> None:
    """Write indented JSON atomically. Raises DiskError, which names `option`."""
    write_atomically(path, to_json(values), option)


def read_regular(path: Path) -> bytes:
    """The bytes of a file. Raises OSError, also for pipes and devices, which could block or never end."""
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return path.read_bytes()


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file; an empty one if the file is missing or holds anything else."""
    try:
        values = json.loads(read_regular(path).decode())
    except (OSError, ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


@contextlib.contextmanager
def disk_errors(path: Path, option: str = "--runs", num_bytes: int | None = None) -> Iterator[None]:
    """Turn an OSError into a DiskError that names the path, the option that chooses another, and the bytes it needs if full."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        needed = f" ({num_bytes:,} bytes are needed)" if full and num_bytes is not None else ""
        remedy = "Free disk space or choose" if full else "Choose"
        reason = f"{error.strerror or error}{needed}"
        raise DiskError(f"{path} cannot be used: {reason}. {remedy} another folder with {option}.") from error


def append_line(path: Path, line: str) -> None:
    """Append a line to a file, whole or not at all where the disk is full. Raises DiskError."""
    with disk_errors(path, num_bytes=len(line.encode())), path.open("ab", buffering=0) as file:
        size = file.tell()
        if size > 0 and not _ends_with_newline(path):
            line = "\n" + line  # a partial line left by a killed process stays on a line of its own
        try:
            _write_all(file, line.encode())
        except OSError:
            file.truncate(size)
            raise


def _write_all(file: io.FileIO, content: bytes) -> None:
    """Write all bytes: one write to an unbuffered file may take only some of them."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def read_lines(path: Path) -> list[str]:
    """The lines of a file, none if it cannot be read; invalid UTF-8 is replaced."""
    try:
        return read_regular(path).decode("utf-8", errors="replace").splitlines()
    except OSError:
        return []


@dataclass(frozen=True)
class Position:
    """How far a file has been read: its inode and the offset in bytes."""

    inode: int = -1
    offset: int = 0

    def follows(self, earlier: "Position") -> bool:
        """Whether this is the same position or a later one in the same file."""
        return self.inode == earlier.inode and self.offset >= earlier.offset


def read_new_lines(path: Path, position: Position) -> tuple[list[str], Position]:
    """The complete lines after a position, and the position after them; reads from the start if the file was replaced."""
    if not path.is_file():
        return [], Position()
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            end = Position(status.st_ino, status.st_size)
            start = position.offset if end.follows(position) else 0
            file.seek(start)
            content = file.read()
    except OSError:
        return [], Position()
    complete = content[: content.rfind(b"\n") + 1]
    return complete.decode("utf-8", errors="replace").splitlines(), Position(end.inode, start + len(complete))


def sync(path: Path) -> None:
    """Flush a file's appended content to disk, if the file exists. Raises DiskError."""
    with disk_errors(path):
        if path.exists():
            with path.open("ab") as file:
                os.fsync(file.fileno())
