"""`resnet-lab train`: one run."""

from pathlib import Path
from typing import Annotated

import typer

from resnet_lab.cli import display
from resnet_lab.cli.options import (
    Compile,
    ConfigOption,
    DataDir,
    Device,
    Plain,
    Runs,
    Set,
    StudyName,
    Threads,
    kind_of,
    stop_signals,
)
from resnet_lab.config.files import load_study
from resnet_lab.config.schema import RunConfig
from resnet_lab.errors import ConfigError
from resnet_lab.record.store import RunFolder
from resnet_lab.record.study import DEFAULT_ROOT, refuse_links, study_path


def train(
    depth: Annotated[int | None, typer.Option(help="Weighted layers, 6n+2: 20, 32, 44, 56, 110.")] = None,
    plain: Plain = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the split, the initial values, batches and crops.")] = None,
    config: ConfigOption = None,
    overrides: Set = None,
    compile: Compile = None,
    study: StudyName = None,
    runs: Runs = DEFAULT_ROOT,
    run: Annotated[Path | None, typer.Option(help="Train, or go on with, the run whose config is in this folder.")] = None,
    data_dir: DataDir = None,
    device: Device = "auto",
    threads: Threads = None,
    forecast: Annotated[bool, typer.Option("--forecast/--no-forecast", hidden=True)] = True,  # a sweep has made its own
) -> None:
    """Train one network; the same command again resumes it, or says that it is done.

    Ctrl-C saves a checkpoint first.
    """
    kind = kind_of(plain)
    if run is not None:
        given = {
            "--depth": depth,
            "--plain/--residual": kind,
            "--seed": seed,
            "--config": config,
            "--set": overrides,
            "--compile/--no-compile": compile,
            "--study": study,
        }
        clashing = [name for name, value in given.items() if value is not None]
        if clashing:
            raise ConfigError(f"--run takes everything from the run's folder: leave out {', '.join(clashing)}.")
        refuse_links(run)
        folder = RunFolder(run)
        settings = folder.config()
    else:
        source = load_study(config, overrides or (), compile=compile)
        settings = source.run(kind=kind, depth=depth, seed=seed)
        folder = RunFolder(study_path(runs, study or source.name) / settings.name)
    _train(settings, folder, data_dir, device, threads, forecast=forecast)


def _train(
    settings: RunConfig, folder: RunFolder, data_dir: Path | None, device: str, threads: int | None, *, forecast: bool
) -> None:
    from resnet_lab.run.device import Resources
    from resnet_lab.run.experiment import run

    resources = Resources(data_dir, device, threads)
    with stop_signals() as stop, display.training(folder) as screen:
        for said in run(settings, folder, resources, stop=lambda: bool(stop), measure_speed=forecast):
            screen.show(said)
    if stop:
        raise typer.Exit(stop.exit_code)
