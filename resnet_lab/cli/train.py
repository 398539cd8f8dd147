"""`resnet-lab train`: one run."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from resnet_lab.cli.options import (
    BatchSize,
    Compile,
    ConfigOption,
    DataDir,
    Depth,
    Device,
    Lr,
    Plain,
    Residual,
    Runs,
    Set,
    Steps,
    Stop,
    StudyName,
    Threads,
    kind_of,
    refuse_twice,
    stop_signals,
    with_recipe,
)
from resnet_lab.cli.screens import training_screen
from resnet_lab.config.files import load_study
from resnet_lab.config.schema import RunConfig
from resnet_lab.errors import ConfigError, LabError
from resnet_lab.record.lines import Event
from resnet_lab.record.store import RunFolder
from resnet_lab.record.study import DEFAULT_ROOT, refuse_links, study_path
from resnet_lab.run.ranks import Ranks, joined, own_rank


def train(
    depth: Depth = None,
    plain: Plain = False,
    residual: Residual = False,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the data split, initial weights, batches and crops.")] = None,
    config: ConfigOption = None,
    steps: Steps = None,
    lr: Lr = None,
    batch_size: BatchSize = None,
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

    Started with torchrun, several processes train the network together, on one GPU each or on CPUs: see docs/scale.md.
    """

    def load() -> tuple[RunConfig, RunFolder]:
        if run is not None:
            given: dict[str, object] = {
                "--depth": depth,
                "--plain": plain or None,
                "--residual": residual or None,
                "--seed": seed,
            }
            given |= {"--config": config, "--set": overrides, "--steps": steps, "--lr": lr, "--batch-size": batch_size}
            return _stored(run, given | {"--compile/--no-compile": compile, "--study": study})
        source = load_study(config, with_recipe(overrides, steps, lr, batch_size), compile=compile)
        kind = kind_of(plain, residual)
        refuse_twice(source, kind=kind, depth=depth, seed=seed)
        settings = source.run(kind=kind, depth=depth, seed=seed)
        return settings, RunFolder(study_path(runs, source.name if study is None else study) / settings.name)

    with stop_signals() as stop, _silent_unless_first(), joined() as ranks:
        if ranks.rank == 0:
            _train(*load(), data_dir, device, threads, stop, ranks, forecast=forecast)
        else:
            _follow(data_dir, device, threads, stop, ranks)
        [exit_code] = ranks.highest(stop.exit_code if stop else 0)
    if exit_code:
        raise typer.Exit(exit_code)


def _stored(run: Path, given: Mapping[str, object]) -> tuple[RunConfig, RunFolder]:
    """The settings in a run's folder. Raises ConfigError if options that define a run are given as well."""
    conflicting = [name for name, value in given.items() if value is not None]
    if conflicting:
        raise ConfigError(f"--run reads all settings from the run's folder; drop {', '.join(conflicting)}.")
    refuse_links(run)
    return RunFolder(run).config(), RunFolder(run)


def _train(
    settings: RunConfig,
    folder: RunFolder,
    data_dir: Path | None,
    device: str,
    threads: int | None,
    stop: Stop,
    ranks: Ranks,
    *,
    forecast: bool,
) -> None:
    from resnet_lab.run.device import Resources
    from resnet_lab.run.experiment import run

    resources = Resources(data_dir, ranks.device(device), threads)
    with training_screen(folder) as screen:
        for update in run(settings, folder, resources, stop=lambda: bool(stop), measure_speed=forecast, ranks=ranks):
            if isinstance(update, Event):
                stop.defer()  # the run has started
            screen.show(update)


def _follow(data_dir: Path | None, device: str, threads: int | None, stop: Stop, ranks: Ranks) -> None:
    """The work of a rank other than 0, which shows nothing."""
    from resnet_lab.run.device import Resources
    from resnet_lab.run.experiment import follow

    for _ in follow(ranks, Resources(data_dir, ranks.device(device), threads), lambda: bool(stop)):
        stop.defer()


@contextmanager
def _silent_unless_first() -> Iterator[None]:
    """Exit without a message if a rank other than 0 ends with an error; rank 0 ends with the same one and shows it."""
    try:
        yield
    except LabError as error:
        if own_rank() == 0:
            raise
        raise typer.Exit(error.exit_code) from error
