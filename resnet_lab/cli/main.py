"""The `resnet-lab` command: registers the subcommands, and turns errors into a message and an exit code."""

import errno
import re
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

import typer

from resnet_lab.cli import (
    analyze,
    bench,
    compare,
    config,
    data,
    evaluate,
    export,
    report,
    runs,
    summary,
    sweep,
    task,
    terminal,
    train,
    verify,
)
from resnet_lab.errors import ConfigError, DiskError, LabError
from resnet_lab.text import shortened

app = typer.Typer(
    name="resnet-lab",
    help="Train matched plain and residual networks on CIFAR-10 to observe the degradation problem (He et al. 2015).",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("train")(train.train)
app.command("sweep")(sweep.sweep)
app.command("compare")(compare.compare)
app.command("report")(report.report)
app.command("verify")(verify.verify)
app.command("evaluate")(evaluate.evaluate)
app.command("export")(export.export)
app.add_typer(runs.app, name="runs")
app.command("summary")(summary.summary)
app.command("bench")(bench.bench)
app.command("data")(data.data)
app.command("task", hidden=True)(task.task)
app.add_typer(analyze.app, name="analyze")
app.add_typer(config.app, name="config")


def _version(wanted: bool) -> None:
    if wanted:
        terminal.result(f"resnet-lab {version('resnet-lab')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    """Global options."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line. Exits with the codes in resnet_lab.errors, and 128 plus the number of a signal."""
    try:
        app(args=argv, prog_name="resnet-lab")
    except LabError as error:
        terminal.error(str(error))
        sys.exit(error.exit_code)
    except RuntimeError as error:
        if not re.search("allocate memory|out of memory", str(error)):
            raise
        terminal.error("There is not enough memory: reduce model.width, recipe.batch_size or --jobs.")
        sys.exit(ConfigError.exit_code)
    except OSError as error:  # not handled where it occurred
        if error.errno == errno.ENAMETOOLONG:
            terminal.error(f"{shortened(str(error.filename))} is too long for a file or folder name: use a shorter one.")
            sys.exit(ConfigError.exit_code)
        terminal.error(f"{error.filename or 'The disk'} cannot be used: {error.strerror or error}.")
        sys.exit(DiskError.exit_code)
    except SystemExit as end:
        if end.code == 1:  # Typer does not support completion for this shell
            sys.exit(ConfigError.exit_code)
        raise
