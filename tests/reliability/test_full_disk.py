"""A disk that is full at any level: exit code 74, whole files, and the same results once there is room."""

import contextlib
import os
from pathlib import Path

import pytest

from resnet_lab.config.schema import RunConfig
from resnet_lab.errors import DiskError
from resnet_lab.record import checkpoint
from resnet_lab.record.store import RunFolder
from resnet_lab.report.write import write_report
from resnet_lab.run.experiment import run
from resnet_lab.study.compare import compare_study
from tests.builders import CPU
from tests.reliability.lasting import assert_files_are_whole, lasting, stateful
from tests.reliability.processes import Edges, exit_code, start, train
from tests.reliability.scale import times

SHORT = stateful(recipe__steps=8)


def test_a_full_disk_ends_with_74_and_the_run_completes_once_there_is_room(tmp_path, figure):
    whole, log = RunFolder(tmp_path / "whole"), tmp_path / "log"
    assert exit_code(start(train, str(whole.path), SHORT, str(log))) == 0
    written = int(log.read_text().split()[1])
    levels = times(3, 10)
    for level in range(levels):
        folder = RunFolder(tmp_path / str(level))
        room = written * (2 * level + 1) // (2 * levels) if level else 300  # the first: not even the config
        assert exit_code(start(train, str(folder.path), SHORT, str(log), 0.0, -1, room)) == DiskError.exit_code, room
        message = log.read_text()
        assert str(folder.path) in message
        assert "bytes are needed" in message
        assert_files_are_whole(folder)
        assert all(text.endswith("\n") for text in (path.read_text() for path in folder.path.glob("*.jsonl")) if text)
        if folder.checkpoints.exists() and checkpoint.steps(folder):
            assert checkpoint.load_newest(folder)[0] is not None
        assert exit_code(start(train, str(folder.path), SHORT)) == 0
        assert lasting(folder) == lasting(whole), room
    figure(
        "6",
        f"a disk full at {levels} levels while a run writes configs, records, events, checkpoints and manifests",
        f"{levels} of {levels}: exit code {DiskError.exit_code}, folder and bytes named, complete and identical with room",
    )


@contextlib.contextmanager
def small_disk(monkeypatch, room=None):
    """A disk with this many free bytes in this process; yields the counts of what is written."""
    with monkeypatch.context() as patch:
        for place, name in ((Path, "open"), (os, "fsync"), (os, "replace"), (os, "unlink")):
            patch.setattr(place, name, getattr(place, name))  # restored at the end
        edges = Edges(room=room)
        edges.install()
        yield edges


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_a_full_disk_leaves_whole_figures_and_pages_and_the_report_completes_with_room(tmp_path, monkeypatch, figure):
    config = RunConfig.model_validate(SHORT)
    list(run(config, RunFolder(tmp_path / "study" / config.name), CPU, measure_speed=False))
    comparison = compare_study(tmp_path / "study")
    with small_disk(monkeypatch) as edges:
        write_report(comparison, out=tmp_path / "whole")
    expected = contents(tmp_path / "whole")
    levels = times(1, 10)
    for level in range(levels):
        out = tmp_path / f"report-{level}"
        with small_disk(monkeypatch, edges.written * (2 * level + 1) // (2 * levels)), pytest.raises(DiskError) as raised:
            write_report(comparison, out=out)
        assert str(out) in str(raised.value)
        assert "bytes are needed" in str(raised.value)
        assert contents(out).items() <= expected.items()
        write_report(comparison, out=out)
        assert contents(out) == expected
    figure(
        "6",
        f"a disk full at {levels} levels while a report with {len(expected)} figures and pages is written",
        f"{levels} of {levels}: folder and bytes named, no partial file, complete and identical with room",
    )
