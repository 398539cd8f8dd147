"""What tells runs and recipes apart: a digest of their settings."""

import hashlib
import json
from typing import Annotated, TypeVar

from pydantic import BaseModel

from resnet_lab.config.settings import Settings

_Value = TypeVar("_Value")
_LATER = "a later setting"
# The type of a setting that came after the first runs; its default is what every run did before.
Later = Annotated[_Value, _LATER]


def digest(settings: Settings, config: type[BaseModel]) -> str:
    """The sha256 of the settings of such a config, defaults included but for those of later settings.

    So a run keeps its identity when a setting is added.
    """
    text = json.dumps(identity(settings, config), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def identity(settings: Settings, config: type[BaseModel]) -> Settings:
    """What tells a run: its settings, or those of a section, without later ones that have their default."""
    kept: Settings = {}
    for key, value in settings.items():
        field = config.model_fields[key]
        if _LATER in field.metadata and value == field.default:
            continue
        section = field.annotation
        kept[key] = identity(value, section) if isinstance(section, type) and issubclass(section, BaseModel) else value
    return kept
