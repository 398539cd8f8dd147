"""What tells runs and recipes apart: a digest of their settings."""

import hashlib
import json
from typing import Any

from resnet_lab.config.settings import Settings, get, merge

# What every run did before there was a setting for it: a run's identity is the same as it was then.
_BEFORE_THERE_WAS: dict[tuple[str, str], Any] = {
    ("model", "layout"): "cifar",
    ("model", "block"): "basic",
    ("model", "shortcut"): "A",
    ("model", "stride_on"): "1x1",
    ("data", "num_classes"): 10,
    ("data", "image_size"): 32,
    ("evaluation", "final_test_views"): 1,
    ("model", "pad_channels"): "end",
    ("compute", "recompute_blocks"): False,
}


def digest(settings: Settings) -> str:
    """The sha256 of the settings, defaults included."""
    return hashlib.sha256(json.dumps(_as_it_was(settings), sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _as_it_was(settings: Settings) -> Settings:
    """The settings without those that came later and say what was always so."""
    settings = merge(settings, {})
    for path, value in _BEFORE_THERE_WAS.items():
        section = get(settings, path[:-1], {})
        if section.get(path[-1]) == value:
            del section[path[-1]]
    return settings
