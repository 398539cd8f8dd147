"""Fetching the archive of CIFAR-10 or CIFAR-100: a time limit on connecting, a measured rate, resumable when interrupted.

The address and that of a proxy may hold a password or a token: neither is shown. What is sent is not trusted, nor its size.
"""

import base64
import queue
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import NamedTuple

from resnet_lab.data.cifar import LARGEST_BYTES, Cifar, has_md5
from resnet_lab.data.progress import DownloadProgress
from resnet_lab.errors import DataError
from resnet_lab.record.files import disk_errors

CONNECT_SECONDS = 18.0
_BLOCK_BYTES = 1 << 16
_MAX_RATE_WINDOW_SECONDS = 10.0


class _Address(NamedTuple):
    """Where the archive is: the request for the rest of it, and the host, which is all of an address that messages show."""

    request: urllib.request.Request
    host: str


def download(source: Cifar, folder: Path) -> Iterator[DownloadProgress]:
    """Fetch and unpack the archive into `folder`, yielding progress; stop iterating to interrupt it.

    What has arrived stays beside it in a file that ends in `.part`, and the next call goes on from there.
    Raises DataError where the host cannot be reached within 20 seconds, stalls, or sends another file.
    """
    archive = folder / source.archive
    part = archive.with_name(archive.name + ".part")
    with disk_errors(folder, "--data-dir"):
        folder.mkdir(parents=True, exist_ok=True)
        have = part.stat().st_size if part.exists() else 0
    address = _address(source, have)
    try:
        response = _connect(address.request, resumes=have > 0)
        if response is not None:
            with response:
                yield from _receive(source.name, response, part, have)
    except (OSError, HTTPException, ValueError) as error:  # URLError, TLS and socket errors are OSErrors
        raise DataError(
            f"The download from {address.host} failed: {_reason(error)}. "
            f"The same command continues it; ${source.url_variable} names a mirror."
        ) from None
    if not has_md5(part, source.archive_md5):
        part.unlink()
        raise DataError(f"What {address.host} sent is not the {source.name} archive (its md5 differs), and was removed.")
    part.replace(archive)
    source.unpack(archive)


def _address(source: Cifar, have: int) -> _Address:
    """The archive from byte `have` on; a name and password in its address become a header. Raises DataError where it is none."""
    try:
        parts = urllib.parse.urlsplit(source.url())
        if parts.scheme not in ("http", "https", "ftp", "file") or (parts.hostname is None and parts.scheme != "file"):
            raise ValueError
        request = urllib.request.Request(parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl())
        if parts.username is not None:
            login = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
            request.add_unredirected_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
    except ValueError:
        raise DataError(f"${source.url_variable} is no address, such as {source.official_url}.") from None
    if have:
        request.add_header("Range", f"bytes={have}-")
    return _Address(request, parts.hostname or "this machine")


def _reason(error: Exception) -> str:
    """Why a download failed. Only errors of the system are quoted: others may quote an address with its password."""
    if isinstance(error, OSError):
        return str(getattr(error, "reason", None) or error or type(error).__name__)
    return f"its address, or that of a proxy, cannot be used, or the answer is not HTTP ({type(error).__name__})"


def _connect(request: urllib.request.Request, *, resumes: bool) -> HTTPResponse | None:
    """Open the address within CONNECT_SECONDS, name look-up included; None: all bytes are here."""
    answers: queue.SimpleQueue[HTTPResponse | Exception] = queue.SimpleQueue()

    def open_url() -> None:
        try:
            answers.put(urllib.request.urlopen(request, timeout=CONNECT_SECONDS))
        except Exception as error:  # handed to the caller, who names it
            answers.put(error)

    threading.Thread(target=open_url, daemon=True).start()
    try:
        answer = answers.get(timeout=CONNECT_SECONDS)
    except queue.Empty:
        raise TimeoutError(f"no answer within {CONNECT_SECONDS:g} seconds") from None
    if isinstance(answer, urllib.error.HTTPError):
        answer.close()
        if answer.code == 416 and resumes:
            return None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _receive(what: str, response: HTTPResponse, part: Path, have: int) -> Iterator[DownloadProgress]:
    resumed = response.status == 206
    done = have if resumed else 0
    length = response.headers.get("Content-Length")
    total = done + int(length) if length else None
    begin = time.monotonic()
    recent = [(begin, done)]
    with disk_errors(part, "--data-dir"):
        file = part.open("ab" if resumed else "wb", buffering=0)
    with file:
        while done <= LARGEST_BYTES and (block := response.read1(_BLOCK_BYTES)):
            with disk_errors(part, "--data-dir"):
                file.write(block)
            done += len(block)
            now = time.monotonic()
            recent.append((now, done))
            while now - recent[0][0] > _MAX_RATE_WINDOW_SECONDS:
                recent.pop(0)
            then, then_done = recent[0]
            rate = (done - then_done) / (now - then) if now > then else 0.0
            yield DownloadProgress(what, done, total, rate, now - begin)
    if total is not None and done < min(total, LARGEST_BYTES):
        raise ConnectionError(f"the connection closed after {done:,} of {total:,} bytes")
