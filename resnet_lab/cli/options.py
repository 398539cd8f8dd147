"""Options that several commands share, and the signals that stop them."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Literal

import typer

from resnet_lab.config.terms import Kind

Runs = Annotated[Path, typer.Option("--runs", help="The folder that holds the studies.", show_default=True)]
DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Where the images are, or go (default: $RESNET_LAB_DATA, or ./data).")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
Threads = Annotated[
    int | None, typer.Option(min=1, max=1024, help="CPU threads of a run; exact repetition needs the same number.")
]
ConfigArgument = Annotated[str | None, typer.Argument(help="A preset's name or a TOML file (default: plateau).")]
ConfigOption = Annotated[str | None, typer.Option("--config", help="A preset's name or a TOML file (default: plateau).")]
Jobs = Annotated[int | None, typer.Option(min=1, help="Runs of the sweep at once (default: one per core, or per GPU).")]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a setting, such as recipe.steps=2000.")
]
Plain = Annotated[bool | None, typer.Option("--plain/--residual", help="Without shortcuts, or with them.", show_default=False)]
Compile = Annotated[
    bool | None,
    typer.Option(
        "--compile/--no-compile",
        help="Compile the blocks, or do not: --set compute.compile=true or false. Else a trial decides, for the whole study.",
        show_default=False,
    ),
]
StudyName = Annotated[str | None, typer.Option("--study", help="Name of the study's folder (default: the config's name).")]
StudyArgument = Annotated[str | None, typer.Argument(metavar="[STUDY]", help="A study's name or folder (default: the newest).")]
Out = Annotated[Path | None, typer.Option(help="The folder to write into (default: the study's folder).")]
XAxis = Annotated[Literal["step", "epoch", "hours"], typer.Option("--x", help="The horizontal axis of the figures.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


def kind_of(plain: bool | None) -> Kind | None:
    """What --plain or --residual says."""
    return None if plain is None else "plain" if plain else "residual"


class Stop:
    """The signal that asked this process to stop, if any did. A second one ends it at once."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __bool__(self) -> bool:
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """130 for SIGINT, 143 for SIGTERM, 129 for SIGHUP, as shells count."""
        return 128 + (self.signal or 0)


@contextmanager
def stop_signals() -> Iterator[Stop]:
    """Turn the first SIGINT, SIGTERM or SIGHUP into a wish to stop, so that the work can be saved; restore the handlers after."""
    stop = Stop()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop:
            raise SystemExit(128 + number)  # unwinds: a sweep still takes its runs down with it
        stop.signal = number

    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # under nohup it is ignored
        numbers.append(signal.SIGHUP)
    previous = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
