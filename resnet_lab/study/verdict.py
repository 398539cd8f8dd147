"""The verdict on a study in sentences: whether it shows degradation, and what further evidence would require."""

from collections.abc import Iterator, Sequence

from resnet_lab.config.terms import PROJECTION_VARIANTS, VARIANTS
from resnet_lab.config.varied import label
from resnet_lab.record.sequential import Design
from resnet_lab.record.store import Run
from resnet_lab.study.cases import Case, Contrast
from resnet_lab.study.cells import Cell, is_at_chance, is_warming_up
from resnet_lab.study.differences import MANY_SEEDS, Gap
from resnet_lab.study.sequential import OVERALL_ERROR
from resnet_lab.study.spread import Spread
from resnet_lab.text import abridged, counted, percent, points

CASES_AND_LOOKS = (
    "Seeds were added until the verdict on plain networks was decided. The intervals of varied settings are for a fixed number "
    "of seeds and do not allow for that."
)


def verdict_on(gaps: Sequence[Gap]) -> tuple[str, ...]:
    """One sentence per variant, with the difference that the verdict rests on."""
    if not gaps:
        return ("No verdict yet: it requires finished runs of one kind at two depths with the same seed.",)
    return tuple(_sentence(gap) for gap in gaps)


def _sentence(gap: Gap) -> str:
    lead = {
        "shown": f"Degradation shown in {gap.variant} nets",
        "not shown": f"Degradation not shown in {gap.variant} nets",
        "undecided": f"Degradation in {gap.variant} nets undecided; {_advice(gap)}",
    }
    return (
        f"{lead[gap.degradation]}. Training error {percent(gap.shallow_train_error)} at depth {gap.shallow}, "
        f"{percent(gap.deep_train_error)} at depth {gap.deep}: {points(gap.train_error.mean)} points{_gap_certainty(gap)}."
    )


def _advice(gap: Gap) -> str:
    if gap.is_withheld:
        return "it rests on repeated looks whose record, sequential.json, is not valid"
    if gap.diverged:
        return f"{', '.join(gap.diverged)} diverged"
    needed = gap.seeds_needed
    if needed is not None:
        seeds = f"{needed} more seed{'s' if needed > 1 else ''}"
        is_estimate = gap.train_error.interval is not None and gap.design is None
        return f"about {seeds} would be needed (`sweep --until-decided`)" if is_estimate else f"run {seeds}"
    if gap.design is None:
        return f"more than {MANY_SEEDS} more seeds would be needed"
    return f"more than the {gap.design.max_seeds} seeds of --max-seeds would be needed"


def _gap_certainty(gap: Gap) -> str:
    if gap.design is not None:
        return f" ({_sequential_certainty(gap, gap.design)})"
    return _certainty(gap.train_error, f"; sign-flip test p = {gap.p_value:.3g}")


def _certainty(difference: Spread, test: str = "") -> str:
    count = len(difference.values)
    if difference.interval is None:
        return f" ({'one seed' if count == 1 else f'{count} seeds'}, too few for an interval)"
    low, high = difference.interval
    return f" (95 % interval {points(low)} to {points(high)} over {count} seeds{test})"


def verdict_on_case(case: Case) -> Iterator[str]:
    """Sentences on what the varied settings of a case do to the error of its network, and to the degradation of plain nets."""
    network = f"{case.network} with {case.label}"
    if case.diverged:
        lost = len(case.diverged)
        yield f"{network} diverged in {lost} of {lost + len(case.seeds)} runs."
    elif case.against_base is None:
        yield f"The effect of {case.label} on {case.network} is undecided: no base run of the same seed has finished."
    else:
        yield _on_base(case.label, case.against_base)
        if case.against_plain is not None:
            yield _on_plain(network, case.against_plain)
    number = len(case.seeds)
    if case.at_chance:
        yield f"{len(case.at_chance)} of {number} runs ended at chance level, as if nothing had been learnt."
    if case.warming_up:
        yield f"The warm-up never ended in {len(case.warming_up)} of {number} runs: they trained with its lr throughout."


def _on_base(settings: str, contrast: Contrast) -> str:
    """What settings do to the error of the base network."""
    lead = {
        "reduces": f"{settings} lowers the training error of {contrast.base}",
        "raises": f"{settings} raises the training error of {contrast.base}",
        "no effect shown": f"No effect of {settings} on the training error of {contrast.base} is shown",
        "undecided": f"The effect of {settings} on {contrast.base} is undecided",
    }
    return _cured(settings, contrast) or f"{lead[contrast.effect]}: {_change(contrast)}."


def _on_plain(network: str, contrast: Contrast) -> str:
    """How the error of a residual network compares with that of the plain one."""
    lead = {
        "reduces": f"{network} has a lower training error than {contrast.base}",
        "raises": f"{network} has a higher training error than {contrast.base}",
        "no effect shown": f"No difference between {network} and {contrast.base} is shown",
        "undecided": f"Whether {network} has a lower training error than {contrast.base} is undecided",
    }
    return _cured(network, contrast) or f"{lead[contrast.effect]}: {_change(contrast)}."


def _cured(subject: str, contrast: Contrast) -> str | None:
    """A sentence if `subject` removes or reduces the degradation of the base network, else None."""
    base, gap, remaining = contrast.base, contrast.gap, contrast.remaining_gap
    if contrast.removed is None or gap is None or remaining is None or contrast.effect not in ("removes", "reduces"):
        return None
    left = f"{points(remaining.mean)} points{{}}{_certainty(remaining)}"
    if contrast.effect == "removes":
        left = left.format(f" from {contrast.shallow}")
        return f"{subject} removes the degradation of {base}: {left}, {points(gap.mean)} points without it."
    share = f"{100 * contrast.removed:.0f} % of the gap"
    share = f", perhaps completely ({share} on average)" if contrast.removed >= 1 else f" by {share}"
    return f"{subject} reduces the degradation of {base}{share}: {_change(contrast)}; remaining gap {left.format('')}."


def _change(contrast: Contrast) -> str:
    return f"{points(contrast.change.mean)} points{_certainty(contrast.change)}"


def _sequential_certainty(gap: Gap, design: Design) -> str:
    """How sure a verdict is that was looked at after every seed."""
    if gap.bound is None:
        return f"the first look is at {design.first_look} seeds"
    low, high = gap.bound.interval
    seeds = f"{'the first ' if gap.bound.num_seeds < len(gap.seeds) else ''}{gap.bound.num_seeds} seeds"
    looks = f"look {gap.bound.look} of at most {design.max_seeds - design.first_look + 1}"
    return (
        f"{100 * gap.bound.confidence:.1f} % interval {points(low)} to {points(high)} over {seeds}, {looks}; "
        f"error over all looks at most {100 * OVERALL_ERROR:g} %"
    )


def unfinished(runs: Sequence[Run]) -> list[str]:
    """A sentence for every run that is not in the table because it has not finished or lacks its last evaluation.

    Runs that have not started share one.
    """
    planned = [run.name for run in runs if run.state == "planned"]
    sentences = [
        f"{run.name} is not in the table: it is finished, but metrics.jsonl lacks its last evaluation."
        if run.state == "finished"
        else f"{run.name} is not in the table: {run.state} at step {run.step:,} of {run.config.recipe.steps:,}."
        for run in runs
        if run.state != "planned" and (run.state != "finished" or run.final is None)
    ]
    if planned:
        sentences.append(f"{counted(len(planned), 'planned run')} not in the table: {abridged(planned)}.")
    return sentences


def not_trained(finished: Sequence[Run]) -> Iterator[str]:
    """Yield a sentence on finished runs that learnt nothing, and one on those whose warm-up never ended."""
    if names := [run.name for run in finished if is_at_chance(run)]:
        yield f"At chance level, as if nothing had been learnt: {', '.join(names)}."
    if names := [run.name for run in finished if is_warming_up(run)]:
        yield f"Trained with the lr of the warm-up throughout, since it never ended: {', '.join(names)}."


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


def unmatched(cells: Sequence[Cell], varied: Sequence[Run] = ()) -> Iterator[str]:
    """Yield a sentence for each plain and residual network that differ in parameters, as with projections (options B and C), and
    for each network whose varied settings change the number.
    """
    plain_counts = {cell.depth: cell.parameters for cell in cells if cell.variant == "plain"}
    for cell in cells:
        residual, plain = cell.parameters, plain_counts.get(cell.depth)
        if cell.variant != "plain" and residual is not None and plain is not None and residual != plain:
            yield (
                f"{cell.variant}-{cell.depth} and plain-{cell.depth} are not a matched pair: projections add "
                f"{residual - plain:,} parameters ({residual:,} against {plain:,})."
            )
    counts = {(cell.variant, cell.depth): cell.parameters for cell in cells}
    for run in {
        (run.config.model.variant, run.config.model.depth, label(run.config.varied_settings)): run for run in varied
    }.values():
        model = run.config.model
        base = counts.get((model.variant, model.depth))
        if run.parameters is not None and base is not None and run.parameters != base:
            yield (
                f"{model.variant}-{model.depth} with {label(run.config.varied_settings)} has {run.parameters:,} parameters, "
                f"{run.parameters - base:+,} against its base runs."
            )
