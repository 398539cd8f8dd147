"""`resnet-lab report`: a study as one page."""

import webbrowser
from typing import Annotated

import typer

from resnet_lab.cli import display
from resnet_lab.cli.options import Json, Out, Runs, StudyArgument, XAxis
from resnet_lab.cli.watch import ended_by_ctrl_c, fingerprint, looks
from resnet_lab.errors import ConfigError
from resnet_lab.record.store import Follower
from resnet_lab.record.study import DEFAULT_ROOT, find_study, read_study
from resnet_lab.study.compare import compare

EVERY = 5.0


def report(
    study: StudyArgument = None,
    runs: Runs = DEFAULT_ROOT,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Write it anew as runs go on, until none is running any more, or Ctrl-C.")
    ] = False,
    every: Annotated[
        float | None, typer.Option(min=1, help=f"With --watch: seconds between two looks at the runs (default: {EVERY:g}).")
    ] = None,
    x: XAxis = "step",
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Write the study's report: one self-contained HTML page that works without a network, and the same as Markdown."""
    if watch and as_json:
        raise ConfigError("--watch writes the report again and again, --json prints one object: leave out one of them.")
    if every is not None and not watch:
        raise ConfigError("--every says how often --watch looks: add --watch, or leave it out.")
    from resnet_lab.report.write import write_report

    folder = find_study(runs, study)
    found = read_study(folder)
    comparison = compare(found)
    page, markdown = write_report(out or folder, comparison, x)
    if comparison.stand_in:
        display.stand_in()
    if as_json:
        display.result_json({"html": str(page), "markdown": str(markdown)})
    else:
        display.result(str(page))
        display.note(f"The same as Markdown: {markdown}")
    if open_page and not webbrowser.open(page.resolve().as_uri()):
        display.note(f"No browser can be started here: open {page} in one.")
    if watch:
        display.note("It is written anew as runs go on; reload it in the browser. Ctrl-C ends this.")
        seen, read_run = fingerprint([found]), Follower().read
        with ended_by_ctrl_c():
            for (found,) in looks(lambda: [read_study(folder, read_run)], every or EVERY):
                if (marks := fingerprint([found])) != seen:
                    seen = marks
                    write_report(out or folder, compare(found), x)
        display.note("No run is running any more: the page is complete.")
