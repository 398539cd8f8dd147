"""Output to the terminal: sentences, tables, JSON and text plots. The live screens in `screens.py` draw on the same consoles.

Results go to stdout, everything else to stderr.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.style import Style
from rich.text import Text

from resnet_lab.cli import plot
from resnet_lab.cli.layout import fitted_table, wrapped
from resnet_lab.record.store import Run
from resnet_lab.text import printable

stdout = Console(highlight=False, soft_wrap=True)
stderr = Console(stderr=True, highlight=False)
STAND_IN = "SYNTHETIC STAND-IN, NOT CIFAR-10: procedurally generated shapes. Nothing here is a result on CIFAR-10."


def result(text: str) -> None:
    """Print a line of the result unchanged: a path, a command, a setting."""
    stdout.print(Text(printable(text)))


def sentence(text: str) -> None:
    """Print a sentence of the result, wrapped at a terminal."""
    stdout.print(Text(_wrapped_at_terminal(printable(text))))


def plain(text: str) -> None:
    """Print a file's content on stdout."""
    print(text, end="", flush=True)


def result_json(values: Any) -> None:
    """Print one JSON object on stdout."""
    print(json.dumps(values, indent=2), flush=True)


def table(header: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> None:
    """Print a table of the result."""
    stdout.print(fitted_table(header, rows, stdout.width, _wrapped_at_terminal(caption)))


def curves(runs: Sequence[Run]) -> None:
    """Print test and training error by step as a text plot, if stdout is a terminal that can show its characters."""
    if not stdout.is_terminal or not stdout.encoding.startswith("utf"):
        return
    lines = plot.curves(runs, stdout.width)
    for line in lines:
        stdout.print(Text.assemble(*((span.text, Style(color=span.colour or None, bold=span.bold)) for span in line)))
    if lines:
        result("")


def note(text: str) -> None:
    """Print a sentence on stderr; a command in backticks stays on one line, so that it can be copied."""
    stderr.print(Text(wrapped(printable(text), stderr.width)), soft_wrap=True)


def note_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on stderr."""
    stderr.print(fitted_table(header, rows, stderr.width))


@contextmanager
def working(what: str = "") -> Iterator[Callable[[str], None]]:
    """At a terminal, show what is being done on one line, which disappears at the end; yields the function that changes it."""
    if not stderr.is_terminal:
        yield lambda what: None
        return
    with stderr.status(Text(what)) as status:
        yield lambda what: status.update(Text(printable(what)))


def stand_in() -> None:
    """Print a prominent notice that the images are synthetic."""
    stderr.print(Panel(Text(STAND_IN), border_style="bold red", style="bold red"))


def error(text: str) -> None:
    """Print an error message on stderr."""
    message = printable(f"Error: {text}")
    shown = Text(wrapped(message, stderr.width) if stderr.is_terminal else message)
    shown.stylize("bold red", 0, len("Error:"))
    stderr.print(shown, soft_wrap=True)


def _wrapped_at_terminal(text: str) -> str:
    """The text, wrapped if stdout is a terminal; lines that a program reads are left whole."""
    return wrapped(text, stdout.width) if stdout.is_terminal else text
