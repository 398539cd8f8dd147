"""`dataset = "auto"`: when CIFAR-10 is downloaded, and when the synthetic stand-in is used."""

import itertools
import re
import time
from pathlib import Path

from resnet_lab.data import auto
from resnet_lab.data.cifar import CIFAR10
from resnet_lab.data.progress import DownloadProgress
from resnet_lab.run.auto import decide_data, fetch_data
from tests.builders import tiny

AUTO = tiny(data__dataset="auto")


def resolve_auto(folder: Path) -> tuple[str, list[DownloadProgress | str]]:
    """The data set of a new study that leaves it to `auto`, and the progress and messages on the way."""
    items = list(fetch_data(AUTO, AUTO, folder))
    return decide_data(AUTO, folder).data.dataset, items


def test_auto_uses_the_stand_in_if_the_download_would_take_long(server, tmp_path, monkeypatch):
    server.content = bytes(3_000_000)
    readings = itertools.count(0.0, 9.0)  # by this clock every block takes nine seconds, all of them seven minutes
    monkeypatch.setattr(time, "monotonic", lambda: next(readings))
    dataset, items = resolve_auto(tmp_path)
    assert dataset == "synthetic"
    assert len([item for item in items if isinstance(item, DownloadProgress)]) == 1
    assert re.search(r"would take .*minutes", str(items[-1]))
    assert "resnet-lab data --download" in str(items[-1])


def test_auto_uses_the_stand_in_without_a_network(tmp_path, monkeypatch):
    monkeypatch.setenv("RESNET_LAB_CIFAR10_URL", "http://127.0.0.1:1/x")
    assert resolve_auto(tmp_path)[0] == "synthetic"


def test_auto_downloads_cifar10_if_the_download_is_fast(server, tmp_path, monkeypatch):
    monkeypatch.setattr(auto, "CIFAR10", server.source)  # the server's archive does not have the official checksum
    assert resolve_auto(tmp_path)[0] == "cifar10"
    assert (tmp_path / CIFAR10.folder).is_dir()


def test_auto_makes_no_request_if_cifar10_is_present(server, tmp_path):
    (tmp_path / CIFAR10.folder).mkdir()
    (tmp_path / CIFAR10.folder / "test_batch").touch()
    assert resolve_auto(tmp_path)[0] == "cifar10"
    assert server.requested_ranges == []
