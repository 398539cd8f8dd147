"""The digest of a study's records, which figures and pages carry: what was drawn of other records is known by it."""

import dataclasses
import hashlib
import re
from collections.abc import Callable, Iterable
from operator import attrgetter

from resnet_lab.record.lines import EvalRecord, Record, TrainRecord, ValidationRecord
from resnet_lab.record.store import Run

# What a record says besides the time that it took.
_SAID: dict[type[Record], Callable[[Record], tuple[object, ...]]] = {
    kind: attrgetter(*(field.name for field in dataclasses.fields(kind) if field.name != "seconds"))
    for kind in (TrainRecord, ValidationRecord, EvalRecord)
}
_MARK = re.compile(rb"records-sha256:([0-9a-f]{64})")


def records_digest(runs: Iterable[Run]) -> str:
    """The sha256 over names, configs and records of the runs, in the order of their names; seconds are left out."""
    found = hashlib.sha256()
    for run in sorted(runs, key=lambda run: run.name):
        found.update(f"{run.name}\n{run.config.digest()}\n".encode())
        records: list[Record] = [*run.train, *run.validation, *run.evaluations]
        for record in records:
            found.update(f"{record.type} {_SAID[type(record)](record)!r}\n".encode())
    return found.hexdigest()


def mark(digest: str) -> str:
    """What stands in a file that was drawn of these records."""
    return f"records-sha256:{digest}"


def marked(content: bytes) -> str | None:
    """The digest of the records that a file was drawn of; None where it has no mark, as those of older versions."""
    found = _MARK.search(content)
    return found[1].decode() if found else None
