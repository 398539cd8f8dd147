"""All analyses, and what they have said of a study's runs."""

import pkgutil
from collections.abc import Sequence
from functools import cache
from importlib import import_module

from pydantic import BaseModel, ValidationError

from resnet_lab.analysis import catalogue
from resnet_lab.analysis.definition import Analysis, Finding
from resnet_lab.analysis.results import Result
from resnet_lab.record.store import Run, RunFolder
from resnet_lab.record.sums import LIST


class _Named(BaseModel):
    """The part of a result's file that tells how to read it."""

    analysis: str


@cache
def analyses() -> tuple[Analysis, ...]:
    """The record of every module of `catalogue`, in the order of the report."""
    modules = [import_module(f"{catalogue.__name__}.{each.name}") for each in pkgutil.iter_modules(catalogue.__path__)]
    records: list[Analysis] = [module.ANALYSIS for module in modules]
    return tuple(sorted(records, key=lambda analysis: analysis.place))


def read(folder: RunFolder) -> tuple[list[Result], list[str]]:
    """The readable results of a run, by file name, and one sentence for each file that is none."""
    results, faults = [], []
    types = {analysis.name: analysis.result for analysis in analyses()}
    for path in sorted(set(folder.analysis.glob("*.json")) - {folder.analysis / LIST}):
        try:
            content = path.read_bytes()
            results.append(types[_Named.model_validate_json(content).analysis].model_validate_json(content))
        except (OSError, ValidationError, KeyError):
            faults.append(f"{folder.path.name}/analysis/{path.name} is no result of an analysis and is left out.")
    return results, faults


def findings(runs: Sequence[Run]) -> tuple[list[Finding], list[str]]:
    """All readable results of the runs, and a sentence for each file that is none."""
    found, faults = [], []
    for run in runs:
        results, unreadable = read(run.folder)
        found += [Finding(run, result) for result in results]
        faults += unreadable
    return found, faults
