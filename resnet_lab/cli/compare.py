"""`resnet-lab compare`: the table, the verdict and the curves of a study."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from resnet_lab.cli import display
from resnet_lab.cli.options import Json, Out, Runs, StudyArgument, XAxis
from resnet_lab.errors import NotShownError
from resnet_lab.record.study import DEFAULT_ROOT, find_study
from resnet_lab.report.tables import difference_table, error_table
from resnet_lab.study.compare import Comparison, compare_study
from resnet_lab.study.values import comparison_values


def compare(
    study: StudyArgument = None,
    runs: Runs = DEFAULT_ROOT,
    best: Annotated[bool, typer.Option("--best", help="Show the lowest test error over time as well, a selection.")] = False,
    expect_degradation: Annotated[
        bool,
        typer.Option(
            "--expect-degradation",
            help="Exit with 7 unless plain nets are shown to degrade with depth, and residual ones of two depths are not.",
        ),
    ] = False,
    x: XAxis = "step",
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Plain against residual, shallow against deep: table, verdict, and curves.png, .svg, .pdf and .csv in the study's folder."""
    folder = find_study(runs, study)
    comparison = compare_study(folder)
    if comparison.stand_in:
        display.stand_in()
    if as_json:
        display.result_json(comparison_values(comparison, best=best))
    else:
        _show(comparison, best=best)
    target = out or folder
    _draw(target, comparison, x)
    if not as_json:
        display.note(f"Curves: {target / 'curves.png'} (also .svg, .pdf, .csv). `resnet-lab report {folder}` makes the page.")
    if expect_degradation and not comparison.shows_degradation:
        raise NotShownError("The degradation that --expect-degradation asks for is not there: " + " ".join(comparison.verdict))


def _show(comparison: Comparison, *, best: bool) -> None:
    tables = [error_table(comparison, best=best)] if comparison.cells else []
    tables += [difference_table(comparison)] if comparison.differences else []
    for table in tables:
        display.table(table.header, table.rows, table.caption)
        display.result("")
    display.curves(comparison.runs)
    for sentence in comparison.verdict:
        display.sentence(sentence)
    for sentence in (*comparison.unmatched, *comparison.missing):
        display.note(sentence)


def _draw(folder: Path, comparison: Comparison, x: Literal["step", "epoch", "hours"]) -> None:
    from resnet_lab.report.write import write_comparison  # slow to import; the table is there before it

    write_comparison(folder, comparison, x)
