"""The identity of runs and recipes: a digest of their settings."""

import hashlib
import json
from typing import Annotated, TypeVar

from pydantic import BaseModel

from resnet_lab.config.settings import Settings

_Value = TypeVar("_Value")
_LATER = "a later setting"
# The type of a setting added after the first release of configs; its default reproduces the earlier behaviour.
Later = Annotated[_Value, _LATER]


def digest(settings: Settings, config: type[BaseModel]) -> str:
    """The sha256 of a config's settings, including defaults, except defaults of `Later` settings.

    Older runs therefore keep their identity when a setting is added. Raises KeyError for a setting that `config` lacks.
    """
    text = json.dumps(identity(settings, config), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def identity(settings: Settings, config: type[BaseModel]) -> Settings:
    """The settings that make up a run's identity: all of them, except `Later` settings that have their default value.

    `settings` may be one section, with `config` its class.
    """
    kept: Settings = {}
    for key, value in settings.items():
        field = config.model_fields[key]
        default = list(field.default) if isinstance(field.default, tuple) else field.default  # as in JSON
        if _LATER in field.metadata and value == default:
            continue
        section = field.annotation
        kept[key] = identity(value, section) if isinstance(section, type) and issubclass(section, BaseModel) else value
    return kept
