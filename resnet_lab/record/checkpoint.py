"""Checkpoints: written atomically and listed in a manifest with their sha256; the newest two and selected steps are kept.

`torch.load` detects a truncated file but not a flipped bit, so a file is verified against the manifest before it is loaded. The
files and the manifest are not trusted: nothing in them is executed, and a state that does not fit the run is refused.
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

NUM_KEPT = 2
_NAME = re.compile(r"step-([0-9]{8,18})\.pt")
Restore = Callable[[dict[str, Any]], None]  # restores a saved state; raises an exception if it does not fit


def _accept(state: dict[str, Any]) -> None:
    """The default Restore: every state fits."""


def save(folder: RunFolder, step: int, state: dict[str, Any], keep: Collection[int] = ()) -> Path:
    """Write the state at a step and delete old checkpoints, except the newest two and those of the steps in `keep`.

    Raises DiskError; existing checkpoints stay intact if writing fails.
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
    write_json(directory / "manifest.json", older | {path.name: entry})  # first: an unlisted checkpoint cannot be verified
    write_atomically(path, content)
    names = [*sorted(older), path.name]
    to_keep = {*names[-NUM_KEPT:], *map(_file_name, keep)}
    kept = {name: (older | {path.name: entry})[name] for name in names if name in to_keep}
    write_json(directory / "manifest.json", kept)
    with disk_errors(directory):
        for old in [*directory.glob("step-*.pt"), *directory.glob(".step-*")]:
            if old.name not in kept:
                old.unlink()
    return path


def load_newest(folder: RunFolder, restore: Restore = _accept) -> tuple[dict[str, Any] | None, list[str]]:
    """The newest intact state that `restore` accepts, on the CPU, and a message for each newer one that cannot be used.

    None if there are no checkpoints. Raises CheckpointError if there are checkpoints but none can be loaded.
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
            f"No checkpoint in {directory} can be loaded: {reasons}. Remove {folder.path} to retrain, or use --study NAME."
        )
    return None, faults


def load(folder: RunFolder, step: int, restore: Restore = _accept) -> dict[str, Any]:
    """The state at one step, on the CPU, passed to `restore`. Raises CheckpointError, which lists the available steps."""
    listed, name = _listed(folder), _file_name(step)
    if name not in listed:
        available = ", ".join(f"{other:,}" for other in steps(folder)) or "none"
        raise CheckpointError(f"{folder.path} has no checkpoint at step {step:,}; available steps: {available}.")
    try:
        return _load(folder.checkpoints / name, listed[name], restore)
    except CheckpointError as error:
        raise CheckpointError(f"In {folder.checkpoints} {error}.") from error


def steps(folder: RunFolder) -> list[int]:
    """The steps of the checkpoints in the manifest, in ascending order."""
    return sorted(map(_step_of, _listed(folder)))


def _listed(folder: RunFolder) -> dict[str, dict[str, Any]]:
    """The manifest's entries by file name; those whose name is not a checkpoint's are skipped."""
    manifest = read_json(folder.checkpoints / "manifest.json")
    return {name: entry for name, entry in manifest.items() if _NAME.fullmatch(name) and isinstance(entry, dict)}


def _load(path: Path, entry: dict[str, Any], restore: Restore) -> dict[str, Any]:
    """The state in a file, passed to `restore`. Raises CheckpointError with the reason as a clause, for use in a sentence."""
    try:
        content = read_regular(path)
    except OSError as error:
        raise CheckpointError(f"{path.name} cannot be read ({error.strerror})") from error
    if hashlib.sha256(content).hexdigest() != entry.get("sha256"):
        raise CheckpointError(f"{path.name} is damaged (its sha256 differs)")
    try:
        state = load_tensors(content)
    except Exception as error:  # torch raises almost anything for foreign files
        raise CheckpointError(f"{path.name} contains more than tensors and plain values, or is not a torch file") from error
    return _restored(path.name, state, restore)


def _restored(name: str, state: Any, restore: Restore) -> dict[str, Any]:
    """The state from the file of this name, after `restore` has accepted it. Raises CheckpointError like `_load`."""
    step = state.get("step") if isinstance(state, dict) else None
    if type(step) is not int or step != _step_of(name):
        raise CheckpointError(f"{name} does not contain the state at its step")
    try:
        restore(state)
    except Exception as error:  # a foreign state can raise anything
        raise CheckpointError(f"{name} does not fit this run ({error})") from error
    return dict(state)


def _step_of(name: str) -> int:
    match = _NAME.fullmatch(name)
    assert match is not None
    return int(match[1])


def _file_name(step: int) -> str:
    return f"step-{step:08d}.pt"
