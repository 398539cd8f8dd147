"""A server on this machine that an archive is downloaded from."""

import dataclasses
import hashlib
import http.server
import io
import tarfile
import threading
import time
from collections.abc import Iterator

import pytest

from resnet_lab.data.cifar import CIFAR10


def archive() -> bytes:
    """An archive with the folder of CIFAR-10 and one file of zeros in it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=0) as tar:
        info = tarfile.TarInfo(f"{CIFAR10.folder}/test_batch")
        info.size = 300_000
        tar.addfile(info, io.BytesIO(bytes(300_000)))
    return buffer.getvalue()


class Server(http.server.ThreadingHTTPServer):
    """Serves `content` at any address, and knows the requested ranges.

    `silent` does not answer, `cut` closes the connection after so many bytes, and without `ranges` all content is sent.
    `source` is CIFAR-10 with the checksum of the content.
    """

    content = archive()
    silent, cut, ranges = False, 0, True
    source = dataclasses.replace(CIFAR10, archive_md5=hashlib.md5(content).hexdigest())
    requested_ranges: list[str | None]


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        requested = self.headers.get("Range")
        self.server.requested_ranges.append(requested)
        if self.server.silent:
            time.sleep(3)
            return
        begin = int(requested.removeprefix("bytes=").removesuffix("-")) if requested and self.server.ranges else 0
        body = self.server.content[begin:]
        if requested and not body:
            self.send_error(416)
            return
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.server.cut or None])

    def log_message(self, *arguments: object) -> None: ...


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The server, whose address is in the variable that overrides the URL of CIFAR-10."""
    local = Server(("127.0.0.1", 0), Handler)
    local.requested_ranges = []
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("RESNET_LAB_CIFAR10_URL", f"http://127.0.0.1:{local.server_port}/cifar")
    thread = threading.Thread(target=local.serve_forever)
    thread.start()
    yield local
    local.shutdown()
    thread.join()
    local.server_close()
