"""Resumable download of the CIFAR-10 or CIFAR-100 archive, with a connection timeout and a measured transfer rate.

The address of the archive or of a proxy may contain a password or token, so messages show only the host. The server's answer is
not trusted, nor is its size.
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

from resnet_lab.data.cifar import MAX_BYTES, Cifar, has_md5
from resnet_lab.data.progress import DownloadProgress
from resnet_lab.errors import DataError
from resnet_lab.record.files import disk_errors

CONNECT_SECONDS = 18.0
_BLOCK_BYTES = 1 << 16
_MAX_RATE_WINDOW_SECONDS = 10.0


class _Address(NamedTuple):
    """Where the archive is: the request for its missing bytes, and the host, the only part of the address in messages."""

    request: urllib.request.Request
    host: str


def download(source: Cifar, folder: Path, connect_seconds: float = CONNECT_SECONDS) -> Iterator[DownloadProgress]:
    """Download and unpack the archive into `folder`, yielding progress; stop iterating to interrupt the download.

    A partial download is kept in a `.part` file, from which the next call resumes.
    Raises DiskError, and DataError if the host does not answer within `connect_seconds`, stalls, or sends a different file.
    """
    archive = folder / source.archive
    part = archive.with_name(archive.name + ".part")
    with disk_errors(folder, "--data-dir"):
        folder.mkdir(parents=True, exist_ok=True)
        offset = part.stat().st_size if part.exists() else 0
    address = _address(source, offset)
    try:
        response = _connect(address.request, connect_seconds, is_partial=offset > 0)
        if response is not None:
            with response:
                yield from _receive(source.name, response, part, offset)
    except (OSError, HTTPException, ValueError) as error:  # URLError, TLS and socket errors are OSErrors
        raise DataError(
            f"The download from {address.host} failed: {_reason(error)}. "
            f"Run the same command to resume; set ${source.url_variable} to use a mirror."
        ) from None
    if not has_md5(part, source.archive_md5):
        part.unlink()
        raise DataError(f"The file from {address.host} is not the {source.name} archive (its md5 differs) and was removed.")
    part.replace(archive)
    source.unpack(archive)


def _address(source: Cifar, offset: int) -> _Address:
    """The archive from byte `offset`; user name and password are moved to a header. Raises DataError if the URL is invalid."""
    try:
        parts = urllib.parse.urlsplit(source.url())
        if parts.scheme not in ("http", "https", "ftp", "file") or (parts.hostname is None and parts.scheme != "file"):
            raise ValueError
        request = urllib.request.Request(parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl())
        if parts.username is not None:
            login = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
            request.add_unredirected_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
    except ValueError:
        raise DataError(f"${source.url_variable} is not a valid URL, such as {source.official_url}.") from None
    if offset:
        request.add_header("Range", f"bytes={offset}-")
    return _Address(request, parts.hostname or "this machine")


def _reason(error: Exception) -> str:
    """Why a download failed. Only system errors are quoted: others may quote an address that contains a password."""
    if isinstance(error, OSError):
        return str(getattr(error, "reason", None) or error or type(error).__name__)
    return f"its URL or that of a proxy is invalid, or the response is not HTTP ({type(error).__name__})"


def _connect(request: urllib.request.Request, seconds: float, *, is_partial: bool) -> HTTPResponse | None:
    """Send the request, within so many seconds including name resolution; None if the partial download is complete."""
    answers: queue.SimpleQueue[HTTPResponse | Exception] = queue.SimpleQueue()

    def open_url() -> None:
        try:
            answers.put(urllib.request.urlopen(request, timeout=seconds))
        except Exception as error:  # raised again in the calling thread
            answers.put(error)

    threading.Thread(target=open_url, daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"no answer within {seconds:g} seconds") from None
    if isinstance(answer, urllib.error.HTTPError):
        answer.close()
        if answer.code == 416 and is_partial:
            return None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _receive(what: str, response: HTTPResponse, part: Path, offset: int) -> Iterator[DownloadProgress]:
    resumed = response.status == 206
    done = offset if resumed else 0
    length = response.headers.get("Content-Length")
    total = done + int(length) if length else None
    begin = time.monotonic()
    recent = [(begin, done)]
    with disk_errors(part, "--data-dir"):
        file = part.open("ab" if resumed else "wb", buffering=0)
    with file:
        while done <= MAX_BYTES and (block := response.read1(_BLOCK_BYTES)):
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
    if total is not None and done < min(total, MAX_BYTES):
        raise ConnectionError(f"the connection closed after {done:,} of {total:,} bytes")
