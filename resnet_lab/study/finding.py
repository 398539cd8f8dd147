"""What a study has found, in one sentence that compares the kinds, and how sure each part of it is."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from resnet_lab.record.sequential import Design
from resnet_lab.study.cases import Case
from resnet_lab.study.differences import Gain, Gap
from resnet_lab.text import NUM_SHOWN, points

NOTHING_YET = "No finding yet: it requires finished runs of one kind at two depths with the same seed."
_SMALLEST = 0.0005  # a smaller change of the error would be displayed as 0.0 points


def finding(gaps: Sequence[Gap]) -> str:
    """How the training error changes from the shallowest to the deepest network of each variant, in one sentence per pair of
    depths.
    """
    if not gaps:
        return NOTHING_YET
    return " ".join(_sentence(*depths, list(members)) for depths, members in groupby(gaps, lambda gap: (gap.shallow, gap.deep)))


def _sentence(shallow: int, deep: int, gaps: Sequence[Gap]) -> str:
    clauses: list[str] = []
    for verb, members in groupby(gaps, _verb):
        parts = [_part(gap, verb, first=not clauses and not index) for index, gap in enumerate(members)]
        clauses.append(f"{verb} {_and(parts)}")
    return f"Going from {shallow} to {deep} layers {_and(clauses)}."


def _verb(gap: Gap) -> str:
    change = gap.train_error.mean
    return "leaves" if abs(change) < _SMALLEST else "raises" if change > 0 else "lowers"


def _part(gap: Gap, verb: str, *, first: bool) -> str:
    """The object of a verb; the first names the error and the unit."""
    error = "the training error" if first else "that"
    networks = f"{error} of {gap.variant} networks"
    if verb == "leaves":
        return f"{networks} unchanged"
    return f"{networks} by {100 * abs(gap.train_error.mean):.1f}{' points' if first else ''}"


def _and(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def between_kinds(gains: Sequence[Gain], deepest: int | None, design: Design | None) -> Iterator[str]:
    """Yield a sentence for each residual variant that compares it with the plain network at depth `deepest`.

    With a `design`, seeds were added depending on the verdict, so it states no interval, which would be for fixed seeds.
    """
    for gain in gains:
        if gain.depth != deepest:
            continue
        change = gain.train_error.mean
        side = "below" if change < 0 else "above"
        yield (
            f"{gain.variant}-{gain.depth} is {points(abs(change))[1:]} points {side} plain-{gain.depth} in training error"
            f"{'' if design else _interval(gain)}."
        )


def _interval(gain: Gain) -> str:
    if gain.train_error.interval is None:
        return ""
    low, high = gain.train_error.interval
    return f" (95 % interval of the difference {points(low)} to {points(high)})"


def by_effect(cases: Sequence[Case]) -> Iterator[str]:
    """Yield a sentence for each decided effect of varied settings and each network that it is on, with those that have it.

    The most useful effect comes first. All settings are named that remove degradation, otherwise the first ones. The effect of a
    residual network is that against the plain one, if the plain one degrades.
    """
    leads = {
        "removes": "What removes the degradation of {base}",
        "reduces": "What has a lower training error than {base}",
        "raises": "What has a higher training error than {base}",
    }
    compared = [(case, contrast) for case in cases if not case.diverged and (contrast := case.primary) is not None]
    for effect, lead in leads.items():
        for base in dict.fromkeys(contrast.base for _, contrast in compared):
            if found := [case for case, contrast in compared if (contrast.base, contrast.effect) == (base, effect)]:
                yield f"{lead.format(base=base)}: {_by_network(found, len(found) if effect == 'removes' else NUM_SHOWN)}."
    if diverged := [case for case in cases if case.diverged]:
        yield f"What diverged: {_by_network(diverged, len(diverged))}."


def _by_network(cases: Sequence[Case], shown: int) -> str:
    """The settings of the first `shown` cases, after the name of their network, such as `in plain-56 lr = 0.2; lr = 0.4`."""
    named = cases[:shown]
    groups = (
        f"in {network} {'; '.join(case.label for case in own)}" for network, own in groupby(named, lambda case: case.network)
    )
    more = len(cases) - len(named)
    return "; ".join([*groups, *([f"and {more:,} more"] if more else [])])
