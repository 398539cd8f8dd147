"""Checkpoints: which are kept, and what is loaded after damage, a kill or a full disk."""

import errno
from pathlib import Path

import pytest
import torch

from resnet_lab.errors import CheckpointError, DiskError
from resnet_lab.record import checkpoint


def interrupt_writing(monkeypatch, error, *, after_writing=False):
    """Raise `error` where a checkpoint's file is about to be moved into place, or right after that."""
    replace = Path.replace

    def interrupted(path, target):
        if Path(target).suffix != ".pt":
            return replace(path, target)
        if after_writing:
            replace(path, target)
        raise error

    monkeypatch.setattr(Path, "replace", interrupted)


def test_a_first_checkpoint_is_loadable_after_a_kill_right_behind_it(folder, monkeypatch):
    interrupt_writing(monkeypatch, KeyboardInterrupt, after_writing=True)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(folder, 3, {"step": 3})
    assert checkpoint.load_newest(folder) == ({"step": 3}, [])


def test_the_newest_two_checkpoints_are_kept(folder):
    for step in (1, 2, 10, 300):
        checkpoint.save(folder, step, {"step": step, "weights": torch.arange(5.0)})
    assert sorted(path.name for path in folder.checkpoints.glob("*.pt")) == ["step-00000010.pt", "step-00000300.pt"]
    state, faults = checkpoint.load_newest(folder)
    assert state is not None
    assert state["step"] == 300
    assert torch.equal(state["weights"], torch.arange(5.0))
    assert faults == []


def test_requested_checkpoints_are_kept_and_can_be_loaded_by_step(folder):
    for step in (1, 2, 10, 300, 400):
        checkpoint.save(folder, step, {"step": step}, keep=(2, 350))
    assert checkpoint.steps(folder) == [2, 300, 400]
    assert checkpoint.load(folder, 2) == {"step": 2}
    with pytest.raises(CheckpointError, match=r"no checkpoint at step 10; available steps: 2, 300, 400\."):
        checkpoint.load(folder, 10)
    damage(folder.checkpoints / "step-00000300.pt")
    with pytest.raises(CheckpointError, match=r"step-00000300\.pt is damaged"):
        checkpoint.load(folder, 300)


def damage(path, position=200):
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def test_a_checkpoint_with_a_flipped_bit_is_skipped_for_the_older_one(folder):
    for step in (10, 20):
        checkpoint.save(folder, step, {"step": step, "weights": torch.zeros(100)})
    damage(folder.checkpoints / "step-00000020.pt")
    state, faults = checkpoint.load_newest(folder)
    assert state is not None
    assert state["step"] == 10
    assert faults == ["step-00000020.pt is damaged (its sha256 differs)"]


def test_only_damaged_checkpoints_are_an_error_but_no_checkpoint_is_not(folder):
    assert checkpoint.load_newest(folder) == (None, [])
    checkpoint.save(folder, 10, {"step": 10})
    (folder.checkpoints / "step-00000010.pt").write_bytes(b"")
    with pytest.raises(CheckpointError, match="--study NAME"):
        checkpoint.load_newest(folder)
    (folder.checkpoints / "manifest.json").unlink()
    with pytest.raises(CheckpointError, match=r"manifest\.json is missing"):
        checkpoint.load_newest(folder)


def test_a_kill_while_a_checkpoint_is_written_keeps_the_older_one(folder, monkeypatch):
    for step, expected in ((10, None), (20, 10)):
        with monkeypatch.context() as patch:
            interrupt_writing(patch, KeyboardInterrupt)
            folder.checkpoints.mkdir(exist_ok=True)
            (folder.checkpoints / f".step-{step:08d}.pt.123").touch()  # what a killed process leaves
            with pytest.raises(KeyboardInterrupt):
                checkpoint.save(folder, step, {"step": step})
        state, _ = checkpoint.load_newest(folder)
        assert (state and state["step"]) == expected
        checkpoint.save(folder, step, {"step": step})
        assert not list(folder.checkpoints.glob(".step*"))


def test_a_full_disk_keeps_the_older_checkpoint(folder, monkeypatch):
    checkpoint.save(folder, 100, {"step": 100})
    with monkeypatch.context() as patch:
        interrupt_writing(patch, OSError(errno.ENOSPC, "No space left on device"))
        for step in (200, 180):
            with pytest.raises(DiskError):
                checkpoint.save(folder, step, {"step": step})
    state, _ = checkpoint.load_newest(folder)
    assert state is not None
    assert state["step"] == 100


def test_missing_files_of_later_steps_do_not_displace_a_new_checkpoint(folder):
    for step in (100, 200):
        checkpoint.save(folder, step, {"step": step})
        (folder.checkpoints / f"step-{step:08d}.pt").unlink()
    checkpoint.save(folder, 50, {"step": 50})
    state, _ = checkpoint.load_newest(folder)
    assert state is not None
    assert state["step"] == 50
