"""The check of matched pairs: equal initial weights, and equal images in equal order."""

from collections.abc import Iterator, Sequence

from resnet_lab.record.store import Run
from resnet_lab.report.checks.check import Check, Fault, unrecorded
from resnet_lab.report.checks.files import last_start, recorded_digests
from resnet_lab.text import counted

_COMPARED = ("initial weights", "training images", "order and augmentation")
_REMEDY = "They are not a matched pair: train both again in one study, with the same version and on the same data."


def pairs(runs: Sequence[Run]) -> Check:
    """Whether residual runs and those of their plain counterparts had equal weights at the start and equal batches.

    The counterpart has the same recipe, layers and seed, so a residual run with varied settings of its shortcuts has one, too.
    """
    faults, number, not_recorded = [], 0, 0
    for plain, residual in _pairs(runs):
        number += 1
        first, second = _digests(plain), _digests(residual)
        not_recorded += not (first and second)
        compared = _COMPARED[1:] if residual.config.model.uses_fixup else _COMPARED  # Fixup rescales initial weights
        differing = [name for name in compared if first and second and first.get(name) != second.get(name)]
        if not residual.config.model.adds_parameters and plain.parameters != residual.parameters:
            differing.append("number of parameters")
        if differing:
            faults.append(Fault(f"{plain.name} and {residual.name} differ in: {', '.join(differing)}.", _REMEDY))
    if not number:
        return Check("pairs", "no plain and residual run of the same depth and seed", skipped=True)
    if not_recorded == number and not faults:
        return Check("pairs", f"not recorded: {counted(number, 'pair')} of an older version", skipped=True)
    detail = f"{counted(number - not_recorded, 'pair')} compared by {', '.join(_COMPARED)}"
    return Check("pairs", detail + unrecorded(not_recorded), tuple(faults))


def _pairs(runs: Sequence[Run]) -> Iterator[tuple[Run, Run]]:
    started = [run for run in runs if last_start(run) is not None]
    plain_runs = {_key(run): run for run in started if run.config.model.kind == "plain"}
    for run in started:
        if run.config.model.kind == "residual" and _key(run) in plain_runs:
            yield plain_runs[_key(run)], run


def _key(run: Run) -> tuple[str, int, int]:
    """Equal for a residual run and its plain counterpart."""
    config = run.config.model_copy(update={"model": run.config.model.counterpart})
    return config.recipe_digest(), config.model.depth, config.seed


def _digests(run: Run) -> dict[str, str]:
    start = last_start(run)
    return {} if start is None else {name: digest for name, digest in recorded_digests(start).items() if name in _COMPARED}
