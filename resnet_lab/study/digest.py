"""The digest of a study's records, which figures and pages contain, so that outdated ones are recognised."""

import dataclasses
import hashlib
import re
from collections.abc import Callable, Iterable
from operator import attrgetter

from resnet_lab.record.lines import EvalRecord, Record, TrainRecord, ValidationRecord
from resnet_lab.record.store import Run

_VALUES: dict[type[Record], Callable[[Record], tuple[object, ...]]] = {
    kind: attrgetter(*(field.name for field in dataclasses.fields(kind) if field.name != "seconds"))
    for kind in (TrainRecord, ValidationRecord, EvalRecord)
}
_MARK = re.compile(rb"records-sha256:([0-9a-f]{64})")


def records_digest(runs: Iterable[Run]) -> str:
    """The sha256 of the names, configs and records of the runs, in order of name; seconds are left out."""
    digest = hashlib.sha256()
    for run in sorted(runs, key=lambda run: run.name):
        digest.update(f"{run.name}\n{run.config.digest()}\n".encode())
        records: list[Record] = [*run.train, *run.validation, *run.evaluations]
        for record in records:
            digest.update(f"{record.type} {_VALUES[type(record)](record)!r}\n".encode())
    return digest.hexdigest()


def mark(digest: str) -> str:
    """The text by which a file states the digest of the records that it shows."""
    return f"records-sha256:{digest}"


def read_mark(content: bytes) -> str | None:
    """The digest of the records that a file shows; None without a mark, as in files of older versions."""
    match = _MARK.search(content)
    return match[1].decode() if match else None
