"""Live screens of `train`, `sweep` and `runs --watch`; where the console is no terminal they print lines instead."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from resnet_lab.cli import terminal
from resnet_lab.cli.layout import fitted_table
from resnet_lab.data.progress import DownloadProgress
from resnet_lab.errors import ConfigError, DiskError
from resnet_lab.record.lines import EvalRecord, Event, TrainRecord, ValidationRecord
from resnet_lab.record.store import Follower, Run, RunFolder
from resnet_lab.record.study import Study
from resnet_lab.text import duration, percent, printable

if TYPE_CHECKING:
    from resnet_lab.record.lines import Record
    from resnet_lab.run.estimate import Forecast
    from resnet_lab.sweep.launch import Outcome
    from resnet_lab.sweep.plan import Plan

RUN_HEADER = ("run", "state", "step", "train", "test", "img/s", "left")  # rows with usual names fit 80 columns
_SWEEP_HEADER = ("run", "state", "done", "running error", "train", "test", "img/s", "left")
_BARS = "▁▂▃▄▅▆▇█"
_SPARKS = 8  # records in a sparkline
_LIVE_SECONDS, _LINE_SECONDS = 2.0, 30.0  # between updates of a live screen, and between printed lines
DAY_SECONDS = 24 * 3600


class DownloadLine:
    """Shows the progress of a download, on one line of a terminal, or as a line every ten seconds."""

    def __init__(self) -> None:
        self._shown_at = -math.inf

    def show(self, update: DownloadProgress | str) -> None:
        """Show the progress, unless it was shown just before; a notice is always printed."""
        if isinstance(update, str):
            terminal.note(update)
            return
        total, done = update.total_bytes, update.done_bytes
        finished = total is not None and done == total
        is_terminal = terminal.stderr.is_terminal
        now = time.monotonic()
        if now - self._shown_at < (0.5 if is_terminal else 10.0) and not finished:
            return
        self._shown_at = now
        share = f"{100 * done / total:.0f} % of {total / 1e6:.0f} MB" if total else f"{done / 1e6:.0f} MB"
        left = f", {duration(update.seconds_left)} left" if update.seconds_left is not None else ""
        line = f"{update.what}: {share}, {update.bytes_per_second / 1e3:,.0f} kB/s{left}"
        terminal.stderr.print(Text(line.ljust(70)), end="\r" if is_terminal and not finished else "\n")


@contextmanager
def training_screen(folder: RunFolder) -> "Iterator[TrainingScreen]":
    """The screen of one run."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(20),
        TextColumn("{task.fields[status]}"),
        console=terminal.stderr,
        disable=not terminal.stderr.is_terminal,
    ) as progress:
        yield TrainingScreen(folder, progress)


class TrainingScreen:
    """Shows the updates of a run: evaluations and events as lines, training as a progress bar, or as lines elsewhere."""

    def __init__(self, folder: RunFolder, progress: Progress) -> None:
        self._folder, self._progress = folder, progress
        self._task = None if progress.disable else progress.add_task(folder.path.name, total=None, status="")
        self._download = DownloadLine()
        self._forecast: Forecast | None = None
        self._recent: list[tuple[int, float]] = []  # images and seconds of the latest records
        self._line_at = time.monotonic()

    def show(self, update: "DownloadProgress | str | Forecast | Record | Event") -> None:
        """Show one update of the run."""
        match update:
            case TrainRecord():
                self._show_training(update)
            case EvalRecord():
                terminal.note(evaluation_line(update))
            case Event():
                self._show_event(update)
            case ValidationRecord():
                pass  # evaluations show more, and the lr shows the outcome of a plateau check
            case str() | DownloadProgress():
                self._download.show(update)
            case _:
                self._show_forecast(update)

    def _show_forecast(self, forecast: "Forecast") -> None:
        self._forecast = forecast
        model, recipe = forecast.config.model, forecast.config.recipe
        if forecast.config.data.facts.is_stand_in:
            terminal.stand_in()
        terminal.note(
            f"{self._folder.path}: {model.kind} network of depth {model.depth}, {forecast.parameters:,} parameters, "
            f"{forecast.multiply_adds / 1e6:.2f} M multiply-adds per image."
        )
        left = recipe.steps - forecast.from_step
        speed = forecast.images_per_second
        time_left = f" at about {speed:,.0f} images/s: {duration(forecast.seconds)} including evaluations" if speed else ""
        terminal.note(f"{left:,} steps{time_left}.{decoding_caveat(forecast)}")
        if forecast.seconds > DAY_SECONDS:
            terminal.note(
                "That is more than a day here; the presets quick (an hour or two) and demo (minutes) are shorter: --config quick."
            )
        if self._task is not None:
            self._progress.update(self._task, total=recipe.steps, completed=forecast.from_step)

    def _show_training(self, record: TrainRecord) -> None:
        assert self._forecast is not None
        recipe = self._forecast.config.recipe
        self._recent = [*self._recent[-9:], (record.images, record.seconds)]
        speed = sum(images for images, _ in self._recent) / max(sum(seconds for _, seconds in self._recent), 1e-9)
        left = (recipe.steps - record.step) * recipe.batch_size / speed
        rest = f"{duration(left)} left" if record.step < recipe.steps else "evaluating"
        status = f"{record.step:,}/{recipe.steps:,}  running error {percent(record.error)}  {speed:,.0f} img/s  {rest}"
        if self._task is not None:
            self._progress.update(self._task, completed=record.step, status=status)
        elif time.monotonic() - self._line_at > _LINE_SECONDS or record.step == recipe.steps:
            self._line_at = time.monotonic()
            terminal.note(f"step {status}  lr {record.lr:g}")

    def _show_event(self, event: Event) -> None:
        step = f"step {event.step:,}"
        for fault in event.detail.get("skipped", ()):
            terminal.note(f"Checkpoint skipped: {fault}.")
        changed = event.detail.get("changed")
        caveat = f" Results will not be reproduced bit for bit, since these changed: {', '.join(changed)}." if changed else ""
        sentences = {
            "resumed": f"Resuming from {step}.{caveat}",
            "preempted": f"Stopped and saved at {step}; run the same command to resume.",
            "finished": f"{self._folder.path} is finished at {step}.",
        }
        if event.name in sentences:
            terminal.note(sentences[event.name])


def evaluation_line(record: EvalRecord) -> str:
    """An evaluation as a line of text."""
    validation = "" if record.validation_error is None else f", validation {percent(record.validation_error)}"
    return (
        f"step {record.step:,}: clean training error {percent(record.train_error)}{validation}, test {percent(record.test_error)}"
    )


def decoding_caveat(forecast: "Forecast") -> str:
    """A sentence for runs on a folder of images, whose decoding a forecast does not include; otherwise empty."""
    return " Decoding the images may take longer." if forecast.config.data.facts.is_folder else ""


@contextmanager
def sweep_screen(plan: "Plan") -> "Iterator[SweepScreen]":
    """The screen of a sweep: a live table of all runs, or a line every half minute."""
    if terminal.stderr.is_terminal:
        with Live(console=terminal.stderr, auto_refresh=False) as live:
            yield SweepScreen(plan, live)
    else:
        yield SweepScreen(plan, None)


class SweepScreen:
    """Follows the runs of a sweep through their folders."""

    def __init__(self, plan: "Plan", live: Live | None) -> None:
        self._plan, self._live = plan, live
        self._follower = Follower()
        self._last: dict[RunFolder, Run] = {}
        self._shown_at = 0.0
        self._begin = time.monotonic()

    def refresh(self) -> None:
        """Read the folders and show the runs, unless that was done just before."""
        pause = _LIVE_SECONDS if self._live else _LINE_SECONDS
        if time.monotonic() - self._shown_at < pause:
            return
        self._shown_at = time.monotonic()
        runs = [self._read(run.folder) for run in self._plan.runs]
        if self._live:
            table = fitted_table(_SWEEP_HEADER, [_sweep_row(run) for run in runs], terminal.stderr.width)
            self._live.update(Group(table, Text(self._progress(runs))), refresh=True)
        else:
            terminal.note(f"{self._progress(runs)} {progress_line(runs)}")

    def _read(self, folder: RunFolder) -> Run:
        """The run as it is now, or as it was last if its folder has been deleted or cannot be read: the other runs go on."""
        try:
            self._last[folder] = self._follower.read(folder)
        except (ConfigError, DiskError):
            if folder not in self._last:
                raise
        return self._last[folder]

    def _progress(self, runs: Sequence[Run]) -> str:
        share, seconds = self._plan.progress(runs, time.monotonic() - self._begin)
        left = "" if seconds is None else f", about {duration(seconds)} left"
        speed = sum(run.images_per_second or 0.0 for run in runs if run.state == "running")
        together = f", {speed:,.0f} images/s together" if speed else ""
        return f"{100 * share:.0f} % of the work done{together}{left}."

    def ended(self, outcome: "Outcome") -> None:
        """Report that a run's process has ended."""
        run = self._read(outcome.folder)
        last = f" {evaluation_line(run.evaluations[-1])}" if run.state == "finished" and run.evaluations else ""
        terminal.note(
            f"{run.name} failed with exit code {outcome.exit_code}." if outcome.failed else f"{run.name} {run.state}.{last}"
        )
        self._shown_at = 0.0
        if self._live:
            self.refresh()


@contextmanager
def runs_screen() -> "Iterator[RunsScreen]":
    """The screen of `runs --watch`: live tables on stdout, or a line per study every half minute."""
    if terminal.stdout.is_terminal:
        with Live(console=terminal.stdout, auto_refresh=False) as live:
            yield RunsScreen(live)
    else:
        yield RunsScreen(None)


class RunsScreen:
    """Shows studies each time they have been read; `pause` is the number of seconds to wait between readings."""

    def __init__(self, live: Live | None) -> None:
        self._live = live
        self._warned = False
        self.pause = _LINE_SECONDS if live is None else _LIVE_SECONDS

    def show(self, studies: Sequence[Study]) -> None:
        """Replace the tables by those of the studies, newest first, so that a small window shows it; or print a line each."""
        if self._live is None:
            self._print_lines(studies)
            return
        parts: list[Text | Table] = []
        for study in reversed(studies):
            parts.append(Text(printable(str(study.path))))
            parts += [Text(terminal.STAND_IN, "bold red")] if study.is_stand_in else []
            parts.append(fitted_table(*study_table(study), terminal.stdout.width))
            parts += [Text(printable(fault)) for fault in study.faults]
        self._live.update(Group(*parts), refresh=True)

    def _print_lines(self, studies: Sequence[Study]) -> None:
        if not self._warned and any(study.is_stand_in for study in studies):
            self._warned = True
            terminal.stand_in()
        for study in studies:
            queue = f"; {len(study.queue)} in the queue" if study.queue else ""
            terminal.result(f"{study.path}: {progress_line(study.runs)}{queue}")


def progress_line(runs: Sequence[Run]) -> str:
    """The number of finished runs, and the steps of the running ones."""
    running = [f"{run.name} {run.step:,}/{run.config.recipe.steps:,}" for run in runs if run.state == "running"]
    finished = sum(run.state == "finished" for run in runs)
    return f"{finished} of {len(runs)} finished" + (": " + ", ".join(running) if running else "")


def run_row(run: Run) -> tuple[str, ...]:
    """A run's row in a table with RUN_HEADER: the errors are those of the last evaluation, as in `compare`."""
    return run.name, run.state, f"{run.step:,}/{run.config.recipe.steps:,}", *_measured(run)


def _measured(run: Run) -> tuple[str, str, str, str]:
    """Clean training error and test error of the last evaluation, speed, and time left."""
    speed, left = run.images_per_second, run.seconds_left
    return (
        percent(run.evaluations[-1].train_error) if run.evaluations else "-",
        percent(run.evaluations[-1].test_error) if run.evaluations else "-",
        f"{speed:,.0f}" if speed else "-",
        "-" if left is None else duration(left),
    )


def _sweep_row(run: Run) -> tuple[str, ...]:
    """A run's row in the live table of a sweep, with its last running training errors; a run that has no record is starting."""
    state = "starting" if run.state == "planned" and run.folder.log_file.exists() else run.state
    return run.name, state, f"{100 * run.step / max(run.config.recipe.steps, 1):.0f} %", sparkline(run), *_measured(run)


def sparkline(run: Run) -> str:
    """The last running training errors as bars between zero and the highest, followed by the newest one."""
    errors = [record.error for record in run.train[-_SPARKS:]]
    if not errors:
        return "-"
    highest = max(errors) or 1.0
    bars = "".join(_BARS[min(int(len(_BARS) * error / highest), len(_BARS) - 1)] for error in errors)
    return f"{bars} {100 * errors[-1]:.0f} %"


def study_table(study: Study) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The header and the rows of a study's runs, with the state in the queue of a cluster if it is known."""
    rows = [run_row(run) for run in study.runs]
    if study.queue is None:
        return RUN_HEADER, rows
    queue = study.queue
    return (*RUN_HEADER, "queue"), [(*row, queue.get(run.name, "-")) for row, run in zip(rows, study.runs, strict=True)]
