"""The lock of a run's folder: only one process works on a run, on this machine or on others that share the folder.

`.lock` is locked with flock(2), which the kernel releases when the process ends, even if it is killed. Some network file systems
do not pass this lock on to other machines. So `.owner.json` names the process that holds the run, and that process touches the
file every HEARTBEAT_SECONDS, its heartbeat. A file without a heartbeat is stale, and the next process takes the run over.
docs/reliability.md says what holds on which file system.
"""

import contextlib
import datetime
import errno
import functools
import json
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from resnet_lab.errors import LockedError
from resnet_lab.record.files import disk_errors

if sys.platform != "win32":
    import fcntl

HEARTBEAT_SECONDS = 10.0
STALE_SECONDS = 45.0  # four beats may be late
_FLOCK_SECONDS = 2.0  # longer than `holder` holds the lock
_WATCH_SECONDS = 0.2
_JOIN_SECONDS = 1.0  # a file system that hangs must not keep a run from ending
_MAX_BYTES = 10_000
_UNSUPPORTED = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOLCK)
_Flock = Literal["held", "free", "unknown"]


class Machine(NamedTuple):
    """A running system: its host name and, on Linux, the id of its boot, since host names may occur twice."""

    host: str
    boot: str = ""


@functools.cache
def this_machine() -> Machine:
    """The machine of this process."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = ""
    return Machine(socket.gethostname(), boot)


@dataclass(frozen=True)
class Owner:
    """The process that holds a run. `token` is random, `since` is an ISO time; `pid` is 0 if the process is not known."""

    host: str
    boot: str
    pid: int
    token: str
    since: str

    @property
    def machine(self) -> Machine:
        """The machine on which the process runs."""
        return Machine(self.host, self.boot)

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}" if self.pid else "another process"


_NOBODY = Owner("", "", 0, "", "")


class _Seen(NamedTuple):
    """What an owner file says, and when it was last touched, in seconds since 1970 of the file system's clock."""

    owner: Owner
    touched_at: float


class Hold:
    """A run that is held by this process. `taken_over` is the earlier owner, if it did not release the run itself."""

    def __init__(self, folder: Path, owner: Owner, taken_over: Owner | None) -> None:
        self._folder, self._owner, self.taken_over = folder, owner, taken_over

    def check(self) -> None:
        """Raise LockedError if another process has taken the run over, because this one gave no heartbeat. Or DiskError."""
        with disk_errors(self._folder):
            seen = _read(self._folder)
        if not self._is_ours(seen):
            by = f" ({seen.owner})" if seen else ""
            raise LockedError(
                f"Another process{by} has taken over {self._folder}, since this one had given no sign of life; "
                "`resnet-lab runs` shows its progress."
            )

    def beat(self) -> bool:
        """Touch the owner file, as a heartbeat. False if the run is no longer held."""
        with contextlib.suppress(OSError):  # the next beat tries again, and the next record reports it
            if not self._is_ours(_read(self._folder)):
                return False
            os.utime(_owner_file(self._folder))
        return True

    def beat_until(self, ended: threading.Event, seconds: float) -> None:
        """Give a heartbeat every so many seconds, until the event is set or the run is no longer held."""
        while not ended.wait(seconds) and self.beat():
            pass

    def release(self) -> None:
        """Remove the owner file, unless it belongs to another process by now."""
        with contextlib.suppress(OSError):
            if self._is_ours(_read(self._folder)):
                _owner_file(self._folder).unlink()

    def _is_ours(self, seen: "_Seen | None") -> bool:
        return seen is not None and seen.owner.token == self._owner.token


@contextlib.contextmanager
def hold(
    folder: Path,
    stop: Callable[[], bool] = lambda: False,
    *,
    machine: Machine | None = None,
    heartbeat_seconds: float = HEARTBEAT_SECONDS,
    stale_seconds: float = STALE_SECONDS,
) -> Iterator[Hold | None]:
    """Hold a run's folder for this process; None if `stop()` became true while waiting for another process's heartbeat.

    An owner that has not released the run is taken over. If its process was on this machine, the flock shows that it is gone;
    otherwise it is watched for `stale_seconds` for a heartbeat. Raises LockedError if another process has the run, DiskError.
    """
    with contextlib.ExitStack() as stack:
        with disk_errors(folder):
            has_flock = _take_flock(folder, stack)
            held = _take(folder, machine or this_machine(), stop, stale_seconds, has_flock=has_flock)
        if held is not None:
            stack.callback(held.release)
            stack.enter_context(_beating(held, heartbeat_seconds))
        yield held


def holder(folder: Path, *, machine: Machine | None = None, stale_seconds: float = STALE_SECONDS) -> Owner | None:
    """The process that works on a run now, None if there is none. For readers: writes nothing, works in a read-only folder.

    The last heartbeat of a process on another machine is compared with this machine's clock.
    """
    machine = machine or this_machine()
    flock, seen = _probe_flock(folder), None
    with contextlib.suppress(OSError):
        seen = _read(folder)
    if flock == "held":
        return seen.owner if seen else Owner(*machine, pid=0, token="", since="")
    if seen is None or time.time() - seen.touched_at > stale_seconds:
        return None
    has_ended = flock == "free" and seen.owner.machine == machine
    return None if has_ended else seen.owner


def awaited(folder: Path, *, machine: Machine | None = None) -> Owner | None:
    """The owner for whose heartbeat `hold` would wait: one on another machine that has not released the run."""
    seen = None
    with contextlib.suppress(OSError):
        seen = _read(folder)
    return seen.owner if seen and seen.owner.machine != (machine or this_machine()) else None


def _take_flock(folder: Path, stack: contextlib.ExitStack) -> bool:
    """Lock `.lock` until the stack closes; False if there are no file locks here. Raises LockedError if it is held."""
    if sys.platform == "win32":
        return False
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    stack.callback(os.close, descriptor)
    end = time.monotonic() + _FLOCK_SECONDS
    while (state := _flock(descriptor, fcntl.LOCK_EX)) == "held":
        if time.monotonic() > end:
            raise _locked(folder)
        time.sleep(0.05)
    return state == "free"


def _probe_flock(folder: Path) -> _Flock:
    """Whether a process holds the flock. A shared lock needs no permission to write, and readers do not disturb each other."""
    if sys.platform == "win32":
        return "unknown"
    try:
        descriptor = os.open(folder / ".lock", os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return "free"
    except OSError:
        return "unknown"
    try:
        return _flock(descriptor, fcntl.LOCK_SH)
    except OSError:
        return "unknown"
    finally:
        os.close(descriptor)


def _flock(descriptor: int, kind: int) -> _Flock:
    """Try to take the flock: it was free, is held by another process, or is unknown where there are no file locks."""
    assert sys.platform != "win32"
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return "held"
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return "unknown"
        raise
    return "free"


def _take(folder: Path, machine: Machine, stop: Callable[[], bool], stale_seconds: float, *, has_flock: bool) -> Hold | None:
    """Take a run that is free or whose owner is gone; None once `stop()` is true. Raises LockedError if its owner is alive."""
    seen = _read(folder)
    if seen is None:
        return _create(folder, machine, None)
    is_gone = has_flock and seen.owner.machine == machine
    end = time.monotonic() + (0.0 if is_gone else stale_seconds)
    while time.monotonic() < end:
        if stop():
            return None
        time.sleep(min(_WATCH_SECONDS, stale_seconds / 10))
        again = _read(folder)
        if again is None:  # it has released the run
            return _create(folder, machine, None)
        if again != seen:
            raise _locked(folder)
    _remove(folder, seen.owner)
    return _create(folder, machine, seen.owner)


def _create(folder: Path, machine: Machine, taken_over: Owner | None) -> Hold:
    """Create the owner file, in which one of several processes succeeds. Raises LockedError."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    owner = Owner(machine.host, machine.boot, os.getpid(), secrets.token_hex(8), now)
    path = _owner_file(folder)
    try:
        with path.open("xb") as file:
            file.write(json.dumps(asdict(owner)).encode())
    except FileExistsError:
        raise _locked(folder) from None
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return Hold(folder, owner, taken_over)


def _remove(folder: Path, stale: Owner) -> None:
    """Remove the file of a stale owner, by renaming it first: one of several processes succeeds. Raises LockedError."""
    aside = folder / f".owner.{secrets.token_hex(8)}.json"
    try:
        _owner_file(folder).rename(aside)
    except FileNotFoundError:  # another process was faster; the one that creates the new file has the run
        return
    moved = _read_file(aside)
    is_stale = moved is not None and moved.owner.token == stale.token
    if not is_stale:  # another process was faster, and this is its file
        with contextlib.suppress(OSError):
            os.link(aside, _owner_file(folder))
    aside.unlink()
    if not is_stale:
        raise _locked(folder)


@contextlib.contextmanager
def _beating(held: Hold, seconds: float) -> Iterator[None]:
    """Give heartbeats from a thread."""
    ended = threading.Event()
    thread = threading.Thread(target=held.beat_until, args=(ended, seconds), name="lock", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(_JOIN_SECONDS)


def _locked(folder: Path) -> LockedError:
    seen = None
    with contextlib.suppress(OSError):
        seen = _read(folder)
    who, last = "Another process", ""
    if seen is not None and seen.owner.pid:
        who = str(seen.owner).replace("process", "Process", 1)
        last = f" (last sign of life {max(time.time() - seen.touched_at, 0.0):.0f} s ago)"
    return LockedError(f"{who} is working on {folder}{last}; `resnet-lab runs` shows its progress.")


def _owner_file(folder: Path) -> Path:
    return folder / ".owner.json"


def _read(folder: Path) -> _Seen | None:
    return _read_file(_owner_file(folder))


def _read_file(path: Path) -> _Seen | None:
    """What an owner file says; None if there is none. Opening it makes NFS ask the server for its current state."""
    if not path.is_file():  # opening a pipe would block
        return None
    try:
        with path.open("rb") as file:
            touched_at = os.fstat(file.fileno()).st_mtime
            content = file.read(_MAX_BYTES)
    except FileNotFoundError:
        return None
    return _Seen(_parsed(content), touched_at)


def _parsed(content: bytes) -> Owner:
    """The owner; one without a name if the file is damaged."""
    try:
        values = json.loads(content)
        owner = Owner(**values)
    except (ValueError, TypeError, RecursionError):
        return _NOBODY
    kinds = (str, str, int, str, str)
    return owner if all(type(value) is kind for value, kind in zip(asdict(owner).values(), kinds, strict=True)) else _NOBODY
