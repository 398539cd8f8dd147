"""Conversion to steps of durations given in steps (`400`), epochs (`"3 epochs"`) or percent of the run (`"50 %"`)."""

import re
from typing import Annotated

from pydantic import Field, WithJsonSchema

from resnet_lab.config.settings import Settings, get, merge

Integer = Annotated[int, Field(lt=2**63)]  # torch's integers have 64 bits
Duration = Annotated[
    Integer,
    WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string", "examples": ["400 steps", "3 epochs", "50 %"]}]}),
]
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(steps?|epochs?|%|percent)\s*")
DURATION_KEYS = (
    ("recipe", "steps"),  # first: percentages refer to it
    ("recipe", "schedule", "every"),
    ("recipe", "schedule", "milestones"),
    ("recipe", "warmup", "window"),
    ("evaluation", "every"),
    ("log", "every"),
    ("log", "keep"),
)


def to_steps(text: object, epoch_steps: float, total_steps: int | None) -> int | None:
    """Convert `400`, `"400 steps"`, `"3 epochs"` or `"50 %"` (of `total_steps`) to steps; None if it is not a duration."""
    if isinstance(text, int) and not isinstance(text, bool):
        return text
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    amount, unit = float(match[1]), match[2]
    if unit.startswith("step"):
        return round(amount) if amount.is_integer() else None
    share, whole = (amount, epoch_steps) if unit.startswith("epoch") else (amount / 100, total_steps)
    if whole is None:
        return None
    try:
        steps = round(share * whole)
    except OverflowError:  # too large for a float
        return None
    return max(1, steps) if amount > 0 else 0


def in_steps(raw: Settings, epoch_steps: int, default_steps: int) -> Settings:
    """A run's settings with all durations in steps. Invalid durations are left as they are, for validation to report."""
    raw = merge({"recipe": {"schedule": {"name": "plateau"}}}, raw)
    schedule = get(raw, ("recipe", "schedule"))
    if isinstance(schedule, dict) and schedule["name"] == "plateau":
        schedule.setdefault("every", "1 epoch")
    total = default_steps
    for path in DURATION_KEYS:
        parent = get(raw, path[:-1])
        if not isinstance(parent, dict) or path[-1] not in parent:
            continue
        value = parent[path[-1]]
        base = None if path == ("recipe", "steps") else total
        is_list = isinstance(value, list | tuple)
        converted = [to_steps(duration, epoch_steps, base) for duration in (value if is_list else [value])]
        if None in converted:
            continue
        parent[path[-1]] = converted if is_list else converted[0]
        if path == ("recipe", "steps") and isinstance(value, int | str):
            total = parent[path[-1]]
    return raw
