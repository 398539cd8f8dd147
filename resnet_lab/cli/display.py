"""What people see at the terminal: tables, live progress and sentences; the only place that imports rich.

Results go to stdout, everything else to stderr. Where stderr is no terminal, live displays become plain lines.
"""

import json
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TextColumn
from rich.style import Style
from rich.table import Table
from rich.text import Text

from resnet_lab.cli import plot
from resnet_lab.data.progress import DownloadProgress
from resnet_lab.record.lines import EvalRecord, Event, TrainRecord, ValidationRecord
from resnet_lab.record.store import Follower, Run, RunFolder
from resnet_lab.record.study import Study
from resnet_lab.study.values import run_values
from resnet_lab.text import duration, percent, printable

if TYPE_CHECKING:
    from resnet_lab.record.lines import Record
    from resnet_lab.run.estimate import Forecast
    from resnet_lab.sweep.launch import Outcome
    from resnet_lab.sweep.plan import Plan

_out = Console(highlight=False, soft_wrap=True)
_err = Console(stderr=True, highlight=False)
_LIVE_SECONDS, _PLAIN_SECONDS = 2.0, 30.0
_NUMBER = re.compile(r"[-+]?\d(?!\d*x)|-|$")  # what a cell aligned right begins with; not a size such as 3x3
_WORD = re.compile(r"(?:(?:`[^`]*`|[^\s`])+|`)(?: %\S*)?")  # percent stay with their number
_GAP = 2  # between columns
_BROKEN = 8  # to what a word may be broken, where a table would not fit
_A_DAY = 24 * 3600
STAND_IN = "SYNTHETIC STAND-IN, NOT CIFAR-10: procedurally generated shapes. Nothing here is a result on CIFAR-10."
_STATE_STYLES = {"finished": "green", "running": "cyan", "diverged": "red", "failed": "red", "interrupted": "yellow"}
_STATE_STYLES |= {"ok": "green", "fault": "red"}  # of checks


def result(text: str) -> None:
    """A line of the result, as it is: a path, a command, a setting."""
    _out.print(Text(printable(text)))


def sentence(text: str) -> None:
    """A sentence of the result, at a terminal broken between words."""
    _out.print(Text(_for_reading(printable(text))))


def result_json(values: Any) -> None:
    """One JSON object on stdout."""
    print(json.dumps(values, indent=2), flush=True)


def note(text: str) -> None:
    """A sentence beside the result; a command in backticks stays on one line, to be copied."""
    _err.print(Text(_filled(printable(text), _err.width)), soft_wrap=True)


def _for_reading(text: str) -> str:
    """Of stdout: lines that a program reads stay whole."""
    return _filled(text, _out.width) if _out.is_terminal else text


def _filled(text: str, width: int) -> str:
    """The text with line breaks between words and commands in backticks, none within them."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        lines.append("")
        for word in _WORD.findall(paragraph):
            if not lines[-1]:
                lines[-1] = word
            elif cell_len(lines[-1]) + 1 + cell_len(word) <= width:
                lines[-1] += f" {word}"
            else:
                lines.append(word)
    return "\n".join(lines)


def error(text: str) -> None:
    """What went wrong."""
    _err.print(Text.assemble(("Error: ", "bold red"), printable(text)), soft_wrap=True)


def stand_in() -> None:
    """A notice that cannot be missed."""
    _err.print(Panel(Text(STAND_IN), border_style="bold red", style="bold red"))


def table(header: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> None:
    """A table on stdout; numbers are aligned right, markup in cells does nothing."""
    _out.print(_table(header, rows, _for_reading(caption), _out.width))


def curves(runs: Sequence[Run]) -> None:
    """Test and training error against steps as text, on stdout where that is a terminal that can show it."""
    if not _out.is_terminal or not _out.encoding.startswith("utf"):
        return
    lines = plot.curves(runs, _out.width)
    for line in lines:
        _out.print(Text.assemble(*((span.text, Style(color=span.colour or None, bold=span.bold)) for span in line)))
    if lines:
        result("")


def download(progress: "DownloadProgress | str") -> None:
    """How far a download is, on one line of a terminal or a line every now and then."""
    if isinstance(progress, str):
        note(progress)
        return
    total = progress.total_bytes
    done = progress.done_bytes
    now = time.monotonic()
    finished = total is not None and done == total
    pause = 0.5 if _err.is_terminal else 10.0
    if now - _download_shown[0] < pause and not finished:
        return
    _download_shown[0] = now
    share = f"{100 * done / total:.0f} % of {total / 1e6:.0f} MB" if total else f"{done / 1e6:.0f} MB"
    left = f", {duration(progress.seconds_left)} left" if progress.seconds_left is not None else ""
    line = f"{progress.what}: {share}, {progress.bytes_per_second / 1e3:,.0f} kB/s{left}"
    _err.print(Text(line.ljust(70)), end="\r" if _err.is_terminal and not finished else "\n")


_download_shown = [0.0]


@contextmanager
def training(folder: RunFolder) -> "Iterator[TrainingScreen]":
    """The screen of one run."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(20),
        TextColumn("{task.fields[said]}"),
        console=_err,
        disable=not _err.is_terminal,
    ) as progress:
        yield TrainingScreen(folder, progress)


class TrainingScreen:
    """Shows what a run says: a bar at a terminal, lines elsewhere; evaluations and events as lines in both."""

    def __init__(self, folder: RunFolder, progress: Progress) -> None:
        self._folder, self._progress = folder, progress
        self._task = None if progress.disable else progress.add_task(folder.path.name, total=None, said="")
        self._expected: Forecast | None = None
        self._rate: list[tuple[int, float]] = []
        self._line_at = time.monotonic()

    def show(self, said: "DownloadProgress | str | Forecast | Record | Event") -> None:
        """Show one thing that the run said."""
        match said:
            case TrainRecord():
                self._train(said)
            case EvalRecord():
                note(evaluation_line(said))
            case Event():
                self._event(said)
            case ValidationRecord():
                pass  # the evaluations say more, and a check's outcome is seen in the lr
            case str() | DownloadProgress():
                download(said)
            case _:
                self._forecast(said)

    def _forecast(self, expected: "Forecast") -> None:
        self._expected = expected
        model, recipe = expected.config.model, expected.config.recipe
        if expected.config.data.facts.is_stand_in:
            stand_in()
        note(
            f"{self._folder.path}: {model.kind} network of depth {model.depth}, {expected.parameters:,} parameters, "
            f"{expected.multiply_adds / 1e6:.2f} M multiply-adds an image."
        )
        left = recipe.steps - expected.from_step
        speed = expected.images_per_second
        time_left = f" at about {speed:,.0f} images/s: {duration(expected.seconds)} with evaluations" if speed else ""
        note(f"{left:,} steps{time_left}.{_decoding(expected)}")
        if expected.seconds > _A_DAY:
            note(
                "That is more than a day here: the presets quick (an hour or two) and demo (minutes) are smaller, --config quick."
            )
        if self._task is not None:
            self._progress.update(self._task, total=recipe.steps, completed=expected.from_step)

    def _train(self, record: TrainRecord) -> None:
        assert self._expected is not None
        steps = self._expected.config.recipe.steps
        self._rate = [*self._rate[-9:], (record.images, record.seconds)]
        speed = sum(images for images, _ in self._rate) / max(sum(seconds for _, seconds in self._rate), 1e-9)
        left = (steps - record.step) * self._expected.config.recipe.batch_size / speed
        rest = f"{duration(left)} left" if record.step < steps else "evaluating"
        said = f"step {record.step:,}/{steps:,}  training error {percent(record.error)}  {speed:,.0f} img/s  {rest}"
        if self._task is not None:
            self._progress.update(self._task, completed=record.step, said=said.removeprefix("step "))
        elif time.monotonic() - self._line_at > _PLAIN_SECONDS or record.step == steps:
            self._line_at = time.monotonic()
            note(f"{said}  lr {record.lr:g}")

    def _event(self, event: Event) -> None:
        step = f"step {event.step:,}"
        for fault in event.detail.get("skipped", ()):
            note(f"Checkpoint left out: {fault}.")
        sentences = {
            "resumed": f"Going on from {step}.{_changes(event)}",
            "preempted": f"Stopped and saved at {step}; the same command goes on.",
            "finished": f"{self._folder.path} is finished, {step}.",
        }
        if event.name in sentences:
            note(sentences[event.name])


def _decoding(expected: "Forecast") -> str:
    return " Decoding a folder's images may take longer." if expected.config.data.facts.is_folder else ""


def _changes(event: Event) -> str:
    changed = event.detail.get("changed")
    return f" Results will not repeat bit for bit: changed since the start: {', '.join(changed)}." if changed else ""


def evaluation_line(record: EvalRecord) -> str:
    """An evaluation in a sentence."""
    validation = "" if record.validation_error is None else f", validation {percent(record.validation_error)}"
    images = f"{record.train_images:,} image{'s' if record.train_images > 1 else ''}"
    return (
        f"step {record.step:,}: clean training error {percent(record.train_error)} ({images})"
        f"{validation}, test {percent(record.test_error)}"
    )


def show_plan(plan: "Plan", *, as_json: bool) -> None:
    """The runs of a sweep with their cost and time, longest first."""
    if as_json:
        result_json(_plan_values(plan))
        return
    rows = [
        (
            run.folder.path.name,
            run.state,
            f"{run.forecast.parameters:,}",
            f"{run.forecast.multiply_adds / 1e6:.1f} M",
            f"{run.forecast.config.recipe.steps:,}",
            duration(run.forecast.seconds),
        )
        for run in plan.runs
    ]
    header = ("run", "state", "parameters", "mult-adds", "steps", "time left")
    _err.print(_table(header, rows, "", _err.width))
    place = plan.allocation
    note(
        f"{plan.study}: {len(plan.jobs)} of {len(plan.runs)} runs to do, {place.num_jobs} at once with {place.threads} "
        f"thread{'s' if place.threads > 1 else ''} each on {place.device}: about {duration(plan.seconds)}."
        f"{_decoding(plan.runs[0].forecast)}"
    )
    if plan.seconds > _A_DAY:
        note("That is more than a day here: the presets quick (an hour or two) and demo (minutes) are smaller.")


def _plan_values(plan: "Plan") -> dict[str, Any]:
    runs = [
        {
            "run": run.folder.path.name,
            "state": run.state,
            "parameters": run.forecast.parameters,
            "multiply_adds": run.forecast.multiply_adds,
            "steps": run.forecast.config.recipe.steps,
            "seconds": run.forecast.seconds,
        }
        for run in plan.runs
    ]
    return {
        "study": plan.study.name,
        "jobs": plan.allocation.num_jobs,
        "threads": plan.allocation.threads,
        "seconds": plan.seconds,
        "runs": runs,
    }


@contextmanager
def sweeping(plan: "Plan") -> "Iterator[SweepScreen]":
    """One live table of all runs, or a line now and then where there is no terminal."""
    if _err.is_terminal:
        with Live(console=_err, auto_refresh=False) as live:
            yield SweepScreen(plan, live)
    else:
        yield SweepScreen(plan, None)


class SweepScreen:
    """Follows the runs of a sweep through their folders."""

    def __init__(self, plan: "Plan", live: Live | None) -> None:
        self._plan, self._live = plan, live
        self._follower = Follower()
        self._shown_at = 0.0
        self._begin = time.monotonic()

    def refresh(self) -> None:
        """Read the folders and show them, every two seconds at most, or every half minute as lines."""
        pause = _LIVE_SECONDS if self._live else _PLAIN_SECONDS
        if time.monotonic() - self._shown_at < pause:
            return
        self._shown_at = time.monotonic()
        runs = [self._follower.read(run.folder) for run in self._plan.runs]
        if self._live:
            table = _table(RUN_HEADER, [run_row(run) for run in runs], "", _err.width)
            self._live.update(Group(table, Text(self._total(runs))), refresh=True)
        else:
            note(f"{self._total(runs)} {progress_line(runs)}")

    def _total(self, runs: Sequence[Run]) -> str:
        share, seconds = self._plan.progress(runs, time.monotonic() - self._begin)
        return f"{100 * share:.0f} % of the work done, about {duration(seconds)} left."

    def ended(self, outcome: "Outcome") -> None:
        """A run's process has ended."""
        run = self._follower.read(outcome.folder)
        last = f" {evaluation_line(run.evaluations[-1])}" if run.state == "finished" and run.evaluations else ""
        note(f"{run.name} {run.state}.{last}" if not outcome.failed else f"{run.name} failed, exit code {outcome.exit_code}.")
        self._shown_at = 0.0
        if self._live:
            self.refresh()


def sweep_result(plan: "Plan", *, as_json: bool) -> None:
    """How the sweep ended."""
    runs = [run.folder.read() for run in plan.runs]
    if as_json:
        result_json({"study": plan.study.name, "runs": [run_values(run) for run in runs]})
    elif all(run.state == "finished" for run in runs):
        note(f"All {len(runs)} runs of {plan.study} are finished: `resnet-lab compare {plan.study}` shows them.")


RUN_HEADER = ("run", "state", "step", "train", "test", "img/s", "left")  # with its rows 80 columns for usual names


def show_runs(studies: Sequence[Study]) -> None:
    """Every study's runs as a table on stdout."""
    for study in studies:
        result(f"{study.path}")
        if study.is_stand_in:
            stand_in()
        table(RUN_HEADER, [run_row(run) for run in study.runs])
        for fault in study.faults:
            note(fault)


@contextmanager
def following() -> "Iterator[RunsScreen]":
    """Live tables of studies on stdout, or plain lines where that is no terminal."""
    if _out.is_terminal:
        with Live(console=_out, auto_refresh=False) as live:
            yield RunsScreen(live)
    else:
        yield RunsScreen(None)


class RunsScreen:
    """Shows what each look at the studies finds; `pause` is how many seconds to wait before the next."""

    def __init__(self, live: Live | None) -> None:
        self._live = live
        self._warned = False
        self.pause = _PLAIN_SECONDS if live is None else _LIVE_SECONDS

    def show(self, studies: Sequence[Study]) -> None:
        """Tables in the place of the last ones, the newest study first, where a low terminal keeps it; or a line a study."""
        if self._live is None:
            self._lines(studies)
            return
        parts: list[Text | Table] = []
        for study in reversed(studies):
            parts.append(Text(printable(str(study.path))))
            parts += [Text(STAND_IN, "bold red")] if study.is_stand_in else []
            parts += [
                _table(RUN_HEADER, [run_row(run) for run in study.runs], "", _out.width),
                *(Text(printable(fault)) for fault in study.faults),
            ]
        self._live.update(Group(*parts), refresh=True)

    def _lines(self, studies: Sequence[Study]) -> None:
        if not self._warned and any(study.is_stand_in for study in studies):
            self._warned = True
            stand_in()
        for study in studies:
            result(f"{study.path}: {progress_line(study.runs)}")


def progress_line(runs: Sequence[Run]) -> str:
    """How many runs are finished, and where those are that are running."""
    working = [f"{run.name} {run.step:,}/{run.config.recipe.steps:,}" for run in runs if run.state == "running"]
    done = sum(run.state == "finished" for run in runs)
    return f"{done} of {len(runs)} finished" + (": " + ", ".join(working) if working else "")


def run_row(run: Run) -> tuple[str, ...]:
    """A run's row under RUN_HEADER."""
    speed = run.images_per_second
    left = run.seconds_left
    return (
        run.name,
        run.state,
        f"{run.step:,}/{run.config.recipe.steps:,}",
        percent(run.train[-1].error) if run.train else "-",
        percent(run.evaluations[-1].test_error) if run.evaluations else "-",
        f"{speed:,.0f}" if speed else "-",
        "-" if left is None else duration(left),
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], caption: str, width: int) -> Table:
    """A table that fits in so many columns where it can, broken between words before it is broken within them."""
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), title=None, caption=caption or None, caption_justify="left")
    cells = [[printable(cell) for cell in row] for row in rows]
    for position, (name, room) in enumerate(zip(header, _widths([header, *cells], width), strict=True)):
        numeric = position > 0 and all(_NUMBER.match(row[position]) for row in cells)
        table.add_column(Text(name), justify="right" if numeric else "left", overflow="fold", width=room)
    for row in cells:
        table.add_row(*(Text(cell, style=_STATE_STYLES.get(cell, "")) for cell in row))
    return table


def _widths(rows: Sequence[Sequence[str]], width: int) -> list[int | None]:
    """A width for each column: that of its longest cell, less where that is too much, down to its longest word.

    Where even that is too much, names are broken, then words of the header; then None: numbers as well.
    """
    columns = list(zip(*rows, strict=True))
    widths = [max(map(cell_len, column)) for column in columns]
    words = [_longest_word(column) for column in columns]
    broken = [min(_BROKEN, words[0]), *words[1:]]
    body = [broken[0], *(max(_longest_word(column[1:]), min(_BROKEN, _longest_word(column[:1]))) for column in columns[1:])]
    left = width - _GAP * (len(columns) - 1)
    least = next((each for each in (words, broken, body) if sum(each) <= left), None)
    if least is None:
        return [None] * len(columns)
    while sum(widths) > left:
        widest = max(range(len(columns)), key=lambda place: widths[place] - least[place])
        widths[widest] -= 1
    return list(widths)


def _longest_word(cells: Sequence[str]) -> int:
    return max((cell_len(word) for cell in cells for word in cell.split()), default=0)
