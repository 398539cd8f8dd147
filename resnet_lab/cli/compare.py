"""`resnet-lab compare`: tables, verdict and curves of a study."""

from typing import Annotated

import typer

from resnet_lab.cli import terminal
from resnet_lab.cli.options import Json, Out, Runs, StudyArgument, XAxis
from resnet_lab.errors import NotShownError
from resnet_lab.record.study import DEFAULT_ROOT, find_study
from resnet_lab.report.tables import case_table, difference_table, error_table
from resnet_lab.study.compare import Comparison, compare_study
from resnet_lab.study.values import comparison_values
from resnet_lab.study.verdict import verdict_on_case


def compare(
    study: StudyArgument = None,
    runs: Runs = DEFAULT_ROOT,
    best: Annotated[
        bool, typer.Option("--best", help="Also show the best test error (optimistic: selected on test data).")
    ] = False,
    expect_degradation: Annotated[
        bool,
        typer.Option(
            "--expect-degradation",
            help="For scripts: exit with 7 unless plain nets are shown to degrade and residual ones, of two depths, are not; an "
            "undecided residual gap passes.",
        ),
    ] = False,
    x: XAxis = "step",
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Compare plain with residual and shallow with deep networks: tables, a verdict and curves.

    Writes curves.png, .svg, .pdf and .csv to the study's folder, or to --out.
    """
    folder = find_study(runs, study)
    comparison = compare_study(folder)
    if comparison.stand_in:
        terminal.stand_in()
    if as_json:
        terminal.result_json(comparison_values(comparison, best=best))
    else:
        _show(comparison, best=best)
    from resnet_lab.report.write import write_comparison  # slow to import, so only after the tables are printed

    write_comparison(comparison, x, out)
    if not as_json:
        curves = (out or folder) / "curves.png"
        terminal.note(f"Curves: {curves} (also .svg, .pdf, .csv). `resnet-lab report {folder}` writes the report.")
    if expect_degradation and not comparison.shows_degradation:
        raise NotShownError(
            "The study does not show the degradation required by --expect-degradation: " + " ".join(comparison.verdict)
        )


def _show(comparison: Comparison, *, best: bool) -> None:
    tables = [error_table(comparison, best=best)] if comparison.cells else []
    tables += [difference_table(comparison)] if comparison.differences else []
    tables += [case_table(comparison, narrow=True)] if comparison.cases else []
    for table in tables:
        terminal.table(table.header, table.rows, table.caption)
        terminal.result("")
    terminal.curves(comparison.runs)
    for sentence in (*comparison.verdict, *(" ".join(verdict_on_case(case)) for case in comparison.cases)):
        terminal.sentence(sentence)
    for sentence in (*comparison.unmatched, *comparison.missing):
        terminal.note(sentence)
