"""The check of matched pairs: equal weights at the start, equal images, in equal order."""

from collections.abc import Iterator, Sequence

from resnet_lab.record.store import Run
from resnet_lab.report.checks.check import Check, Fault, counted
from resnet_lab.report.checks.files import last_start, recorded

_EQUAL = ("initial weights", "training images", "order and augmentation")
_TO_DO = "They are no matched pair: train both anew in one study, with one version and on the same data."


def pairs(runs: Sequence[Run]) -> Check:
    """Whether a plain and a residual run of equal recipe, depth and seed started equal and saw the same."""
    faults, number, older = [], 0, 0
    for plain, residual in _pairs(runs):
        number += 1
        ours, theirs = _digests(plain), _digests(residual)
        older += not (ours and theirs)
        differing = [what for what in _EQUAL if ours and theirs and ours.get(what) != theirs.get(what)]
        if residual.config.model.shortcut == "A" and plain.parameters != residual.parameters:
            differing.append("number of parameters")
        if differing:
            faults.append(Fault(f"{plain.name} and {residual.name} differ in: {', '.join(differing)}.", _TO_DO))
    if not number:
        return Check("pairs", "no plain and residual run of equal depth and seed", is_open=True)
    if older == number and not faults:
        return Check("pairs", f"not recorded: {counted(number, 'pair')} of an older version", is_open=True)
    says = f"{counted(number - older, 'pair')} compared in {', '.join(_EQUAL)}"
    return Check("pairs", says + (f"; of {older} not recorded" if older else ""), tuple(faults))


def _pairs(runs: Sequence[Run]) -> Iterator[tuple[Run, Run]]:
    begun = [run for run in runs if last_start(run) is not None]
    plains = {_key(run): run for run in begun if run.config.model.kind == "plain"}
    for run in begun:
        if run.config.model.kind == "residual" and _key(run) in plains:
            yield plains[_key(run)], run


def _key(run: Run) -> tuple[str, int, int]:
    return run.config.recipe_digest(), run.config.model.depth, run.config.seed


def _digests(run: Run) -> dict[str, str]:
    start = last_start(run)
    return {} if start is None else {what: digest for what, digest in recorded(start).items() if what in _EQUAL}
