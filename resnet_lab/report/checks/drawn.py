"""Checks of what was made of the records: summary.json and curves.csv, figures and pages."""

import json
import math
from pathlib import Path
from typing import Any

from resnet_lab.record import sums
from resnet_lab.record.files import read_json
from resnet_lab.record.study import Study
from resnet_lab.report.charts import numbers as made_now
from resnet_lab.report.checks.check import Check, Fault, counted, listed
from resnet_lab.study.compare import Comparison
from resnet_lab.study.digest import marked

_PAGES = ("report/index.html", "report/report.md")
_FIGURES = ("*.png", "*.svg", "*.pdf")
_NUMBERS = ("summary.json", "curves.csv")


def numbers(study: Study, comparison: Comparison) -> Check:
    """Whether summary.json and curves.csv say what the records give now."""
    if _is_running(study):
        return Check("numbers", "not compared: runs are going on", is_open=True)
    now = made_now(comparison)
    there = [name for name in now if (study.path / name).exists()]
    if not there:
        return Check("numbers", "no summary.json or curves.csv yet: `resnet-lab compare` writes them", is_open=True)
    wrong = {name: what for name, what in sums.damaged(study.path) if name in now}
    for name in there:
        other = _other_values if name.endswith(".json") else _other_bytes
        if name not in wrong and (what := other(study.path / name, now[name])) is not None:
            wrong[name] = what
    faults = (Fault(f"{name} {what}.", f"`resnet-lab compare {study.path}` writes it anew.") for name, what in wrong.items())
    return Check("numbers", f"{' and '.join(there)} compared with what these records give now", tuple(faults))


def _other_values(path: Path, now: bytes) -> str | None:
    """In what a JSON object differs; the study's name does not count, since its folder may have been given another."""
    ours, theirs = read_json(path), json.loads(now)
    if not ours:
        return "cannot be read"
    keys = [key for key in {**theirs, **ours} if key != "study" and not _same(ours.get(key), theirs.get(key))]
    return f"is not what these records give, in: {', '.join(keys)}" if keys else None


def _other_bytes(path: Path, now: bytes) -> str | None:
    return None if path.read_bytes() == now else "is not what these records give"


def _same(ours: Any, theirs: Any) -> bool:
    """Whether two JSON values are equal, numbers up to the rounding of another library."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(_same(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(_same, ours, theirs))
    if isinstance(ours, float) and isinstance(theirs, float):
        return math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-12) or ours == theirs
    return type(ours) is type(theirs) and bool(ours == theirs)


def figures(study: Study, comparison: Comparison) -> Check:
    """Whether figures and pages are as they were written, and were made of these records."""
    if _is_running(study):
        return Check("figures", "not compared: runs are going on", is_open=True)
    now = comparison.records_digest
    names = [*sorted(path.name for form in _FIGURES for path in study.path.glob(form))]
    names += [name for name in _PAGES if (study.path / name).exists()]
    digests = {name: marked((study.path / name).read_bytes()) for name in names}
    older = sum(digest is None for digest in digests.values())
    wrong = {name: what for name, what in sums.damaged(study.path) if name not in _NUMBERS}
    others = [name for name, digest in digests.items() if digest not in (None, now) and name not in wrong]
    wrong |= {listed(others): "made of other records"} if others else {}
    to_do = f"`resnet-lab report {study.path}` makes the report's files anew; remove what is no part of it any more."
    faults = tuple(Fault(f"{name}: {what}.", to_do) for name, what in wrong.items())
    says = f"{counted(len(names) - older, 'file')} compared with the digest of these records"
    if not names and not faults:
        return Check("figures", "none yet: `resnet-lab report` draws them", is_open=True)
    if older == len(names) and not faults:
        return Check("figures", f"not recorded: {counted(older, 'file')} of an older version", is_open=True)
    return Check("figures", says + (f"; of {older} not recorded" if older else ""), faults)


def _is_running(study: Study) -> bool:
    return any(run.state == "running" for run in study.runs)
