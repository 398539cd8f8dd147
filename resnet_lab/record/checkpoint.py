"""Checkpoints: written aside and renamed, each with its sha256 in a manifest, the newest two kept and those asked for.

`torch.load` notices a truncated file but not a flipped bit, so what is loaded is checked against the manifest first. A file and
its manifest may come from anywhere: nothing in it is executed, and a state that does not fit the run is refused.
"""

import hashlib
import io
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import torch

from resnet_lab.errors import CheckpointError
from resnet_lab.record.files import disk_errors, read_json, read_regular, write_atomically, write_json
from resnet_lab.record.store import RunFolder
from resnet_lab.record.tensors import load_tensors

KEPT = 2
_NAME = re.compile(r"step-(\d{8,})\.pt")
Restore = Callable[[dict[str, Any]], None]  # takes a state that was saved; raises where it does not fit


def _take(state: dict[str, Any]) -> None:
    """Any state fits."""


def save(folder: RunFolder, step: int, state: dict[str, Any], keep: Collection[int] = ()) -> Path:
    """Write the state of a step; those of the steps in `keep` stay when newer ones come.

    Raises DiskError; the older checkpoints are whole whatever happens.
    """
    directory = folder.checkpoints
    with disk_errors(directory):
        directory.mkdir(exist_ok=True)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    path = directory / _file_name(step)
    older = {name: entry for name, entry in _listed(folder).items() if name < path.name and (directory / name).exists()}
    entry = {"sha256": hashlib.sha256(content).hexdigest()}
    write_json(directory / "manifest.json", older | {path.name: entry})  # first: one that is not listed could not be trusted
    write_atomically(path, content)
    names = [*sorted(older), path.name]
    stay = {*names[-KEPT:], *map(_file_name, keep)}
    kept = {name: (older | {path.name: entry})[name] for name in names if name in stay}
    write_json(directory / "manifest.json", kept)
    with disk_errors(directory):
        for old in [*directory.glob("step-*.pt"), *directory.glob(".step-*")]:
            if old.name not in kept:
                old.unlink()
    return path


def load_newest(folder: RunFolder, restore: Restore = _take) -> tuple[dict[str, Any] | None, list[str]]:
    """The newest whole state that `restore` takes, on the CPU, and what is wrong with newer ones.

    None where no checkpoint was ever written. Raises CheckpointError where there are checkpoints and none of them can be loaded.
    """
    directory = folder.checkpoints
    faults: list[str] = []
    for name, entry in sorted(_listed(folder).items(), reverse=True):
        try:
            return _load(directory / name, entry, restore), faults
        except CheckpointError as error:
            faults.append(str(error))
    if any(directory.glob("step-*.pt")):
        reasons = ", ".join(faults) or "their manifest.json is missing or damaged"
        raise CheckpointError(
            f"No checkpoint in {directory} can be loaded: {reasons}. Remove {folder.path} to train it anew, or use --study NAME."
        )
    return None, faults


def load(folder: RunFolder, step: int, restore: Restore = _take) -> dict[str, Any]:
    """The state of one step, on the CPU, given to `restore`. Raises CheckpointError, which lists the steps that are there."""
    listed, name = _listed(folder), _file_name(step)
    if name not in listed:
        there = ", ".join(f"{found:,}" for found in steps(folder)) or "none"
        raise CheckpointError(f"{folder.path} has no checkpoint of step {step:,}; there are those of: {there}.")
    try:
        return _load(folder.checkpoints / name, listed[name], restore)
    except CheckpointError as error:
        raise CheckpointError(f"In {folder.checkpoints} {error}.") from error


def steps(folder: RunFolder) -> list[int]:
    """The steps whose checkpoints are listed, in order."""
    return sorted(map(_step_of, _listed(folder)))


def _listed(folder: RunFolder) -> dict[str, dict[str, Any]]:
    """The manifest's entries by file name, without those that name no checkpoint."""
    manifest = read_json(folder.checkpoints / "manifest.json")
    return {name: entry for name, entry in manifest.items() if _NAME.fullmatch(name) and isinstance(entry, dict)}


def _load(path: Path, entry: dict[str, Any], restore: Restore) -> dict[str, Any]:
    """The state in a file, given to `restore`. Raises CheckpointError that says what is wrong with it, without a full stop."""
    try:
        content = read_regular(path)
    except OSError as error:
        raise CheckpointError(f"{path.name} cannot be read ({error.strerror})") from error
    if hashlib.sha256(content).hexdigest() != entry.get("sha256"):
        raise CheckpointError(f"{path.name} is damaged (its sha256 differs)")
    try:
        state = load_tensors(content)
    except Exception as error:  # whatever foreign bytes lead torch to
        raise CheckpointError(f"{path.name} holds something else than tensors and numbers, and is not read") from error
    return _restored(path.name, state, restore)


def _restored(name: str, state: Any, restore: Restore) -> dict[str, Any]:
    """The state in the file of this name, once `restore` has taken it. Raises CheckpointError as `_load`."""
    step = state.get("step") if isinstance(state, dict) else None
    if type(step) is not int or step != _step_of(name):
        raise CheckpointError(f"{name} does not hold the state of its step")
    try:
        restore(state)
    except Exception as error:  # whatever a foreign state leads it to
        raise CheckpointError(f"{name} does not fit this run ({error})") from error
    return dict(state)


def _step_of(name: str) -> int:
    match = _NAME.fullmatch(name)
    assert match is not None
    return int(match[1])


def _file_name(step: int) -> str:
    return f"step-{step:08d}.pt"
