"""The public Python interface, for scripts and notebooks: load a config, train, read a study, compare it, write its figures.

Everything else in this package may change between versions. All functions raise a subclass of `resnet_lab.errors.LabError`, whose
message says how to fix the problem.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from resnet_lab.config.files import StudyConfig, load_study
from resnet_lab.config.schema import RunConfig
from resnet_lab.data.progress import DownloadProgress
from resnet_lab.presentation.blocks import X
from resnet_lab.record import study as studies
from resnet_lab.record.lines import Event, Record
from resnet_lab.record.study import Study
from resnet_lab.report import write
from resnet_lab.run import experiment
from resnet_lab.run.device import Resources
from resnet_lab.run.estimate import Forecast
from resnet_lab.study import compare as comparing
from resnet_lab.study.compare import Comparison
from resnet_lab.sweep import grid

Update = DownloadProgress | str | Forecast | Record | Event


def load(source: str | Path = "plateau", overrides: Sequence[str] = ()) -> StudyConfig:
    """Load a preset by name, such as `paper`, or a TOML file by path, with overrides such as `recipe.steps=2000`.

    The result's `run(kind="plain", depth=20)` returns the config of one run; `expand` returns those of its sweep.
    """
    return load_study(str(source), overrides)


def expand(settings: StudyConfig) -> list[RunConfig]:
    """Return the configs of all runs of a sweep, ordered so that matched pairs are complete as early as possible."""
    return grid.expand(settings)


def run(
    config: RunConfig, study: str | Path, *, data_dir: str | Path | None = None, device: str = "auto", threads: int | None = None
) -> Iterator[Update]:
    """Train one network in its folder of the study, yielding updates while it runs.

    Updates are a forecast, events, training, validation and evaluation records, notices (`str`) and download progress. An
    unfinished run is resumed; a finished one yields only its last event. `data_dir`, `device` and `threads` have the same meaning
    as on the command line.
    """
    resources = Resources(None if data_dir is None else Path(data_dir), device, threads)
    yield from experiment.run(config, grid.folder_of(config, Path(study)), resources)


def read(study: str | Path) -> Study:
    """Read a study from its folder: its runs with their configs, records and events. `faults` lists unreadable runs."""
    return studies.read_study(Path(study))


def compare(study: Study) -> Comparison:
    """Compare plain with residual and shallow with deep networks: errors by depth, their differences, and a verdict in words."""
    return comparing.compare(study)


def write_curves(study: Study, x: X = "step") -> Path:
    """Write `curves.png`, `.svg`, `.pdf`, `.csv` and `summary.json` to the study's folder; return the path of the PNG file."""
    write.write_comparison(compare(study), x)
    return study.path / "curves.png"


def write_report(study: Study, x: X = "step") -> Path:
    """Write the study's report as HTML and Markdown, with all figures; return the path of the HTML page."""
    page, _ = write.write_report(compare(study), x)
    return page
