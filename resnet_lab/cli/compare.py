"""`resnet-lab compare`: the table, the verdict and the curves of a study."""

import dataclasses
from typing import Any

from resnet_lab.cli import display
from resnet_lab.cli.options import Json, Runs, StudyArgument
from resnet_lab.compare import Comparison
from resnet_lab.compare import compare as compare_runs
from resnet_lab.record.store import DEFAULT_ROOT, find_study, read_study, write_atomically, write_json


def compare(study: StudyArgument = None, runs: Runs = DEFAULT_ROOT, as_json: Json = False) -> None:
    """Plain against residual, shallow against deep: table, verdict, and curves.png, .svg, .pdf and .csv in the study's folder."""
    from resnet_lab.report import figures
    from resnet_lab.report.document import error_table

    folder = find_study(runs, study)
    comparison = compare_runs(folder.name, *read_study(folder))
    written = figures.save(figures.curves(comparison), folder / "curves")
    write_atomically(folder / "curves.csv", figures.curve_points(comparison).encode())
    values = comparison_values(comparison)
    write_json(folder / "summary.json", values)
    if comparison.stand_in:
        display.stand_in()
    if as_json:
        display.result_json(values)
        return
    errors = error_table(comparison)
    if comparison.cells:
        display.table(errors.header, errors.rows, errors.caption)
        display.result("")
    for sentence in comparison.verdict:
        display.result(sentence)
    for sentence in comparison.missing:
        display.note(sentence)
    display.note(f"Curves: {written[0]} (also .svg, .pdf, .csv). `resnet-lab report {folder.name}` makes the page.")


def comparison_values(comparison: Comparison) -> dict[str, Any]:
    """The comparison as JSON values; errors and gaps are fractions."""
    return {
        "study": comparison.study,
        "stand_in": comparison.stand_in,
        "verdict": list(comparison.verdict),
        "cells": [dataclasses.asdict(cell) for cell in comparison.cells],
        "gaps": [dataclasses.asdict(gap) | {"degradation": gap.degradation} for gap in comparison.gaps],
        "runs": [display.run_values(run) for run in comparison.runs],
        "missing": list(comparison.missing),
    }
