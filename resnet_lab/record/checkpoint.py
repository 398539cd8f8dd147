"""Checkpoints: written atomically and listed in a manifest with their sha256; the newest two and selected steps are kept.

`torch.load` detects a truncated file but not a flipped bit, so a file is verified against the manifest before it is loaded.
"""

import hashlib
import io
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from resnet_lab.errors import CheckpointError
from resnet_lab.record.files import disk_errors, read_json, write_atomically, write_json
from resnet_lab.record.store import RunFolder

NUM_KEPT = 2
_NAME = re.compile(r"step-[0-9]{8,18}\.pt")


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
    listed = _listed(directory)
    older = {name: entry for name, entry in listed.items() if name < path.name and (directory / name).exists()}
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


def load_newest(folder: RunFolder) -> tuple[dict[str, Any] | None, list[str]]:
    """The newest intact state, on the CPU, and a message for each newer one that is damaged; None if there are no checkpoints.

    Raises CheckpointError if there are checkpoints but none can be loaded.
    """
    directory = folder.checkpoints
    manifest = _listed(directory)
    faults: list[str] = []
    for name in sorted(manifest, reverse=True):
        state = _load(directory / name, manifest[name])
        if not isinstance(state, str):
            return state, faults
        faults.append(state)
    if any(directory.glob("step-*.pt")):
        reasons = ", ".join(faults) or "their manifest.json is missing or damaged"
        raise CheckpointError(
            f"No checkpoint in {directory} can be loaded: {reasons}. Remove {folder.path} to retrain, or use --study NAME."
        )
    return None, faults


def load(folder: RunFolder, step: int) -> dict[str, Any]:
    """The state at one step, on the CPU. Raises CheckpointError, which lists the available steps."""
    directory = folder.checkpoints
    manifest = _listed(directory)
    name = _file_name(step)
    if name not in manifest:
        available = ", ".join(f"{other:,}" for other in steps(folder)) or "none"
        raise CheckpointError(f"{folder.path} has no checkpoint at step {step:,}; available steps: {available}.")
    state = _load(directory / name, manifest[name])
    if isinstance(state, str):
        raise CheckpointError(f"In {directory} {state}.")
    return state


def steps(folder: RunFolder) -> list[int]:
    """The steps of the checkpoints in the manifest, in ascending order."""
    return sorted(int(name[5:-3]) for name in _listed(folder.checkpoints))


def _listed(directory: Path) -> dict[str, dict[str, Any]]:
    """The manifest's entry for each checkpoint file; empty if the manifest is missing or damaged."""
    listed = read_json(directory / "manifest.json")
    return {name: entry for name, entry in listed.items() if _NAME.fullmatch(name) and isinstance(entry, dict)}


def _load(path: Path, entry: dict[str, Any]) -> dict[str, Any] | str:
    """The state in a file, or a message if it cannot be read or is damaged."""
    try:
        content = path.read_bytes()
    except OSError as error:
        return f"{path.name} cannot be read ({error.strerror})"
    if hashlib.sha256(content).hexdigest() != entry.get("sha256"):
        return f"{path.name} is damaged (its sha256 differs)"
    state: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return state


def _file_name(step: int) -> str:
    return f"step-{step:08d}.pt"
