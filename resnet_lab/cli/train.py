"""`resnet-lab train`: one run."""

from pathlib import Path
from typing import Annotated

import typer

from resnet_lab.cli.options import (
    Compile,
    ConfigOption,
    DataDir,
    Depth,
    Device,
    Plain,
    Runs,
    Set,
    StudyName,
    Threads,
    kind_of,
    stop_signals,
)
from resnet_lab.cli.screens import training_screen
from resnet_lab.config.files import load_study
from resnet_lab.config.schema import RunConfig
from resnet_lab.errors import ConfigError
from resnet_lab.record.lines import Event
from resnet_lab.record.store import RunFolder
from resnet_lab.record.study import DEFAULT_ROOT, refuse_links, study_path


def train(
    depth: Depth = None,
    plain: Plain = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the data split, initial weights, batches and crops.")] = None,
    config: ConfigOption = None,
    overrides: Set = None,
    compile: Compile = None,
    study: StudyName = None,
    runs: Runs = DEFAULT_ROOT,
    run: Annotated[
        Path | None, typer.Option(help="Start or resume the run in this folder, with the config stored there.")
    ] = None,
    data_dir: DataDir = None,
    device: Device = "auto",
    threads: Threads = None,
    forecast: Annotated[
        bool, typer.Option("--forecast/--no-forecast", hidden=True)
    ] = True,  # False in a sweep, which has its own
) -> None:
    """Train one network. Run the same command again to resume it; a finished run is not trained again.

    Ctrl-C saves a checkpoint before exiting, as do SIGTERM, SIGHUP, SIGUSR1 and SIGUSR2. A third Ctrl-C exits at once.
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
        conflicting = [name for name, value in given.items() if value is not None]
        if conflicting:
            raise ConfigError(f"--run reads all settings from the run's folder; drop {', '.join(conflicting)}.")
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
    with stop_signals() as stop:
        from resnet_lab.run.device import Resources
        from resnet_lab.run.experiment import run

        resources = Resources(data_dir, device, threads)
        with training_screen(folder) as screen:
            for update in run(settings, folder, resources, stop=lambda: bool(stop), measure_speed=forecast):
                if isinstance(update, Event):
                    stop.defer()  # the run has started
                screen.show(update)
    if stop:
        raise typer.Exit(stop.exit_code)
