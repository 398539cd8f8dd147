"""`resnet-lab analyze`: one command per analysis of trained networks."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from resnet_lab.analysis.definition import Analysis, Finding, Outcome, Request, Training
from resnet_lab.analysis.registry import analyses
from resnet_lab.analysis.results import save
from resnet_lab.cli import completion, terminal
from resnet_lab.cli.help import Command, group
from resnet_lab.cli.options import Device, ImagesDir, Json, Runs, Threads, stop_signals
from resnet_lab.cli.screens import training_screen
from resnet_lab.cli.watch import exits_on_ctrl_c
from resnet_lab.record.lines import Event
from resnet_lab.record.store import RunFolder
from resnet_lab.record.study import DEFAULT_ROOT, find_runs, find_study, run_folders

T = TypeVar("T")
At = Annotated[
    int | None,
    typer.Option(
        "--at",
        min=0,
        help="Step of the checkpoint; 0: the initial network (default: the newest checkpoint; for `correlation`, 0).",
    ),
]
Fast = Annotated[bool, typer.Option("--fast", help="Use fewer images or batches, to finish within a minute.")]


@dataclass(frozen=True)
class AnyRuns:
    """The arguments of an analysis of any number of runs."""

    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN",
            help="Runs as STUDY/RUN or folders, or whole studies (default: the newest study).",
            autocompletion=completion.runs,
        ),
    ] = None

    def folders(self, root: Path) -> list[RunFolder]:
        """The named runs, or those of the newest study."""
        return find_runs(root, self.names) if self.names else run_folders(find_study(root, None))


@dataclass(frozen=True)
class TwoRuns:
    """The arguments of an analysis of two runs."""

    first: Annotated[
        str, typer.Argument(metavar="RUN", help="First run, as STUDY/RUN or a folder.", autocompletion=completion.runs)
    ]
    second: Annotated[
        str,
        typer.Argument(metavar="RUN", help="Second run, of the same kind and as deep or deeper.", autocompletion=completion.runs),
    ]

    def folders(self, root: Path) -> list[RunFolder]:
        """Both runs, in this order; a named study stands for all of its runs."""
        return [*find_runs(root, [self.first]), *find_runs(root, [self.second])]


@dataclass(frozen=True)
class Shared:
    """The options shared by all analyses."""

    at: At = None
    fast: Fast = False
    runs: Runs = DEFAULT_ROOT
    data_dir: ImagesDir = None
    device: Device = "auto"
    threads: Threads = None
    as_json: Json = False


class _Progress:
    """Shows progress at the terminal; `exit_code` is set once a signal has asked a training to stop."""

    exit_code: int | None = None

    def note(self, text: str) -> None:
        """Print a notice."""
        terminal.note(text)

    def follow(self, folder: RunFolder, training: Training) -> None:
        """Show a training until it ends or a signal stops it."""
        with stop_signals() as stop, training_screen(folder) as screen:
            for update in training(lambda: bool(stop)):
                if isinstance(update, Event):
                    stop.defer()  # the training has started
                screen.show(update)
        self.exit_code = stop.exit_code if stop else None


def _command(analysis: Analysis) -> Callable[..., None]:
    """The command of an analysis; its parameters are the fields of its arguments, its own options and the shared options."""
    arguments: Callable[..., AnyRuns | TwoRuns] = AnyRuns if analysis.takes == "runs" else TwoRuns

    def command(**given: Any) -> None:
        """Rebuild arguments and options from the parameters, and run the analysis."""
        shared = _built(Shared, given)
        folders = _built(arguments, given).folders(shared.runs)
        _analyze(analysis, folders, _built(analysis.options, given), shared)

    parameters = [parameter for part in (arguments, analysis.options, Shared) for parameter in _parameters(part)]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return command


def _built(part: Callable[..., T], given: Mapping[str, Any]) -> T:
    """Construct one part of the parameters from their values."""
    return part(**{parameter.name: given[parameter.name] for parameter in _parameters(part)})


def _parameters(part: Callable[..., object]) -> Iterable[inspect.Parameter]:
    return inspect.signature(part).parameters.values()


def _analyze(analysis: Analysis, folders: Sequence[RunFolder], options: object, shared: Shared) -> None:
    """Run an analysis; each result is saved as soon as it is available, and all are shown at the end."""
    from resnet_lab.run.device import Resources

    progress = _Progress()
    request = Request(shared.at, shared.fast, Resources(shared.data_dir, shared.device, shared.threads), progress)
    outcomes: dict[Path, Outcome] = {}
    with exits_on_ctrl_c():
        for folder, result in analysis.run(folders, options, request):
            save(folder, result)
            outcomes[folder.path / result.file_name] = folder, result
            if progress.exit_code is not None:
                raise typer.Exit(progress.exit_code)
    _show(analysis, list(outcomes.values()), as_json=shared.as_json)


def _show(analysis: Analysis, outcomes: Sequence[Outcome], *, as_json: bool) -> None:
    """Show the results as a table or as JSON, and draw the figures of all results of their studies."""
    findings = [Finding(folder.read(), result) for folder, result in outcomes]
    if any(finding.run.is_stand_in for finding in findings):
        terminal.stand_in()
    if as_json:
        listed = [{"run": str(folder.path), **result.model_dump(mode="json")} for folder, result in outcomes]
        terminal.result_json({"results": listed})
    else:
        table = analysis.table(findings)
        terminal.table(table.header, table.rows, table.caption)
    from resnet_lab.report.write import write_findings  # slow to import, so only after the table is printed

    for study in dict.fromkeys(folder.path.parent for folder, _ in outcomes):
        with terminal.working("Drawing the figures"):
            paths = write_findings(study, analysis)
        for path in paths:
            terminal.note(f"Figure: {path} (also .svg, .pdf)")


app = group("Analyse trained networks: why do plain networks degrade?", "resnet-lab analyze identity quick")
for _analysis in analyses():
    _runs = "quick" if _analysis.takes == "runs" else "quick/plain-56-s0 quick/plain-56-s1"
    _example = f"Example: resnet-lab analyze {_analysis.name} {_runs}"
    app.command(_analysis.name, help=_analysis.help, cls=Command, epilog=_example)(_command(_analysis))
