"""Checks of the files made from the records: summary.json and curves.csv, figures and pages."""

import json
import math
from pathlib import Path
from typing import Any

from resnet_lab.record import checksums
from resnet_lab.record.files import read_json
from resnet_lab.record.study import Study
from resnet_lab.report.charts import numbers as current_numbers
from resnet_lab.report.checks.check import Check, Fault, unrecorded
from resnet_lab.study.compare import Comparison
from resnet_lab.study.digest import read_mark
from resnet_lab.text import abridged, counted

_PAGES = ("report/index.html", "report/report.md")
_FIGURES = ("*.png", "*.svg", "*.pdf")
_NUMBERS = ("summary.json", "curves.csv")
_ACTIVE = "not compared: runs are active"


def numbers(study: Study, comparison: Comparison) -> Check:
    """Whether summary.json and curves.csv match the records."""
    if _is_active(study):
        return Check("numbers", _ACTIVE, skipped=True)
    current = current_numbers(comparison)
    present = [name for name in current if (study.path / name).is_file()]
    if not present:
        return Check("numbers", "no summary.json or curves.csv yet: `resnet-lab compare` writes them", skipped=True)
    problems = {name: problem for name, problem in checksums.damaged_files(study.path) if name in current}
    for name in present:
        differing = _differing_values if name.endswith(".json") else _differing_bytes
        if name not in problems and (problem := differing(study.path / name, current[name])) is not None:
            problems[name] = problem
    remedy = f"`resnet-lab compare {study.path}` writes it again."
    faults = tuple(Fault(f"{name} {problem}.", remedy) for name, problem in problems.items())
    return Check("numbers", f"{' and '.join(present)} compared with the values of these records", faults)


def _differing_values(path: Path, current: bytes) -> str | None:
    """The keys in which a JSON object differs; the study's name is ignored, since its folder may have been renamed."""
    found, expected = read_json(path), json.loads(current)
    if not found:
        return "cannot be read"
    keys = [key for key in {**expected, **found} if key != "study" and not _equal(found.get(key), expected.get(key))]
    return f"does not match these records in: {', '.join(keys)}" if keys else None


def _differing_bytes(path: Path, current: bytes) -> str | None:
    return None if path.read_bytes() == current else "does not match these records"


def _equal(found: Any, expected: Any) -> bool:
    """Whether two JSON values are equal; numbers may differ by rounding, as between versions of a library."""
    if isinstance(found, dict) and isinstance(expected, dict):
        return found.keys() == expected.keys() and all(_equal(found[key], expected[key]) for key in found)
    if isinstance(found, list) and isinstance(expected, list):
        return len(found) == len(expected) and all(map(_equal, found, expected))
    if isinstance(found, float) and isinstance(expected, float):
        return math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-12) or found == expected
    return type(found) is type(expected) and bool(found == expected)


def figures(study: Study, comparison: Comparison) -> Check:
    """Whether figures and pages are as they were written, and show these records."""
    if _is_active(study):
        return Check("figures", _ACTIVE, skipped=True)
    names = [*sorted(path.name for pattern in _FIGURES for path in study.path.glob(pattern) if path.is_file())]
    names += [name for name in _PAGES if (study.path / name).is_file()]
    digests = {name: read_mark((study.path / name).read_bytes()) for name in names}
    without_mark = sum(digest is None for digest in digests.values())
    problems = {name: problem for name, problem in checksums.damaged_files(study.path) if name not in _NUMBERS}
    current = comparison.records_digest
    outdated = [name for name, digest in digests.items() if digest not in (None, current) and name not in problems]
    problems |= {f"{abridged(outdated)}:": "made from other records"} if outdated else {}
    remedy = f"`resnet-lab report {study.path}` writes the report's files again; remove those that are no longer part of it."
    faults = tuple(Fault(f"{name} {problem}.", remedy) for name, problem in problems.items())
    if not names and not faults:
        return Check("figures", "none yet: `resnet-lab report` draws them", skipped=True)
    if without_mark == len(names) and not faults:
        return Check("figures", f"not recorded: {counted(without_mark, 'file')} of an older version", skipped=True)
    compared = counted(len(names) - without_mark, "file")
    return Check("figures", f"{compared} compared with the digest of these records{unrecorded(without_mark)}", faults)


def _is_active(study: Study) -> bool:
    return any(run.state == "running" for run in study.runs)
