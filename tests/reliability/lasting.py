"""What lasts of a run: its final weights, momentum, buffers and schedule as one digest, and its records without times."""

import dataclasses
import hashlib
import json
from typing import Any

import torch

from resnet_lab.record import checkpoint
from resnet_lab.record.store import RunFolder
from tests.builders import settings

# A recipe in which everything that has a state has one: momentum, plateau checks and drops, low-lr start, open windows.
WARMUP = {"from_depth": 8, "lr": 0.001, "until_error": 0.999, "window": 8}


def stateful(**changes: Any) -> dict[str, Any]:
    """Settings of a run of 30 steps that passes the low-lr start, plateau checks and a drop."""
    return settings(**{"recipe__warmup": WARMUP, "log__every": 1} | changes)


def lasting(folder: RunFolder) -> tuple[str, list[Any]]:
    """The sha256 of the newest checkpoint's content, and the records; both without the times that they took."""
    state, _ = checkpoint.load_newest(folder)
    assert state is not None, f"{folder.path} has no checkpoint"
    state["log"]["seconds"] = state["warmup"]["seconds"] = 0.0
    digest = hashlib.sha256()
    _add(digest, state)
    return digest.hexdigest(), [dataclasses.replace(record, seconds=0.0) for record in folder.records()]


def _add(digest: Any, value: Any) -> None:
    if isinstance(value, dict):
        for key in sorted(value, key=str):
            digest.update(str(key).encode())
            _add(digest, value[key])
    elif isinstance(value, list | tuple):
        for item in value:
            _add(digest, item)
    elif isinstance(value, torch.Tensor):
        digest.update(f"{value.dtype}{tuple(value.shape)}".encode())
        digest.update(value.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    else:
        digest.update(repr(value).encode())


def assert_files_are_whole(folder: RunFolder) -> None:
    """No partial file has a final name: every checkpoint loads, every JSON file parses, every record but the last is whole."""
    for path in folder.checkpoints.glob("step-*.pt"):
        torch.load(path, weights_only=True)
    for path in [*folder.path.glob("*.json"), *folder.checkpoints.glob("*.json")]:
        json.loads(path.read_text())
    for path in folder.path.glob("*.jsonl"):
        for line in path.read_text().split("\n")[:-1]:
            json.loads(line)
