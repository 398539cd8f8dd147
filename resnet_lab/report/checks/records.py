"""Checks of a run's records: whole lines in order, all that are due, and steps that were repeated after a resume."""

import dataclasses
from collections.abc import Iterator, Sequence

from resnet_lab.config.schema import Plateau
from resnet_lab.record.files import read_lines
from resnet_lab.record.lines import EvalRecord, Record, TrainRecord, ValidationRecord, record_from_line, to_line
from resnet_lab.record.store import Run
from resnet_lab.report.checks.check import Check, Fault, counted, listed
from resnet_lab.report.checks.files import RESTORE, recorded

Lines = Sequence[Record | None]  # of metrics.jsonl, in its order; None for a line that is no record
_RANK = {TrainRecord.type: 0, ValidationRecord.type: 1, EvalRecord.type: 2}  # within a step


def lines_of(run: Run) -> Lines:
    """The lines of the run's metrics.jsonl."""
    return [record_from_line(line) for line in read_lines(run.folder.path / "metrics.jsonl")]


def complete(runs: Sequence[Run], lines: Sequence[Lines]) -> Check:
    """Whether records increase, apart from steps repeated after a resume, and every one that is due is there."""
    faults, torn = [], 0
    for run, own in zip(runs, lines, strict=True):
        faults += [Fault(f"{run.name}: {what}.", f"{RESTORE}.") for what in _wrong(run, own)]
        if run.state in ("interrupted", "failed") and run.evaluations and run.evaluations[-1].step == run.config.recipe.steps:
            what = f"{run.name} has its last record, and no event says that it is finished."
            faults.append(Fault(what, f"`resnet-lab train --run {run.folder.path}` finishes it."))
        torn += sum(record is None for record in own)
    number = sum(record is not None for own in lines for record in own)
    says = f"{counted(number, 'record')} read in their order, with all that are due"
    return Check("records", says + (f"; {counted(torn, 'torn line')} left out" if torn else ""), tuple(faults), number == 0)


def _wrong(run: Run, lines: Lines) -> Iterator[str]:
    resumes = _resumes(run)
    may_be_torn = len(resumes) + (run.state != "finished")  # a kill leaves one line at most in each file
    events = len(read_lines(run.folder.path / "events.jsonl")) - len(run.events)
    for name, torn in (("metrics.jsonl", sum(record is None for record in lines)), ("events.jsonl", events)):
        if torn > may_be_torn:
            yield f"{counted(torn, 'line')} of {name} cannot be read, and {counted(len(resumes), 'interruption')} recorded"
    yield from _out_of_order(lines, resumes)
    yield from _missing(run, {(record.type, record.step) for record in lines if record is not None})


def _resumes(run: Run) -> list[int]:
    """The steps from which the run went on, in order; 0 where it was started again before its first checkpoint."""
    return [event.step for event in run.events if event.name in ("started", "resumed")][1:]


def _out_of_order(lines: Lines, resumes: Sequence[int]) -> Iterator[str]:
    """Records that come after those of a later step, and no resume says why."""
    last, waiting = (-1, -1), list(resumes)
    for number, record in enumerate(lines, 1):
        if record is None:
            continue
        place = record.step, _RANK[record.type]
        if place <= last:
            at = next((index for index, step in enumerate(waiting) if step <= record.step), None)
            if at is None:
                yield f"line {number} of metrics.jsonl is of step {record.step:,}, after step {last[0]:,} and without a resume"
            else:
                del waiting[: at + 1]
        last = place


def _missing(run: Run, found: set[tuple[str, int]]) -> Iterator[str]:
    """Records that are due and missing, or there and not due, and a last step that is not the recipe's."""
    config, finished = run.config, run.state == "finished"
    end = config.recipe.steps
    reached = end if finished else max(0, run.step - 1)  # of a run that has stopped, its last step may lack some
    schedule = config.recipe.schedule
    every = {TrainRecord.type: config.log.every, EvalRecord.type: config.evaluation.every}
    every |= {ValidationRecord.type: schedule.every} if isinstance(schedule, Plateau) else {}
    for kind in _RANK:
        due = set(range(every[kind], end + 1, every[kind])) if kind in every else set()
        due |= {end} if kind == EvalRecord.type or (kind == TrainRecord.type and end > 0) else set()
        steps = {step for name, step in found if name == kind}
        lacking = sorted(step for step in due - steps if step <= reached)
        if lacking:
            yield f"{kind} records are missing of steps {listed([f'{step:,}' for step in lacking])}"
        if steps - due:
            odd = [f"{step:,}" for step in sorted(steps - due)]
            yield f"{kind} records are there of steps at which none is due: {listed(odd)}"
    last = max((step for _, step in found), default=0)
    if finished and last != end:
        yield f"it is finished, and its last record is of step {last:,}, not {end:,} (recipe.steps)"


def repeats(runs: Sequence[Run], lines: Sequence[Lines]) -> Check:
    """Whether records of one step agree in all but seconds, where exact repetition was promised."""
    agree, left_out, faults = 0, [], []
    for run, own in zip(runs, lines, strict=True):
        void, why = _void_from(run)
        first: dict[tuple[str, int], str] = {}
        differing = []
        for record in (record for record in own if record is not None):
            key, text = (record.type, record.step), to_line(dataclasses.replace(record, seconds=0.0))
            if key not in first:
                first[key] = text
            elif void is not None and record.step >= void:
                left_out.append(f"{run.name} from step {void:,} ({why})")
            elif first[key] == text:
                agree += 1
            else:
                differing.append(f"{record.type} at step {record.step:,}")
        if differing:
            what = f"{run.name}: repeated after a resume, these records came out otherwise: {listed(differing)}."
            faults.append(Fault(what, "The run is not exact from there: train it anew, and report it if it happens again."))
    says = f"{counted(agree, 'repeated record')} equal in all but seconds"
    if left_out:
        says += f"; exactness is void in {listed(list(dict.fromkeys(left_out)))}"
    nothing = not agree and not left_out and not faults
    return Check("repeats", "no step was repeated after a resume" if nothing else says, tuple(faults), nothing)


def _void_from(run: Run) -> tuple[int | None, str]:
    """The first step from which exact repetition was not promised, and why; None where it was all along."""
    if run.environment.get("deterministic") is False:
        return 0, "not deterministic"
    starts = [event for event in run.events if event.name == "started"]
    if len({recorded(event).get("environment.json", str(number)) for number, event in enumerate(starts)}) > 1:
        return 0, "started again elsewhere"  # or by an older version, which did not record where
    changed = [(event.step, event.detail["changed"]) for event in run.events if isinstance(event.detail.get("changed"), dict)]
    voids = [(step, f"changed: {listed(list(what))}") for step, what in changed if what]
    return min(voids, default=(None, ""))
