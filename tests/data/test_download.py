"""The download against a server of our own: whole, interrupted and continued, too slow, silent, wrong."""

import dataclasses
import hashlib
import http.server
import io
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from resnet_lab.data import auto, cifar, download
from resnet_lab.data.cifar import CIFAR10
from resnet_lab.data.progress import DownloadProgress
from resnet_lab.errors import DataError
from resnet_lab.record.store import RunFolder
from resnet_lab.run.auto import as_in_study, decide_data, fetch_data
from tests.builders import tiny


def archive() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=0) as tar:
        info = tarfile.TarInfo(f"{CIFAR10.folder}/test_batch")
        info.size = 300_000
        tar.addfile(info, io.BytesIO(bytes(300_000)))
    return buffer.getvalue()


class Server(http.server.ThreadingHTTPServer):
    """Serves one file, with ranges; `silent` never answers, `cut` closes after so many bytes."""

    content = archive()
    silent, cut, ranges = False, 0, True
    asked: list[str | None]


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        if self.server.silent:
            time.sleep(3)
            return
        begin = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.server.ranges else 0
        body = self.server.content[begin:]
        if wanted and not body:
            self.send_error(416)
            return
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.server.cut or None])

    def log_message(self, *arguments: object) -> None: ...


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    made = Server(("127.0.0.1", 0), Handler)
    made.asked = []
    md5 = hashlib.md5(made.content).hexdigest()
    monkeypatch.setattr(cifar, "has_md5", lambda path, wanted: hashlib.md5(path.read_bytes()).hexdigest() == md5)
    monkeypatch.setattr(download, "has_md5", cifar.has_md5)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("RESNET_LAB_CIFAR10_URL", f"http://127.0.0.1:{made.server_port}/cifar")
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def test_a_download_is_verified_and_unpacked(server, tmp_path):
    progress = list(download.download(CIFAR10, tmp_path / "data"))
    assert progress[-1].done_bytes == progress[-1].total_bytes == len(server.content)
    assert (tmp_path / "data" / CIFAR10.folder / "test_batch").stat().st_size == 300_000
    assert not list((tmp_path / "data").glob("*.part"))


def test_an_interrupted_download_goes_on_where_it_was(server, tmp_path):
    first = download.download(CIFAR10, tmp_path)
    next(first)
    first.close()
    have = (tmp_path / f"{CIFAR10.archive}.part").stat().st_size
    assert 0 < have < len(server.content)
    progress = list(download.download(CIFAR10, tmp_path))
    assert server.asked == [None, f"bytes={have}-"]
    assert progress[-1].done_bytes == len(server.content)
    assert (tmp_path / CIFAR10.folder).is_dir()


def test_a_server_without_ranges_starts_again(server, tmp_path):
    server.ranges = False
    (tmp_path / f"{CIFAR10.archive}.part").write_bytes(b"old")
    list(download.download(CIFAR10, tmp_path))
    assert (tmp_path / CIFAR10.folder).is_dir()


def test_a_part_that_is_already_whole_is_taken(server, tmp_path):
    (tmp_path / f"{CIFAR10.archive}.part").write_bytes(server.content)
    assert list(download.download(CIFAR10, tmp_path)) == []
    assert (tmp_path / CIFAR10.folder).is_dir()


def test_a_connection_that_closes_early_keeps_what_came(server, tmp_path):
    server.cut = 100_000
    with pytest.raises(DataError, match="Run the same command to resume"):
        list(download.download(CIFAR10, tmp_path))
    assert (tmp_path / f"{CIFAR10.archive}.part").stat().st_size == 100_000


def test_another_file_is_refused_and_removed(server, tmp_path):
    server.content = b"<html>moved</html>"
    with pytest.raises(DataError, match="is not the CIFAR-10 archive"):
        list(download.download(CIFAR10, tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_host_that_does_not_answer_is_given_up_in_time(server, tmp_path, monkeypatch):
    assert download.CONNECT_SECONDS < 20
    monkeypatch.setattr(download, "CONNECT_SECONDS", 0.3)
    server.silent = True
    begin = time.monotonic()
    with pytest.raises(DataError, match=r"failed: (no answer within 0.3 seconds|timed out)"):
        list(download.download(CIFAR10, tmp_path))
    assert time.monotonic() - begin < 10


def test_an_unknown_host_and_a_closed_port_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "CONNECT_SECONDS", 2.0)
    for address in ("http://127.0.0.1:1/x", "http://no-such-host.invalid/x", "mirror.example/cifar.tar.gz"):
        with pytest.raises(DataError, match="RESNET_LAB_CIFAR10_URL"):
            list(download.download(dataclasses.replace(CIFAR10, official_url=address), tmp_path))


def test_progress_tells_the_time_left():
    assert DownloadProgress("", 40, 100, 20.0, 2.0).seconds_left == 3.0
    assert DownloadProgress("", 40, None, 20.0, 2.0).seconds_left is None
    assert DownloadProgress("", 0, 100, 0.0, 2.0).seconds_left is None


AUTO = tiny(data__dataset="auto")


def resolved(folder: Path, said: list[object]) -> str:
    """The data set of a new study that leaves it to `auto`, collecting what is said on the way."""
    said += fetch_data(AUTO, AUTO, folder)
    return decide_data(AUTO, folder).data.dataset


def test_auto_takes_the_stand_in_where_the_download_would_take_long(tmp_path, monkeypatch):
    def slow(address: str, folder: Path) -> Iterator[DownloadProgress]:
        for second in range(100):
            yield DownloadProgress("CIFAR-10", 55_000 * second, 170_000_000, 55_000.0, second)

    monkeypatch.setattr(auto, "download", slow)
    said: list[object] = []
    assert resolved(tmp_path, said) == "synthetic"
    assert len([each for each in said if isinstance(each, DownloadProgress)]) < 12
    assert "would take another 51 minutes" in str(said[-1])
    assert "resnet-lab data --download" in str(said[-1])


def test_auto_takes_the_stand_in_where_there_is_no_network(tmp_path, monkeypatch):
    monkeypatch.setenv("RESNET_LAB_CIFAR10_URL", "http://127.0.0.1:1/x")
    assert resolved(tmp_path, []) == "synthetic"


def test_auto_downloads_what_comes_quickly(server, tmp_path):
    assert resolved(tmp_path, []) == "cifar10"
    assert (tmp_path / CIFAR10.folder).is_dir()


def test_no_network_is_asked_where_the_data_is_present(server, tmp_path):
    (tmp_path / CIFAR10.folder).mkdir()
    (tmp_path / CIFAR10.folder / "test_batch").touch()
    assert resolved(tmp_path, []) == "cifar10"
    assert server.asked == []


def test_a_study_that_began_on_the_stand_in_continues_on_it_and_says_so(server, tmp_path):
    first = tiny(seed=1)
    RunFolder(tmp_path / "study" / first.name).create(first)
    settled = as_in_study(AUTO, tmp_path / "study")
    assert settled == decide_data(settled, tmp_path) == tiny()
    assert list(fetch_data(AUTO, settled, tmp_path)) == []
    (tmp_path / CIFAR10.folder).mkdir()
    (tmp_path / CIFAR10.folder / "test_batch").touch()
    assert "CIFAR-10 is available now" in str(list(fetch_data(AUTO, settled, tmp_path)))
    assert list(fetch_data(tiny(), tiny(), tmp_path)) == []  # the stand-in was asked for
    assert decide_data(settled, tmp_path) == tiny()
    assert server.asked == []
