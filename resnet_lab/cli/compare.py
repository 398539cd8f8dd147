"""`resnet-lab compare`: tables, verdict and curves of a study, or of several together."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from resnet_lab.cli import completion, terminal
from resnet_lab.cli.options import Json, Out, Runs, XAxis
from resnet_lab.errors import ConfigError, NotShownError
from resnet_lab.presentation.blocks import Table, X
from resnet_lab.record.study import DEFAULT_ROOT, find_study
from resnet_lab.report.tables import case_table, difference_table, error_table, study_table
from resnet_lab.study.compare import Comparison, compare_study
from resnet_lab.study.compare import compare as compare_runs
from resnet_lab.study.together import together
from resnet_lab.study.values import comparison_values
from resnet_lab.study.verdict import CASES_AND_LOOKS, verdict_on_case


def compare(
    studies: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="STUDY", help="Study names or folders (default: the newest study).", autocompletion=completion.studies
        ),
    ] = None,
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

    With several studies of one recipe, such as `resnet-lab compare seeds-a seeds-b`: first the errors of each study, then of all
    runs together. Files are written to --out alone.
    """
    folders = [find_study(runs, name) for name in studies or (None,)]
    for folder, count in Counter(folder.resolve() for folder in folders).items():
        if count > 1:
            raise ConfigError(f"The study {folder.name} is named twice.")
    comparisons = [compare_study(folder) for folder in folders]
    comparison = comparisons[0] if len(folders) == 1 else compare_runs(together(comparisons))
    target = folders[0] if out is None and len(folders) == 1 else out
    if comparison.stand_in:
        terminal.stand_in()
    if as_json:
        parts = [comparison_values(part, best=best) for part in comparisons]
        terminal.result_json(comparison_values(comparison, best=best) | ({"studies": parts} if len(parts) > 1 else {}))
    else:
        if len(folders) > 1:
            _print(study_table(comparisons))
        _show(comparison, best=best)
    if target is not None:
        _write(comparison, target, folders, x, as_json=as_json)
    if expect_degradation and not comparison.shows_degradation:
        raise NotShownError(
            "The study does not show the degradation required by --expect-degradation: " + " ".join(comparison.verdict)
        )


def _write(comparison: Comparison, target: Path, folders: Sequence[Path], x: X, *, as_json: bool) -> None:
    from resnet_lab.report.write import write_comparison  # slow to import, so only after the tables are printed

    with terminal.working("Drawing the curves"):
        write_comparison(comparison, x, target)
    if not as_json:
        report = f" `resnet-lab report {folders[0]}` writes the report." if len(folders) == 1 else ""
        terminal.note(f"Curves: {target / 'curves.png'} (also .svg, .pdf, .csv).{report}")


def _show(comparison: Comparison, *, best: bool) -> None:
    tables = [error_table(comparison, best=best)] if comparison.cells else []
    tables += [difference_table(comparison)] if comparison.differences else []
    tables += [case_table(comparison, narrow=True)] if comparison.cases else []
    for table in tables:
        _print(table)
    terminal.curves(comparison.runs)
    for sentence in (*comparison.verdict, *(" ".join(verdict_on_case(case)) for case in comparison.cases)):
        terminal.sentence(sentence)
    looks = [CASES_AND_LOOKS] if comparison.cases and comparison.study.design is not None else []
    for sentence in (*looks, *comparison.unmatched, *comparison.missing):
        terminal.note(sentence)


def _print(table: Table) -> None:
    terminal.table(table.header, table.rows, table.caption)
    terminal.result("")
