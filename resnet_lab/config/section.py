"""The base class of all sections of settings, and the error for settings that do not fit each other."""

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError


class Section(BaseModel):
    """Frozen, strictly typed settings that reject unknown keys and numbers that are not finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def conflicts(*problems: tuple[str, str]) -> PydanticCustomError:
    """A validation error for pairs of key and problem, reported without the offending values."""
    message = "; ".join(f"{key}: {text}" for key, text in problems)
    return PydanticCustomError("conflicts", "{message}", {"message": message, "problems": list(problems)})
