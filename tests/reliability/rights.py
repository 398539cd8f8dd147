"""Make a folder read-only, for root too, whom file modes do not restrict on Linux."""

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator
from pathlib import Path

_VERSION_3 = 0x20080522
_OVERRIDES = 0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _Set(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable")]


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[bool]:
    """Make a folder and its contents read-only; yields whether that restricts this process."""
    there = [folder, *folder.rglob("*")]
    for path in there:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        with _bound_by_modes():
            yield not os.access(folder, os.W_OK, effective_ids=True)
    finally:
        for path in there:
            path.chmod(0o755 if path.is_dir() else 0o644)


@contextlib.contextmanager
def _bound_by_modes() -> Iterator[None]:
    """On Linux, drop this thread's capabilities to override file modes."""
    if not sys.platform.startswith("linux"):
        yield
        return
    libc, header, sets = ctypes.CDLL(None, use_errno=True), _Header(_VERSION_3, 0), (_Set * 2)()
    libc.capget(ctypes.byref(header), sets)
    before = sets[0].effective
    sets[0].effective = before & ~_OVERRIDES
    libc.capset(ctypes.byref(header), sets)
    try:
        yield
    finally:
        sets[0].effective = before
        libc.capset(ctypes.byref(header), sets)
