"""To follow runs that go on in other processes: look again and again until they have ended, or Ctrl-C."""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import typer

from resnet_lab.record.study import Study

PATIENCE = 60.0  # seconds that planned runs are waited for while none is running: a sweep starts its next one sooner


def looks(read: Callable[[], Sequence[Study]], pause: float) -> Iterator[Sequence[Study]]:
    """What `read` finds, every `pause` seconds; the last look is that which finds no run running, and none to come."""
    waited = 0.0
    while True:
        studies = read()
        yield studies
        states = {run.state for study in studies for run in study.runs}
        waited = 0.0 if "running" in states else waited + pause
        if "running" not in states and ("planned" not in states or waited > PATIENCE):
            return
        time.sleep(pause)


@contextlib.contextmanager
def ended_by_ctrl_c() -> Iterator[None]:
    """Ctrl-C ends what is inside with exit code 130 and without a word."""
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def fingerprint(studies: Iterable[Study]) -> list[object]:
    """What changes whenever a file that a run writes does, or a run's state."""
    marks: list[object] = []
    for study in studies:
        marks += study.faults
        for run in study.runs:
            marks.append((run.folder.path, run.state))
            with contextlib.suppress(OSError):  # a folder that is being removed
                files = sorted([*run.folder.path.glob("*.json"), *run.folder.path.glob("*.jsonl")])
                marks += [(file.name, (found := file.stat()).st_mtime_ns, found.st_size) for file in files]
    return marks
