"""All checks of a study at rest, and the file that says when it passed them."""

import datetime
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from resnet_lab.record.files import disk_errors, read_json, write_json
from resnet_lab.record.study import read_study
from resnet_lab.report.checks import drawn, files, images, pairs, records
from resnet_lab.report.checks.check import Check
from resnet_lab.study.compare import Comparison, compare

_FILE = "verified.json"


@dataclass(frozen=True)
class Verification:
    """What the checks of a study have found; `is_running` where a process works on one of its runs."""

    folder: Path
    records_digest: str
    checks: tuple[Check, ...]
    is_running: bool

    @property
    def passed(self) -> bool:
        """Whether no check has found a fault."""
        return not any(check.faults for check in self.checks)

    def values(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "verified": self.passed,
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "version": version("resnet-lab"),
            "records_sha256": self.records_digest,
            "checks": [check.values() for check in self.checks],
        }


def verify(folder: Path, data_dir: Path | None = None) -> Verification:
    """Check a study's folder; `data_dir` is where its images are looked for, as in training. Raises DiskError."""
    study = read_study(folder)
    comparison, runs = compare(study), study.runs
    lines = [records.lines_of(run) for run in runs]
    checks = (
        files.identity(study),
        files.endings(runs),
        files.checkpoints(runs),
        files.exports(study),
        files.analyses(runs),
        records.complete(runs, lines),
        records.repeats(runs, lines),
        pairs.pairs(runs),
        images.images(runs, data_dir),
        drawn.numbers(study, comparison),
        drawn.figures(study, comparison),
    )
    return Verification(folder, comparison.records_digest, checks, any(run.state == "running" for run in runs))


def note_verified(found: Verification) -> None:
    """Write `verified.json` where everything passed and no run is going on; remove that of an earlier time where not.

    Raises DiskError.
    """
    path = found.folder / _FILE
    if found.passed and not found.is_running:
        write_json(path, found.values())
    else:
        with disk_errors(path):
            path.unlink(missing_ok=True)


def verified_on(folder: Path, comparison: Comparison) -> str | None:
    """The day on which a study of these very records passed; None where it did not."""
    values = read_json(folder / _FILE)
    date = values.get("date")
    is_of_these = values.get("verified") is True and values.get("records_sha256") == comparison.records_digest
    return date if is_of_these and isinstance(date, str) else None
