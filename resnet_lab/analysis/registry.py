"""The registry of analyses, and reading of their results."""

import pkgutil
from collections.abc import Sequence
from functools import cache
from importlib import import_module

from pydantic import BaseModel, ValidationError

from resnet_lab.analysis import catalogue
from resnet_lab.analysis.definition import Analysis, Finding
from resnet_lab.analysis.results import Result
from resnet_lab.config.model import ModelConfig
from resnet_lab.record.checksums import LIST
from resnet_lab.record.store import Run, RunFolder


class _Named(BaseModel):
    """The part of a result file that identifies its type."""

    analysis: str


@cache
def analyses() -> tuple[Analysis, ...]:
    """The descriptions in all modules of `catalogue`, in the order of the report."""
    modules = [import_module(f"{catalogue.__name__}.{module.name}") for module in pkgutil.iter_modules(catalogue.__path__)]
    descriptions: list[Analysis] = [module.ANALYSIS for module in modules]
    return tuple(sorted(descriptions, key=lambda analysis: analysis.place))


def read(folder: RunFolder, model: ModelConfig) -> tuple[list[Result], list[str]]:
    """Return the results of a run of this model in the order of file names, and a sentence for each file that is not valid."""
    results, faults = [], []
    types = {analysis.name: analysis.result for analysis in analyses()}
    for path in sorted(set(folder.analysis.glob("*.json")) - {folder.analysis / LIST}):
        try:
            content = path.read_bytes()
            result = types[_Named.model_validate_json(content).analysis].model_validate_json(content)
        except (OSError, ValidationError, KeyError):
            result = None
        if result is not None and result.fits(model):
            results.append(result)
        else:
            faults.append(f"{folder.path.name}/analysis/{path.name} is not a valid result of an analysis and is left out.")
    return results, faults


def findings(runs: Sequence[Run]) -> tuple[list[Finding], list[str]]:
    """Return all results of these runs, and a sentence for each file that is not a valid result."""
    items, faults = [], []
    for run in runs:
        results, invalid = read(run.folder, run.config.model)
        items += [Finding(run, result) for result in results]
        faults += invalid
    return items, faults
