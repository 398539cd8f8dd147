"""Options shared by several commands, and the handling of stop signals."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from resnet_lab.cli import completion
from resnet_lab.config.depths import DEPTH_HELP
from resnet_lab.config.files import StudyConfig
from resnet_lab.config.terms import Kind
from resnet_lab.errors import ConfigError
from resnet_lab.presentation.blocks import X

Runs = Annotated[Path, typer.Option("--runs", help="Folder that contains the studies.", show_default=True)]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Folder to read images from or download into (default: $RESNET_LAB_DATA, or ./data)."),
]
ImagesDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Folder to read images from (default: $RESNET_LAB_DATA, or ./data).")
]
Device = Annotated[str, typer.Option(help="Device to compute on: auto, cpu, cuda, cuda:N or mps.")]
Threads = Annotated[
    int | None, typer.Option(min=1, max=1024, help="CPU threads per run; use the same number to reproduce results exactly.")
]
ConfigArgument = Annotated[
    str | None,
    typer.Argument(metavar="CONFIG", help="Preset name or TOML file (default: plateau).", autocompletion=completion.configs),
]
ConfigOption = Annotated[
    str | None, typer.Option("--config", help="Preset name or TOML file (default: plateau).", autocompletion=completion.configs)
]
Depth = Annotated[int | None, typer.Option(help=f"Number of weighted layers: {DEPTH_HELP}.")]
Jobs = Annotated[int | None, typer.Option(min=1, help="Number of concurrent runs (default: one per core, or one per GPU).")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override a setting, such as recipe.steps=2000.", autocompletion=completion.settings
    ),
]
Plain = Annotated[bool, typer.Option("--plain", help="Network without shortcuts.")]
Residual = Annotated[bool, typer.Option("--residual", help="Network with shortcuts.")]
Compile = Annotated[
    bool | None,
    typer.Option(
        "--compile/--no-compile",
        help="Compile blocks or not: sets compute.compile (default: a trial decides, once per study).",
        show_default=False,
    ),
]
Steps = Annotated[
    str | None, typer.Option("--steps", metavar="N", help='Number of steps, or "30 epochs": short for --set recipe.steps=N.')
]
Lr = Annotated[float | None, typer.Option("--lr", metavar="X", help="Initial learning rate: short for --set recipe.lr=X.")]
BatchSize = Annotated[
    int | None, typer.Option("--batch-size", metavar="N", help="Images per step: short for --set recipe.batch_size=N.")
]
StudyName = Annotated[
    str | None,
    typer.Option("--study", help="Name of the study's folder (default: the config's name).", autocompletion=completion.studies),
]
StudyArgument = Annotated[
    str | None,
    typer.Argument(metavar="STUDY", help="Study name or folder (default: the newest study).", autocompletion=completion.studies),
]
Out = Annotated[Path | None, typer.Option(help="Folder to write to (default: the study's folder).")]
XAxis = Annotated[X, typer.Option("--x", help="Horizontal axis of the figures.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


def kind_of(plain: bool, residual: bool) -> Kind | None:
    """The kind that --plain or --residual selects; None if neither is given. Raises ConfigError if both are."""
    if plain and residual:
        raise ConfigError("--plain and --residual exclude each other; `resnet-lab sweep` trains both.")
    return "plain" if plain else "residual" if residual else None


def with_recipe(overrides: Sequence[str] | None, steps: str | None, lr: float | None, batch_size: int | None) -> list[str]:
    """The overrides of --set, and those that --steps, --lr and --batch-size are short for. Raises ConfigError if both set one."""
    keys = {text.partition("=")[0].strip() for text in overrides or ()}
    given = {"steps": steps, "lr": lr, "batch_size": batch_size}
    short = {key: value for key, value in given.items() if value is not None}
    for key in short:
        if keys & {"recipe", f"recipe.{key}"}:
            raise ConfigError(f"--{key.replace('_', '-')} and --set both set recipe.{key}; drop one of them.")
    return [*(overrides or ()), *(f"recipe.{key}={value}" for key, value in short.items())]


def refuse_twice(study: StudyConfig, **options: object) -> None:
    """Raise ConfigError if one of these options, such as `depth=20`, is given and --set sets the same key."""
    for name, value in options.items():
        key = name if name == "seed" else f"model.{name}"
        if value is not None and study.where(key) == "--set":
            raise ConfigError(f"--{value if name == 'kind' else name} and --set both set {key}; drop one of them.")


class Stop:
    """Whether a signal has asked this process to stop, and which one.

    Until `defer` is called there is nothing to save, and the first signal exits at once. After it, the first signal is only
    recorded, so that the work can be saved. The second signal has no effect; the third exits at once in either case.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._num_signals = 0
        self._is_deferred = False

    def __bool__(self) -> bool:
        return self.signal is not None

    def defer(self) -> None:
        """Do not exit at the first signal from now on, but record it."""
        self._is_deferred = True

    def handle(self, number: int, frame: FrameType | None) -> None:
        """The handler of all signals. To exit it raises SystemExit, which unwinds the stack, so that a sweep stops its runs."""
        self._num_signals += 1
        self.signal = self.signal or number
        if self._num_signals >= 3 or (self._num_signals == 1 and not self._is_deferred):
            raise SystemExit(128 + number)

    @property
    def exit_code(self) -> int:
        """128 plus the signal's number, as in shells: 130 for SIGINT, 143 for SIGTERM, 129 for SIGHUP."""
        return 128 + (self.signal or 0)


@contextmanager
def stop_signals() -> Iterator[Stop]:
    """Treat SIGINT, SIGTERM, SIGHUP, SIGUSR1 and SIGUSR2 as requests to stop, see Stop; the latter two come from batch systems.

    The previous handlers are restored at the end.
    """
    stop = Stop()
    numbers = [signal.SIGINT, signal.SIGTERM]
    numbers += [getattr(signal, name) for name in ("SIGUSR1", "SIGUSR2") if hasattr(signal, name)]  # Windows has neither
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup ignores it
        numbers.append(signal.SIGHUP)
    previous = {number: signal.signal(number, stop.handle) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
