"""A disk that is full at any level: exit code 74, whole files, and the same results once there is room."""

from resnet_lab.errors import DiskError
from resnet_lab.record import checkpoint
from resnet_lab.record.store import RunFolder
from tests.reliability.lasting import assert_files_are_whole, lasting, stateful
from tests.reliability.processes import exit_code, start, train
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
