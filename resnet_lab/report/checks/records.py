"""Checks of a run's records: complete, in order of step, and equal where steps were repeated after a resume."""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

from resnet_lab.config.schema import Plateau
from resnet_lab.record.files import read_lines
from resnet_lab.record.lines import EvalRecord, Record, TrainRecord, ValidationRecord, record_from_line, to_line
from resnet_lab.record.store import Run
from resnet_lab.report.checks.check import Check, Fault
from resnet_lab.report.checks.files import RESTORE, recorded_digests
from resnet_lab.text import NUM_SHOWN, abridged, counted

Lines = Sequence[Record | None]  # the lines of metrics.jsonl in file order; None for a line that is not a record
_RANK = {TrainRecord.type: 0, ValidationRecord.type: 1, EvalRecord.type: 2}  # the order of records within a step


def lines_of(run: Run) -> Lines:
    """The lines of the run's metrics.jsonl."""
    return [record_from_line(line) for line in read_lines(run.folder.path / "metrics.jsonl")]


def complete(runs: Sequence[Run], lines_of_runs: Sequence[Lines]) -> Check:
    """Whether all due records are there, in order of step except where steps were repeated after a resume."""
    faults, incomplete = [], 0
    for run, lines in zip(runs, lines_of_runs, strict=True):
        faults += [Fault(f"{run.name}: {problem}.", RESTORE) for problem in _problems(run, lines)]
        if run.state in ("interrupted", "failed") and run.evaluations and run.evaluations[-1].step == run.config.recipe.steps:
            problem = f"{run.name} has its last record, but no event that it is finished."
            faults.append(Fault(problem, f"`resnet-lab train --run {run.folder.path}` finishes it."))
        incomplete += sum(record is None for record in lines)
    number = sum(record is not None for lines in lines_of_runs for record in lines)
    detail = f"{counted(number, 'record')} checked for order and completeness"
    detail += f"; {counted(incomplete, 'incomplete line')} left out" if incomplete else ""
    return Check("records", detail, tuple(faults), number == 0)


def _problems(run: Run, lines: Lines) -> Iterator[str]:
    resumes = _resumes(run)
    allowed = len(resumes) + (run.state != "finished")  # a kill leaves at most one incomplete line in each file
    unreadable = {
        "metrics.jsonl": sum(record is None for record in lines),
        "events.jsonl": len(read_lines(run.folder.path / "events.jsonl")) - len(run.events),
    }
    for name, number in unreadable.items():
        if number > allowed:
            interruptions = counted(len(resumes), "interruption")
            yield f"{counted(number, 'line')} of {name} cannot be read, but the events record {interruptions}"
    yield from _out_of_order(lines, resumes)
    yield from _wrong_steps(run, {(record.type, record.step) for record in lines if record is not None})


def _resumes(run: Run) -> list[int]:
    """The steps at which the run was resumed, in file order; 0 if it was started again before its first checkpoint."""
    return [event.step for event in run.events if event.name in ("started", "resumed")][1:]


def _out_of_order(lines: Lines, resumes: Sequence[int]) -> Iterator[str]:
    """Records that follow those of a later step although no resume explains it."""
    last, remaining = (-1, -1), list(resumes)
    for number, record in enumerate(lines, 1):
        if record is None:
            continue
        position = record.step, _RANK[record.type]
        if position <= last:
            index = next((index for index, step in enumerate(remaining) if step <= record.step), None)
            if index is None:
                yield f"line {number} of metrics.jsonl has step {record.step:,} after step {last[0]:,} without a resume"
            else:
                del remaining[: index + 1]
        last = position


def _wrong_steps(run: Run, found: set[tuple[str, int]]) -> Iterator[str]:
    """Missing records, records at steps where none is due, and a last step that is not the recipe's."""
    config, finished = run.config, run.state == "finished"
    end = config.recipe.steps
    reached = end if finished else max(0, run.step - 1)  # the last step of a stopped run may lack records
    schedule = config.recipe.schedule
    every = {TrainRecord.type: config.log.every, EvalRecord.type: config.evaluation.every}
    every |= {ValidationRecord.type: schedule.every} if isinstance(schedule, Plateau) else {}
    for kind in _RANK:
        due = _DueSteps(every.get(kind), end, at_end=kind == EvalRecord.type or (kind == TrainRecord.type and end > 0))
        steps = {step for name, step in found if name == kind}
        first_missing, number = due.missing(steps, reached)
        if number:
            yield f"{kind} records are missing at steps {abridged([f'{step:,}' for step in first_missing], number)}"
        if not_due := sorted(step for step in steps if step not in due):
            yield f"{kind} records are not due at steps {abridged([f'{step:,}' for step in not_due])}"
    last = max((step for _, step in found), default=0)
    if finished and last != end:
        yield f"the run is finished, but its last record has step {last:,} instead of {end:,} (recipe.steps)"


class _DueSteps:
    """The steps at which records are due: every `every` steps, none if it is None, and `at_end`.

    They are not held in memory, since a damaged config may have any number of steps.
    """

    def __init__(self, every: int | None, end: int, *, at_end: bool) -> None:
        self._regular = range(0) if every is None else range(every, end + 1, every)
        self._irregular = [end] if at_end and end not in self._regular else []

    def __contains__(self, step: int) -> bool:
        return step in self._regular or step in self._irregular

    def missing(self, found: set[int], reached: int) -> tuple[list[int], int]:
        """The first due steps up to `reached` that are not in `found`, and their number."""
        regular = range(self._regular.start, min(self._regular.stop, reached + 1), self._regular.step)
        irregular = [step for step in self._irregular if step <= reached]
        number = len(regular) + len(irregular) - sum(step in regular or step in irregular for step in found)
        missing = (step for step in itertools.chain(regular, irregular) if step not in found)
        return list(itertools.islice(missing, NUM_SHOWN)), number


def repeats(runs: Sequence[Run], lines_of_runs: Sequence[Lines]) -> Check:
    """Whether repeated records of a step are equal except for seconds, as long as the run is exactly reproducible."""
    equal, left_out, faults = 0, [], []
    for run, lines in zip(runs, lines_of_runs, strict=True):
        inexact_from, reason = _inexact_from(run)
        first: dict[tuple[str, int], str] = {}
        differing = []
        for record in (record for record in lines if record is not None):
            key, text = (record.type, record.step), to_line(dataclasses.replace(record, seconds=0.0))
            if key not in first:
                first[key] = text
            elif inexact_from is not None and record.step >= inexact_from:
                left_out.append(f"{run.name} from step {inexact_from:,} ({reason})")
            elif first[key] == text:
                equal += 1
            else:
                differing.append(f"{record.type} at step {record.step:,}")
        if differing:
            problem = f"{run.name}: records repeated after a resume differ from the first ones: {abridged(differing)}."
            faults.append(Fault(problem, "The run is not reproducible: train it again, and report an issue if this recurs."))
    if not equal and not left_out and not faults:
        return Check("repeats", "no step was repeated after a resume", skipped=True)
    detail = f"{counted(equal, 'repeated record')} equal except for seconds"
    detail += f"; not exactly reproducible: {abridged(list(dict.fromkeys(left_out)))}" if left_out else ""
    return Check("repeats", detail, tuple(faults))


def _inexact_from(run: Run) -> tuple[int | None, str]:
    """The step from which the run is not exactly reproducible, and the reason; None if it is throughout."""
    if run.environment.get("deterministic") is False:
        return 0, "not deterministic"
    starts = [event for event in run.events if event.name == "started"]
    # A start by an older version has no digest, so it counts as another environment.
    if len({recorded_digests(event).get("environment.json", str(number)) for number, event in enumerate(starts)}) > 1:
        return 0, "started again in another environment"
    changes = [(event.step, event.detail["changed"]) for event in run.events if isinstance(event.detail.get("changed"), dict)]
    return min(((step, f"changed: {abridged(list(change))}") for step, change in changes if change), default=(None, ""))
