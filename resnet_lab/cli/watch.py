"""Following runs that other processes train: poll their folders until they have ended, or until Ctrl-C."""

import contextlib
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import typer

from resnet_lab.record.study import Study

PATIENCE_SECONDS = 60.0  # to wait for planned runs while none is running; a sweep starts its next run sooner


def poll(read: Callable[[], Sequence[Study]], pause: float) -> Iterator[Sequence[Study]]:
    """Yield what `read` returns every `pause` seconds, until no run is running or queued, or soon to start."""
    waited = 0.0
    while True:
        studies = read()
        yield studies
        states = {run.state for study in studies for run in study.runs}
        is_active = "running" in states or any(study.queue for study in studies)
        waited = 0.0 if is_active else waited + pause
        if not is_active and ("planned" not in states or waited > PATIENCE_SECONDS):
            return
        time.sleep(pause)


@contextlib.contextmanager
def exits_on_ctrl_c() -> Iterator[None]:
    """Exit silently with code 130 on Ctrl-C, with the terminal as it was."""
    previous = signal.getsignal(signal.SIGINT)
    if previous is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    finally:
        signal.signal(signal.SIGINT, previous)


def fingerprint(studies: Iterable[Study]) -> list[object]:
    """A value that changes when a run's state or one of its JSON files changes."""
    values: list[object] = []
    for study in studies:
        values += study.faults
        for run in study.runs:
            values.append((run.folder.path, run.state))
            with contextlib.suppress(OSError):  # a folder that is being removed
                files = sorted([*run.folder.path.glob("*.json"), *run.folder.path.glob("*.jsonl")])
                values += [(file.name, (status := file.stat()).st_mtime_ns, status.st_size) for file in files]
    return values
