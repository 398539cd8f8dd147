"""Unvalidated settings as nested dictionaries, as read from TOML and JSON."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

Settings = dict[str, Any]


def merge(base: Settings, over: Settings) -> Settings:
    """A deep copy of `base`, updated recursively with `over`; a schedule of another name replaces the whole section."""
    merged = {key: merge(value, {}) if isinstance(value, dict) else value for key, value in base.items()}
    for key, value in over.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            replaces = key == "schedule" and "name" in old and value.get("name", old["name"]) != old["name"]
            merged[key] = merge({} if replaces else old, value)
        else:
            merged[key] = merge(value, {}) if isinstance(value, dict) else value
    return merged


def get(settings: Settings, path: Sequence[str], default: Any = None) -> Any:
    """The value at a path of keys, or the default if there is none."""
    for key in path:
        if not isinstance(settings, dict) or key not in settings:
            return default
        settings = settings[key]
    return settings


def flatten(settings: Settings, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings as pairs of dotted key and value."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def to_toml(settings: Settings, prefix: str = "") -> str:
    """Settings as TOML: sections, and inline tables in lists."""
    own = [f"{_key(key)} = {_value(value)}" for key, value in settings.items() if not isinstance(value, dict)]
    tables = [
        f"\n[{prefix}{key}]\n{to_toml(value, f'{prefix}{key}.')}" for key, value in settings.items() if isinstance(value, dict)
    ]
    return "\n".join([*own, *tables])


def _value(value: Any) -> str:
    """A value as TOML; numbers and strings are written as in JSON."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(key)} = {_value(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value)


def _key(key: str) -> str:
    return key if re.fullmatch(r"[\w-]+", key, re.ASCII) else json.dumps(key)
