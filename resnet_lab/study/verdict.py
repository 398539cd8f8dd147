"""The verdict on a study in sentences: whether it shows degradation, and what further evidence would require."""

from collections.abc import Iterator, Sequence

from resnet_lab.config.terms import PROJECTION_VARIANTS, VARIANTS
from resnet_lab.record.store import Run
from resnet_lab.study.cases import Case
from resnet_lab.study.cells import Cell
from resnet_lab.study.differences import MANY_SEEDS, Gap
from resnet_lab.study.spread import Spread
from resnet_lab.text import percent, points


def verdict_on(gaps: Sequence[Gap]) -> tuple[str, ...]:
    """One sentence per variant, with the difference that the verdict rests on."""
    if not gaps:
        return ("No verdict yet: it requires finished runs of one kind at two depths with the same seed.",)
    return tuple(_sentence(gap) for gap in gaps)


def _sentence(gap: Gap) -> str:
    lead = {
        "shown": f"Degradation shown in {gap.variant} nets",
        "not shown": f"Degradation not shown in {gap.variant} nets",
        "undecided": f"Degradation in {gap.variant} nets undecided; {_advice(gap.seeds_needed)}",
    }
    return (
        f"{lead[gap.degradation]}. Training error {percent(gap.shallow_train_error)} at depth {gap.shallow}, "
        f"{percent(gap.deep_train_error)} at depth {gap.deep}: {points(gap.train_error.mean)} points"
        f"{_certainty(gap.train_error, f'; sign-flip test p = {gap.p_value:.3g}')}."
    )


def _advice(seeds_needed: int | None) -> str:
    if seeds_needed is None:
        return f"more than {MANY_SEEDS} more seeds would be needed"
    return f"run {seeds_needed} more seed{'s' if seeds_needed > 1 else ''}"


def _certainty(difference: Spread, test: str = "") -> str:
    count = len(difference.values)
    if difference.interval is None:
        return f" ({'one seed' if count == 1 else f'{count} seeds'}, too few for an interval)"
    low, high = difference.interval
    return f" (95 % interval {points(low)} to {points(high)} over {count} seeds{test})"


def verdict_on_case(case: Case) -> str:
    """A sentence on what the varied settings of a case do to the error of its network."""
    subject, network, effect = case.label, case.network, case.effect
    if effect == "diverged":
        lost = len(case.diverged)
        return f"{network} with {subject} diverged in {lost} of {lost + len(case.seeds)} runs."
    if case.change is None:
        return f"The effect of {subject} on {network} is undecided: no base run of the same seed has finished."
    if effect == "removes" and case.remaining_gap is not None and case.base_gap is not None:
        return (
            f"{subject} removes the degradation of {network}: {points(case.remaining_gap.mean)} points from "
            f"{case.variant}-{case.shallow}{_certainty(case.remaining_gap)}, {points(case.base_gap.mean)} points without it."
        )
    share = "" if case.removed is None else f" by {100 * case.removed:.0f} % of the gap"
    lead = {
        "reduces": f"{subject} {'reduces the degradation' if share else 'lowers the training error'} of {network}{share}",
        "raises": f"{subject} raises the training error of {network}",
        "no effect shown": f"No effect of {subject} on the training error of {network} is shown",
        "undecided": f"The effect of {subject} on {network} is undecided",
    }
    rest = case.remaining_gap if effect == "reduces" and share else None
    remaining = "" if rest is None else f"; remaining gap {points(rest.mean)} points{_certainty(rest)}"
    return f"{lead[effect]}: {points(case.change.mean)} points{_certainty(case.change)}{remaining}."


def unfinished(runs: Sequence[Run]) -> list[str]:
    """A sentence for every run that is not in the table because it has not finished or lacks its last evaluation."""
    return [
        f"{run.name} is not in the table: it is finished, but metrics.jsonl lacks its last evaluation."
        if run.state == "finished"
        else f"{run.name} is not in the table: {run.state} at step {run.step:,} of {run.config.recipe.steps:,}."
        for run in runs
        if run.state != "finished" or run.final is None
    ]


def lacking(cells: Sequence[Cell], gaps: Sequence[Gap]) -> list[str]:
    """A sentence for each network or seed that a verdict on degradation would require and the study lacks."""
    sentences = []
    has_projections = any(cell.variant in PROJECTION_VARIANTS for cell in cells)
    for variant in VARIANTS:
        depths = [cell.depth for cell in cells if cell.variant == variant]
        if not depths and (variant in PROJECTION_VARIANTS or (variant == "residual" and has_projections)):
            continue
        if not depths:
            sentences.append(f"No {variant} run has finished: start one with `resnet-lab train --depth N --{variant}`.")
        elif len(depths) == 1:
            sentences.append(f"All {variant} nets have depth {depths[0]}: run another depth to see whether deeper is worse.")
        elif not any(gap.variant == variant for gap in gaps):
            sentences.append(f"The deepest and the shallowest {variant} nets have no seed in common.")
    return sentences


def unmatched(cells: Sequence[Cell]) -> Iterator[str]:
    """Yield a sentence for each plain and residual network that differ in parameters, as with projections (options B and C)."""
    plain_counts = {cell.depth: cell.parameters for cell in cells if cell.variant == "plain"}
    for cell in cells:
        residual, plain = cell.parameters, plain_counts.get(cell.depth)
        if cell.variant != "plain" and residual is not None and plain is not None and residual != plain:
            yield (
                f"{cell.variant}-{cell.depth} and plain-{cell.depth} are not a matched pair: projections add "
                f"{residual - plain:,} parameters ({residual:,} against {plain:,})."
            )
