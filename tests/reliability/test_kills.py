"""SIGKILL at any moment: the resumed run is identical to an uninterrupted one, and no partial file has a final name."""

import random
import time

import pytest

from resnet_lab.record import checkpoint
from resnet_lab.record.store import RunFolder
from tests.reliability.lasting import assert_files_are_whole, lasting, stateful
from tests.reliability.processes import exit_code, start, train
from tests.reliability.scale import times

KILLED = -9
LONG = stateful(recipe__steps=times(40, 300))
SHORT = stateful(recipe__steps=4, recipe__warmup={"from_depth": 8, "lr": 0.001, "until_error": 0.999, "window": 2})


def uninterrupted(folder, values):
    """What lasts of the run where nothing interrupts it, and how many operations on the disk it makes."""
    log = folder.parent / "operations"
    assert exit_code(start(train, str(folder), values, str(log))) == 0
    return lasting(RunFolder(folder)), int(log.read_text().split()[0])


def last_step(folder):
    return max((record.step for record in folder.records()), default=0)


def test_killed_runs_resume_to_identical_weights_and_records(tmp_path, figure):
    expected, operations = uninterrupted(tmp_path / "whole", LONG)
    chosen = random.Random(0)
    folder = RunFolder(tmp_path / "killed")
    kills, in_a_save = times(3, 20), times(1, 5)
    lost = []
    for kill in range(kills):
        inside = kill < in_a_save
        edge = chosen.randrange(30, operations // kills) if inside else -1
        process = start(train, str(folder.path), LONG, "/dev/null", 0.0, edge)
        if not inside:
            before = last_step(folder)
            while process.is_alive() and last_step(folder) <= before:
                time.sleep(0.01)
            time.sleep(chosen.uniform(0, 0.05))
            process.kill()
        assert exit_code(process) == KILLED
        assert_files_are_whole(folder)
        state, _ = checkpoint.load_newest(folder)
        lost.append(last_step(folder) - (state["step"] if state else 0))
    assert exit_code(start(train, str(folder.path), LONG)) == 0
    assert max(lost) <= 1, "with a checkpoint at every step, a kill costs more than one step"
    assert [event.name for event in folder.events()].count("resumed") >= kills - 1
    assert lasting(folder) == expected
    figure(
        "1",
        f"{kills} SIGKILLs of one run, {in_a_save} of them inside the writing of a checkpoint, a checkpoint at every step",
        f"identical; at most {max(lost)} step lost a kill",
    )


@pytest.mark.parametrize("part", range(2))
def test_a_kill_at_every_disk_operation_resumes_and_leaves_no_partial_file(part, tmp_path, figure):
    expected, operations = uninterrupted(tmp_path / "whole", SHORT)
    stride = times(45, 1)
    edges = range(part * stride // 2, operations, stride) if stride > 1 else range(part, operations, 2)
    for edge in edges:
        folder = RunFolder(tmp_path / str(edge))
        assert exit_code(start(train, str(folder.path), SHORT, "/dev/null", 0.0, edge)) == KILLED, edge
        assert_files_are_whole(folder)
        assert exit_code(start(train, str(folder.path), SHORT)) == 0, edge
        assert lasting(folder) == expected, edge
    figure(
        "3",
        f"SIGKILL at {len(edges)} of {operations} disk operations of a run (before, in and after each write, fsync, rename and "
        "removal, of records, events, checkpoints and manifests)",
        f"{len(edges)} of {len(edges)} resume to identical results, no partial file under a final name",
    )
