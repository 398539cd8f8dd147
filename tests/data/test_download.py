"""Downloads from a server on this machine: complete, interrupted, resumed, silent and wrong ones."""

import dataclasses
import time

import pytest

from resnet_lab.data.cifar import CIFAR10
from resnet_lab.data.download import CONNECT_SECONDS, download
from resnet_lab.data.progress import DownloadProgress
from resnet_lab.errors import DataError


def test_a_download_is_verified_and_unpacked(server, tmp_path):
    progress = list(download(server.source, tmp_path / "data"))
    assert progress[-1].done_bytes == progress[-1].total_bytes == len(server.content)
    assert (tmp_path / "data" / CIFAR10.folder / "test_batch").stat().st_size == 300_000
    assert not list((tmp_path / "data").glob("*.part"))


def test_an_interrupted_download_resumes_where_it_stopped(server, tmp_path):
    first = download(server.source, tmp_path)
    next(first)
    first.close()
    num_bytes = (tmp_path / f"{CIFAR10.archive}.part").stat().st_size
    assert 0 < num_bytes < len(server.content)
    progress = list(download(server.source, tmp_path))
    assert server.requested_ranges == [None, f"bytes={num_bytes}-"]
    assert progress[-1].done_bytes == len(server.content)
    assert (tmp_path / CIFAR10.folder).is_dir()


def test_a_download_restarts_if_the_server_ignores_ranges(server, tmp_path):
    server.ranges = False
    (tmp_path / f"{CIFAR10.archive}.part").write_bytes(b"old")
    list(download(server.source, tmp_path))
    assert (tmp_path / CIFAR10.folder).is_dir()


def test_a_complete_partial_file_is_not_downloaded_again(server, tmp_path):
    (tmp_path / f"{CIFAR10.archive}.part").write_bytes(server.content)
    assert list(download(server.source, tmp_path)) == []
    assert (tmp_path / CIFAR10.folder).is_dir()


def test_a_connection_that_closes_early_keeps_the_partial_file(server, tmp_path):
    server.cut = 100_000
    with pytest.raises(DataError, match="Run the same command to resume"):
        list(download(server.source, tmp_path))
    assert (tmp_path / f"{CIFAR10.archive}.part").stat().st_size == 100_000


def test_a_file_with_a_wrong_checksum_is_refused_and_removed(server, tmp_path):
    server.content = b"<html>moved</html>"
    with pytest.raises(DataError, match="is not the CIFAR-10 archive"):
        list(download(server.source, tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_host_that_does_not_answer_times_out(server, tmp_path):
    assert CONNECT_SECONDS < 20
    server.silent = True
    begin = time.monotonic()
    with pytest.raises(DataError, match=r"failed: (no answer within 0.3 seconds|timed out)"):
        list(download(server.source, tmp_path, connect_seconds=0.3))
    assert time.monotonic() - begin < 10


def test_unreachable_hosts_and_malformed_urls_are_reported(tmp_path):
    for address in ("http://127.0.0.1:1/x", "http://no-such-host.invalid/x", "mirror.example/cifar.tar.gz"):
        with pytest.raises(DataError, match="RESNET_LAB_CIFAR10_URL"):
            list(download(dataclasses.replace(CIFAR10, official_url=address), tmp_path, connect_seconds=2.0))


def test_progress_estimates_the_time_left():
    assert DownloadProgress("", 40, 100, 20.0, 2.0).seconds_left == 3.0
    assert DownloadProgress("", 40, None, 20.0, 2.0).seconds_left is None
    assert DownloadProgress("", 0, 100, 0.0, 2.0).seconds_left is None
