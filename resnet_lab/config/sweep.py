"""The `[sweep]` section: which runs a study consists of."""

from collections.abc import Sequence
from typing import Annotated, Any, Self, TypeGuard

from pydantic import Field, WithJsonSchema, field_validator, model_validator
from pydantic_core import PydanticCustomError

from resnet_lab.config.durations import Integer
from resnet_lab.config.section import Section, conflicts
from resnet_lab.config.settings import flatten
from resnet_lab.config.terms import Kind, Shortcut
from resnet_lab.config.varied import variable_problem
from resnet_lab.text import shortened

KIND = "model.kind"
_GRID_SCHEMA = {"type": "object", "examples": [{"recipe.lr": [0.05, 0.2]}]}


class SweepConfig(Section):
    """The runs of a study: every kind at every depth with every seed, and residual ones with every shortcut.

    `vary` adds runs with other settings to the deepest networks: every combination of the values in each grid. A grid may be
    restricted to some of the kinds by `model.kind`.
    """

    depths: tuple[Integer, ...] = Field((20, 32, 44, 56), strict=False, min_length=1, description="values of model.depth")
    kinds: tuple[Kind, ...] = Field(("plain", "residual"), strict=False, min_length=1, description="values of model.kind")
    shortcuts: tuple[Shortcut, ...] = Field(
        ("A",), strict=False, min_length=1, description="values of model.shortcut for residual networks"
    )
    seeds: tuple[Integer, ...] = Field((0,), strict=False, min_length=1, description="values of seed")
    vary: Annotated[
        tuple[dict[str, Any], ...],
        WithJsonSchema({"anyOf": [_GRID_SCHEMA, {"type": "array", "items": _GRID_SCHEMA}]}),
    ] = Field((), strict=False, description="further settings of the deepest networks: a grid of values, or a list of grids")

    @field_validator("depths", "kinds", "shortcuts", "seeds")
    @classmethod
    def _values_are_unique(cls, values: tuple[object, ...]) -> tuple[object, ...]:
        if len(set(values)) < len(values):
            raise PydanticCustomError("duplicates", "values must be unique")
        return values

    @field_validator("vary", mode="before")
    @classmethod
    def _dotted_keys(cls, raw: Any) -> Any:
        """A single grid is a list of one; a nested key is the same as a dotted one."""
        grids = [raw] if isinstance(raw, dict) else raw
        return [dict(flatten(grid)) if isinstance(grid, dict) else grid for grid in grids] if _is_list(grids) else grids

    @model_validator(mode="after")
    def _grids_are_valid(self) -> Self:
        problems = [
            (f"sweep.vary.{key}", problem)
            for grid in self.vary
            for key, values in grid.items()
            if (problem := self._problem(key, values)) is not None
        ]
        if problems:
            raise conflicts(*problems)
        return self

    def _problem(self, key: str, values: object) -> str | None:
        if not _is_list(values) or not values:
            return "needs a list of values, such as [0.05, 0.2]"
        if key != KIND:
            return variable_problem(key)
        other = next((value for value in values if value not in self.kinds), None)
        return None if other is None else f"must be among sweep.kinds ({', '.join(self.kinds)}), got {shortened(other)}"


def _is_list(value: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, Sequence) and not isinstance(value, str)
