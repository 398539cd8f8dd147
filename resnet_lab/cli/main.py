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
from resnet_lab.cli.help import BEFORE, FILES, RESULTS, TRAIN, add, group
from resnet_lab.errors import ConfigError, DiskError, LabError
from resnet_lab.text import shortened

app = group(
    "Train matched plain and residual networks on CIFAR-10 to observe the degradation problem (He et al. 2015).",
    "resnet-lab sweep demo",
    name="resnet-lab",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
add(app, train.train, "resnet-lab train --depth 56 --plain", TRAIN)
add(app, sweep.sweep, "resnet-lab sweep quick --set 'sweep.seeds=[0,1,2]'", TRAIN)
add(app, compare.compare, "resnet-lab compare quick", RESULTS)
add(app, report.report, "resnet-lab report quick --open", RESULTS)
app.add_typer(analyze.app, name="analyze", rich_help_panel=RESULTS)
add(app, evaluate.evaluate, "resnet-lab evaluate quick/residual-56-s0", RESULTS)
app.add_typer(runs.app, name="runs", rich_help_panel=FILES)
add(app, verify.verify, "resnet-lab verify quick", FILES)
add(app, export.export, "resnet-lab export quick --to csv", FILES)
add(app, data.data, "resnet-lab data --download", BEFORE)
add(app, summary.summary, "resnet-lab summary --depth 56 --plain", BEFORE)
add(app, bench.bench, "resnet-lab bench paper", BEFORE)
app.add_typer(config.app, name="config", rich_help_panel=BEFORE)
app.command("task", hidden=True)(task.task)


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
