"""What is said of a study: whether it shows degradation, and what it would take to say more."""

from collections.abc import Iterator, Sequence

from resnet_lab.config.terms import PROJECTION_VARIANTS, VARIANTS
from resnet_lab.record.store import Run
from resnet_lab.study.cells import Cell
from resnet_lab.study.differences import MANY_SEEDS, Gap
from resnet_lab.text import percent, points


def verdict_on(gaps: Sequence[Gap]) -> tuple[str, ...]:
    """One sentence a variant, with the figure that decides it."""
    if not gaps:
        return ("No verdict: it takes finished runs of one kind at two depths with the same seed.",)
    return tuple(_sentence(gap) for gap in gaps)


def _sentence(gap: Gap) -> str:
    lead = {
        "shown": f"Degradation shown in {gap.variant} nets",
        "not shown": f"Degradation not shown in {gap.variant} nets",
        "undecided": f"Degradation in {gap.variant} nets undecided: needs {_more_seeds(gap.seeds_needed)}",
    }
    return (
        f"{lead[gap.degradation]}. Training error {percent(gap.shallow_train_error)} at depth {gap.shallow}, "
        f"{percent(gap.deep_train_error)} at depth {gap.deep}: {points(gap.train_error.mean)} points{_certainty(gap)}."
    )


def _more_seeds(number: int | None) -> str:
    if number is None:
        return f"more than {MANY_SEEDS} more seeds"
    return f"{number} more seed{'s' if number > 1 else ''}"


def _certainty(gap: Gap) -> str:
    count = len(gap.seeds)
    if gap.train_error.interval is None:
        return f" ({'one seed' if count == 1 else f'{count} seeds'}, too few for an interval)"
    low, high = gap.train_error.interval
    return f" (95 % interval {points(low)} to {points(high)} over {count} seeds; sign-flip test p = {gap.p_value:.3g})"


def unfinished(runs: Sequence[Run]) -> list[str]:
    """A sentence for every run that is not in the table."""
    return [
        f"{run.name} is finished, but its last evaluation is missing from metrics.jsonl: it is not in the table."
        if run.state == "finished"
        else f"{run.name} is {run.state}, at step {run.step:,} of {run.config.recipe.steps:,}, and not in the table."
        for run in runs
        if run.state != "finished" or run.final is None
    ]


def lacking(cells: Sequence[Cell], gaps: Sequence[Gap]) -> list[str]:
    """What a reader would need to see degradation that is not there."""
    sentences = []
    others = any(cell.variant in PROJECTION_VARIANTS for cell in cells)
    for variant in VARIANTS:
        depths = [cell.depth for cell in cells if cell.variant == variant]
        if not depths and (variant in PROJECTION_VARIANTS or (variant == "residual" and others)):
            continue
        if not depths:
            sentences.append(f"There is no finished {variant} run: `resnet-lab train --depth N --{variant}` makes one.")
        elif len(depths) == 1:
            sentences.append(f"There is only depth {depths[0]} of {variant} nets: another depth shows whether deeper is worse.")
        elif not any(gap.variant == variant for gap in gaps):
            sentences.append(f"The deepest and the shallowest {variant} nets share no seed.")
    return sentences


def unmatched(cells: Sequence[Cell]) -> Iterator[str]:
    """A sentence for every plain and residual network that differ in parameters, which only shortcuts of option A avoid."""
    plain = {cell.depth: cell.parameters for cell in cells if cell.variant == "plain"}
    for cell in cells:
        ours, theirs = cell.parameters, plain.get(cell.depth)
        if cell.variant != "plain" and ours is not None and theirs is not None and ours != theirs:
            yield (
                f"{cell.variant}-{cell.depth} and plain-{cell.depth} are no matched pair: its projections give the residual "
                f"network {ours - theirs:,} parameters more ({ours:,} against {theirs:,})."
            )
