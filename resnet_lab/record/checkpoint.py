"""Checkpoints: written aside and renamed, each with its sha256 in a manifest, the newest two kept and those asked for.

`torch.load` notices a truncated file but not a flipped bit, so what is loaded is checked against the manifest first.
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

KEPT = 2
_NAME = re.compile(r"step-[0-9]{8,18}\.pt")


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
    listed = _listed(directory)
    older = {name: entry for name, entry in listed.items() if name < path.name and (directory / name).exists()}
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


def load_newest(folder: RunFolder) -> tuple[dict[str, Any] | None, list[str]]:
    """The newest whole state, on the CPU, and what is wrong with newer ones; None where no checkpoint was ever written.

    Raises CheckpointError where there are checkpoints and none of them can be loaded.
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
            f"No checkpoint in {directory} can be loaded: {reasons}. Remove {folder.path} to train it anew, or use --study NAME."
        )
    return None, faults


def load(folder: RunFolder, step: int) -> dict[str, Any]:
    """The state of one step, on the CPU. Raises CheckpointError, which lists the steps that are there."""
    directory = folder.checkpoints
    manifest = _listed(directory)
    name = _file_name(step)
    if name not in manifest:
        there = ", ".join(f"{found:,}" for found in steps(folder)) or "none"
        raise CheckpointError(f"{folder.path} has no checkpoint of step {step:,}; there are those of: {there}.")
    state = _load(directory / name, manifest[name])
    if isinstance(state, str):
        raise CheckpointError(f"In {directory} {state}.")
    return state


def steps(folder: RunFolder) -> list[int]:
    """The steps whose checkpoints are listed, in order."""
    return sorted(int(name[5:-3]) for name in _listed(folder.checkpoints))


def _listed(directory: Path) -> dict[str, dict[str, Any]]:
    """What the manifest says of each file of a checkpoint; empty where it is missing or damaged."""
    listed = read_json(directory / "manifest.json")
    return {name: entry for name, entry in listed.items() if _NAME.fullmatch(name) and isinstance(entry, dict)}


def _load(path: Path, entry: dict[str, Any]) -> dict[str, Any] | str:
    """The state in a file, or what is wrong with it."""
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
