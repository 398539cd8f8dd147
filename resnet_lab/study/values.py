"""Conversion of a comparison and its runs to JSON values, for `summary.json` and `--json`."""

import dataclasses
from typing import Any

from resnet_lab.record.store import Run
from resnet_lab.study.cases import Case, Contrast
from resnet_lab.study.cells import Cell
from resnet_lab.study.compare import Comparison
from resnet_lab.study.differences import Difference, Gap
from resnet_lab.study.sequential import OVERALL_ERROR
from resnet_lab.study.spread import Spread
from resnet_lab.study.verdict import verdict_on_case
from resnet_lab.text import printable

_FORMAT = 2  # of comparison_values; in format 1, the `kind` of a cell or gap was its variant


def comparison_values(comparison: Comparison, *, best: bool = False) -> dict[str, Any]:
    """Return the comparison as JSON values; errors and differences are fractions. `best` adds the lowest test error over time."""
    cells = [_values(cell) for cell in comparison.cells]
    if not best:
        for cell in cells:
            del cell["best_test_error"]
    return {
        "format": _FORMAT,
        "study": printable(comparison.study.name),
        "stand_in": comparison.stand_in,
        "verdict": list(comparison.verdict),
        "shows_degradation": comparison.shows_degradation,
        "cells": cells,
        "gaps": [_gap_values(gap) for gap in comparison.gaps],
        "gains": [_values(gain) for gain in comparison.gains],
        "interaction": comparison.interaction and _values(comparison.interaction),
        "runs": [run_values(run) for run in comparison.all_runs],
        "missing": list(comparison.missing),
        "unmatched": list(comparison.unmatched),
    } | ({"cases": [_case_values(case) for case in comparison.cases]} if comparison.varied else {})


def _case_values(case: Case) -> dict[str, Any]:
    """A case as JSON values; the verdict is its sentences."""
    contrasts = {"against_base": case.against_base, "against_plain": case.against_plain}
    return (
        _values(case)
        | {key: contrast and _contrast_values(contrast) for key, contrast in contrasts.items()}
        | {"effect": case.effect, "verdict": list(verdict_on_case(case))}
    )


def _contrast_values(contrast: Contrast) -> dict[str, Any]:
    return _values(contrast) | {
        "remaining_gap": contrast.remaining_gap and _spread_values(contrast.remaining_gap),
        "removed": contrast.removed,
        "effect": contrast.effect,
    }


def _gap_values(gap: Gap) -> dict[str, Any]:
    """A gap with its verdict and, if seeds are added until it is decided, the design and the bound that the verdict rests on."""
    values = _values(gap) | {"degradation": gap.degradation, "seeds_needed": gap.seeds_needed, "p_value": gap.p_value}
    del values["design"]
    if gap.design is not None:
        values["sequential"] = {
            "first_look": gap.design.first_look,
            "max_seeds": gap.design.max_seeds,
            "overall_error": OVERALL_ERROR,
            "bound": gap.bound and dataclasses.asdict(gap.bound),
        }
    return values


def _values(item: Cell | Difference | Case | Contrast) -> dict[str, Any]:
    """The fields as JSON values: a spread with its mean, deviation and interval, a variant also split into kind and shortcut."""
    values: dict[str, Any] = {}
    for name in (field.name for field in dataclasses.fields(item)):
        value = getattr(item, name)
        if isinstance(value, Spread):
            value = _spread_values(value)
        values[name] = value
        if name == "variant":
            values["kind"], _, shortcut = value.partition("-")
            values["shortcut"] = shortcut or "A"
    return values


def _spread_values(spread: Spread) -> dict[str, Any]:
    return {"values": spread.values, "mean": spread.mean, "deviation": spread.deviation, "interval": spread.interval}


def run_values(run: Run) -> dict[str, Any]:
    """Return a run as JSON values; errors are fractions."""
    last = run.evaluations[-1] if run.evaluations else None
    return {
        "run": run.name,
        "variant": run.config.model.variant,
        "kind": run.config.model.kind,
        "shortcut": run.config.model.shortcut,
        "depth": run.config.model.depth,
        "seed": run.config.seed,
        "dataset": run.config.data.dataset,
        "state": run.state,
        "step": run.step,
        "steps": run.config.recipe.steps,
        "running_train_error": run.train[-1].error if run.train else None,
        "train_error": last.train_error if last else None,
        "test_error": last.test_error if last else None,
        "images_per_second": run.images_per_second,
        "seconds_left": run.seconds_left,
    } | ({"varied": run.config.varied_settings} if run.config.varied else {})
