"""Resumable download of the CIFAR-10 or CIFAR-100 archive, with a connection timeout and a measured transfer rate."""

import queue
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from resnet_lab.data.cifar import Cifar, has_md5
from resnet_lab.data.progress import DownloadProgress
from resnet_lab.errors import DataError
from resnet_lab.record.files import disk_errors

CONNECT_SECONDS = 18.0
_BLOCK_BYTES = 1 << 16
_MAX_RATE_WINDOW_SECONDS = 10.0


def download(source: Cifar, folder: Path, connect_seconds: float = CONNECT_SECONDS) -> Iterator[DownloadProgress]:
    """Download and unpack the archive into `folder`, yielding progress; stop iterating to interrupt the download.

    A partial download is kept in a `.part` file, from which the next call resumes.
    Raises DiskError, and DataError if the host does not answer within `connect_seconds`, stalls, or sends a different file.
    """
    address, archive = source.url(), folder / source.archive
    part = archive.with_name(archive.name + ".part")
    with disk_errors(folder, "--data-dir"):
        folder.mkdir(parents=True, exist_ok=True)
        offset = part.stat().st_size if part.exists() else 0
    try:
        response = _connect(address, offset, connect_seconds)
        if response is not None:
            with response:
                yield from _receive(source.name, response, part, offset)
    except (OSError, HTTPException, ValueError) as error:  # URLError, TLS and socket errors are OSErrors
        raise DataError(
            f"The download from {address} failed: {getattr(error, 'reason', None) or error or type(error).__name__}. "
            f"Run the same command to resume; set ${source.url_variable} to use a mirror."
        ) from error
    if not has_md5(part, source.archive_md5):
        part.unlink()
        raise DataError(f"The file from {address} is not the {source.name} archive (its md5 differs) and was removed.")
    part.replace(archive)
    source.unpack(archive)


def _connect(address: str, offset: int, seconds: float) -> HTTPResponse | None:
    """Request the file from byte `offset`, within so many seconds including name resolution; None if it is complete."""
    request = urllib.request.Request(address, headers={"Range": f"bytes={offset}-"} if offset else {})
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
    if isinstance(answer, urllib.error.HTTPError) and answer.code == 416 and offset:
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
        while block := response.read1(_BLOCK_BYTES):
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
    if total is not None and done < total:
        raise ConnectionError(f"the connection closed after {done:,} of {total:,} bytes")
