"""Checkpoints: written aside and renamed, each with its sha256 in a manifest, the newest two kept.

`torch.load` notices a truncated file but not a flipped bit, so what is loaded is checked against the manifest first.
"""

import hashlib
import io
from pathlib import Path
from typing import Any

import torch

from resnet_lab.errors import CheckpointError
from resnet_lab.record.files import disk_errors, read_json, write_atomically, write_json
from resnet_lab.record.store import RunFolder

KEPT = 2


def save(folder: RunFolder, step: int, state: dict[str, Any]) -> Path:
    """Write the state of a step. Raises DiskError; the older checkpoints are whole whatever happens."""
    directory = folder.checkpoints
    with disk_errors(directory):
        directory.mkdir(exist_ok=True)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    path = directory / f"step-{step:08d}.pt"
    listed = read_json(directory / "manifest.json")
    older = {name: entry for name, entry in listed.items() if name < path.name and (directory / name).exists()}
    entry = {"sha256": hashlib.sha256(content).hexdigest()}
    write_json(directory / "manifest.json", older | {path.name: entry})  # first: one that is not listed could not be trusted
    write_atomically(path, content)
    kept = dict(sorted((older | {path.name: entry}).items())[-KEPT:])
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
    manifest = read_json(directory / "manifest.json")
    faults = []
    for name in sorted(manifest, reverse=True):
        try:
            content = (directory / name).read_bytes()
        except OSError as error:
            faults.append(f"{name} cannot be read ({error.strerror})")
            continue
        if hashlib.sha256(content).hexdigest() != manifest[name].get("sha256"):
            faults.append(f"{name} is damaged (its sha256 differs)")
            continue
        state: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        return state, faults
    if any(directory.glob("step-*.pt")):
        reasons = ", ".join(faults) or "their manifest.json is missing"
        raise CheckpointError(
            f"No checkpoint in {directory} can be loaded: {reasons}. Remove {folder.path} to train it anew, or use --study NAME."
        )
    return None, faults
