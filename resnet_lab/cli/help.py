"""The look of the help: groups of commands, an example for each, and short names for the types of options."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

TRAIN, RESULTS, FILES, BEFORE = "Train", "See and explain the results", "Manage runs and records", "Before training"
_TYPES: dict[type, str] = {int: "N", float: "X", str: "TEXT", Path: "PATH"}


class _Simple:
    """Help without Python's types and ranges: options show N, X, TEXT or PATH, flags and arguments nothing.

    Paragraphs fill the terminal.
    """

    help: str | None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.help = _unwrapped(self.help)

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, as the help shows them."""
        parameters: list[Any] = super().get_params(ctx)  # type: ignore[misc]  # of TyperCommand and TyperGroup
        for parameter in parameters:
            _simplify(parameter)
        return parameters


def _unwrapped(text: str | None) -> str | None:
    """The text with each paragraph on one line; Typer keeps the line ends of all but the first."""
    return text and "\n\n".join(" ".join(paragraph.split()) for paragraph in inspect.cleandoc(text).split("\n\n"))


def _simplify(parameter: TyperOption | TyperArgument) -> None:
    if isinstance(parameter, TyperArgument):
        parameter.display_type_rich = lambda ctx: None  # type: ignore[method-assign]  # the help says what it is
        return
    parameter._get_number_range_help_str = lambda: None  # type: ignore[method-assign]  # a wrong value's message has the range
    if parameter.metavar is None:
        parameter.metavar = "" if parameter.is_flag else _TYPES.get(parameter.type_descriptor.annotation)


class Command(_Simple, TyperCommand):
    """A command with simple help."""


class Group(_Simple, TyperGroup):
    """A group of commands with simple help."""


def group(description: str, example: str, **kwargs: Any) -> typer.Typer:
    """An application or a group of commands, with an example of its use."""
    return typer.Typer(cls=Group, help=description, epilog=f"Example: {example}", no_args_is_help=True, **kwargs)


def add(app: typer.Typer, function: Callable[..., None], example: str, panel: str | None = None) -> None:
    """Add a command, named like its function, with an example of its use; `panel` is its group in the list of commands."""
    app.command(cls=Command, epilog=f"Example: {example}", rich_help_panel=panel)(function)
