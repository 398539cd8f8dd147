"""The settings that a sweep varies in a run: in messages, in the name of the run's folder, and which ones can vary."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from resnet_lab.config.settings import Settings, flatten

VariedSettings = Mapping[str, Any]  # the values of settings by dotted key, such as {"recipe.lr": 0.05}
BY_SWEEP = {
    "seed": "sweep.seeds",
    "model.kind": "sweep.kinds",
    "model.shortcut": "sweep.shortcuts",
    "model.depth": "sweep.depths",
}  # the settings of a run that have a list of their own in a sweep
_MAX_CHARACTERS = 120  # of a folder's name, which also has kind, depth and seed
_UNSAFE = re.compile(r"[^A-Za-z0-9_.,=+-]")


def variable_problem(key: str) -> str | None:
    """Why a setting cannot vary between the runs of a study, as the end of a sentence; None if it can."""
    if key in BY_SWEEP:
        return f"is varied by {BY_SWEEP[key]}"
    if not key.startswith(("model.", "recipe.")):
        return "cannot vary: only settings of model and recipe can, such as recipe.lr"
    return None


def varied_problem(varied: Sequence[str], settings: Settings) -> str | None:
    """Why these keys cannot be the varied settings of a run with these settings; None if they can."""
    known = dict(flatten(settings))
    for key in varied:
        problem = variable_problem(key) if key in known else "is not a setting of this run"
        if problem is not None:
            return f"{key} {problem}"
    return None


def values_of(varied: Sequence[str], settings: Settings) -> dict[str, Any]:
    """The values of the varied settings, in order of key."""
    values = dict(flatten(settings))
    return {key: values[key] for key in sorted(varied)}


def short(key: str) -> str:
    """A key without its section, if it has one; no two settings of `model` and `recipe` have the same."""
    return key.removeprefix("model.").removeprefix("recipe.")


def label(settings: VariedSettings) -> str:
    """Varied settings as text, such as `lr = 0.05, momentum = 0.8`."""
    return ", ".join(f"{short(key)} = {_shown(value)}" for key, value in settings.items())


def folder_name(settings: VariedSettings) -> str:
    """Varied settings as a part of a folder's name, such as `lr=0.05,momentum=0.8`.

    What is long or contains other characters than letters, digits and `_.,=+-` is changed, and ends with a digest of the whole.
    """
    text = ",".join(f"{short(key)}={_shown(value)}" for key, value in settings.items())
    safe = _UNSAFE.sub("-", text)[:_MAX_CHARACTERS]
    return safe if safe == text else f"{safe}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value).removesuffix(".0")
