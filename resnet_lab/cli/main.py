"""The `resnet-lab` command: its subcommands, and errors as one sentence with an exit code."""

import errno
import re
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

import typer

from resnet_lab.cli import analyze, bench, compare, config, data, display, evaluate, export, report, runs, summary, sweep, train
from resnet_lab.errors import ConfigError, DiskError, LabError
from resnet_lab.text import shortened

app = typer.Typer(
    name="resnet-lab",
    help="Train matched plain and residual networks on CIFAR-10 and see the degradation problem (He et al. 2015).",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("train")(train.train)
app.command("sweep")(sweep.sweep)
app.command("compare")(compare.compare)
app.command("report")(report.report)
app.command("evaluate")(evaluate.evaluate)
app.command("export")(export.export)
app.command("runs")(runs.runs)
app.command("summary")(summary.summary)
app.command("bench")(bench.bench)
app.command("data")(data.data)
app.add_typer(analyze.app, name="analyze")
app.add_typer(config.app, name="config")


def _version(wanted: bool) -> None:
    if wanted:
        display.result(f"resnet-lab {version('resnet-lab')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    """Options of the command itself."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; exits with the codes of resnet_lab.errors, 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP."""
    try:
        app(args=argv, prog_name="resnet-lab")
    except LabError as error:
        display.error(str(error))
        sys.exit(error.exit_code)
    except RuntimeError as error:
        if not re.search("allocate memory|out of memory", str(error)):
            raise
        display.error("There is not enough memory for this: a smaller model.width, recipe.batch_size or --jobs takes less.")
        sys.exit(ConfigError.exit_code)
    except OSError as error:  # a file or folder that no room has expected to fail
        if error.errno == errno.ENAMETOOLONG:
            display.error(f"{shortened(str(error.filename))} is too long for the name of a file or folder: give a shorter one.")
            sys.exit(ConfigError.exit_code)
        display.error(f"{error.filename or 'The disk'} cannot be used: {error.strerror or error}.")
        sys.exit(DiskError.exit_code)
