"""`resnet-lab report`: a study as one HTML page."""

import webbrowser
from pathlib import Path
from typing import Annotated, Literal

import typer

from resnet_lab.cli import terminal
from resnet_lab.cli.options import Json, Out, Runs, StudyArgument, XAxis
from resnet_lab.cli.watch import exits_on_ctrl_c, fingerprint, poll
from resnet_lab.errors import ConfigError
from resnet_lab.presentation.blocks import X
from resnet_lab.record.store import Follower
from resnet_lab.record.study import DEFAULT_ROOT, find_study, read_study
from resnet_lab.study.compare import compare

EVERY_SECONDS = 5.0


def report(
    study: StudyArgument = None,
    runs: Runs = DEFAULT_ROOT,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Keep rewriting the page while runs are active; Ctrl-C exits.")] = False,
    every: Annotated[
        float | None,
        typer.Option(
            min=1,
            max=86_400,
            help=f"With --watch: seconds between checks for changes (default: {EVERY_SECONDS:g}).",
        ),
    ] = None,
    x: XAxis = "step",
    out: Out = None,
    figures: Annotated[
        Literal["paper"] | None,
        typer.Option(help="Write Figures 1, 6 and 7 of the paper instead: PDF files at column width, in the folder `paper`."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the study's report as one self-contained HTML page that works offline, and as Markdown."""
    if watch and as_json:
        raise ConfigError("--watch writes the report repeatedly, but --json prints one object; drop one of them.")
    if every is not None and not watch:
        raise ConfigError("--every sets the interval of --watch; add --watch or drop --every.")
    if figures and (watch or open_page):
        raise ConfigError("--figures writes PDF files, no page; drop --watch and --open.")
    folder = find_study(runs, study)
    if figures:
        _write_figures(folder, x, out, as_json=as_json)
        return
    with terminal.working("Reading the study") as show:
        from resnet_lab.report.write import write_report  # slow to import

        current = read_study(folder)
        comparison = compare(current)
        page, markdown = write_report(comparison, x, out, show)
    if comparison.stand_in:
        terminal.stand_in()
    if as_json:
        terminal.result_json({"html": str(page), "markdown": str(markdown)})
    else:
        terminal.result(str(page))
        terminal.note(f"Markdown version: {markdown}")
    if open_page and not webbrowser.open(page.resolve().as_uri()):
        terminal.note(f"No browser could be started; open {page} yourself.")
    if watch:
        terminal.note("The page is rewritten while runs are active; reload it to see changes. Ctrl-C exits.")
        written, read_run = fingerprint([current]), Follower().read
        with exits_on_ctrl_c():
            for (current,) in poll(lambda: [read_study(folder, read_run)], every or EVERY_SECONDS):
                if (now := fingerprint([current])) != written:
                    written = now
                    with terminal.working() as show:
                        write_report(compare(current), x, out, show)
        terminal.note("All runs have ended; the page is complete.")


def _write_figures(folder: Path, x: X, out: Path | None, *, as_json: bool) -> None:
    """Write the figures of a paper, and print the files, and why others are missing."""
    with terminal.working("Drawing the figures"):
        from resnet_lab.report.write import write_paper_figures  # slow to import

        comparison = compare(read_study(folder))
        written, missing = write_paper_figures(comparison, x, out)
    paths = [str(path) for path in written]
    if comparison.stand_in:
        terminal.stand_in()
    if as_json:
        terminal.result_json({"figures": paths, "missing": list(missing)})
        return
    for path in paths:
        terminal.result(path)
    for reason in missing:
        terminal.note(reason)
