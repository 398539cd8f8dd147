"""All checks of a study, and the file that records that it passed them."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from resnet_lab.errors import ConfigError
from resnet_lab.record.files import disk_errors, read_json, write_json
from resnet_lab.record.store import Run
from resnet_lab.record.study import read_study
from resnet_lab.report.checks import files, images, outputs, pairs, records
from resnet_lab.report.checks.check import Check
from resnet_lab.study.compare import Comparison, compare

_FILE = "verified.json"


@dataclass(frozen=True)
class Verification:
    """The results of all checks of a study; `is_active` if a process is working on one of its runs."""

    folder: Path
    records_digest: str
    checks: tuple[Check, ...]
    is_active: bool

    @property
    def passed(self) -> bool:
        """Whether no check found a fault."""
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
    """Check a study's folder; its images are looked for in `data_dir` as in training. Raises DiskError."""
    study = read_study(folder)
    comparison, runs = compare(study), study.runs
    continued, faults = _continued(runs)
    trained = [*runs, *continued]
    lines = [records.lines_of(run) for run in trained]
    checks = (
        files.identity(trained, [*study.faults, *faults]),
        files.final_files(trained),
        files.checkpoints(trained),
        files.exports(study),
        files.analyses(runs),
        records.complete(trained, lines),
        records.repeats(trained, lines),
        pairs.pairs(runs),
        images.images(runs, data_dir),
        outputs.numbers(study, comparison),
        outputs.figures(study, comparison),
    )
    return Verification(folder, comparison.records_digest, checks, any(run.state == "running" for run in trained))


def _continued(runs: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """The runs continued from networks that `analyze identity` has built from these, and a sentence on each unreadable one."""
    continued, faults = [], []
    for folder in (folder for run in runs for folder in run.folder.all_continued()):
        try:
            continued.append(folder.read())
        except ConfigError as error:
            faults.append(str(error))
    return continued, faults


def save_result(verification: Verification) -> None:
    """Write `verified.json` if all checks passed and no run is active, else remove it. Raises DiskError."""
    path = verification.folder / _FILE
    if verification.passed and not verification.is_active:
        write_json(path, verification.values())
    else:
        with disk_errors(path):
            path.unlink(missing_ok=True)


def verified_on(comparison: Comparison) -> str | None:
    """The date on which a study with these records passed all checks; None if it did not."""
    values = read_json(comparison.study.path / _FILE)
    if values.get("verified") is not True or values.get("records_sha256") != comparison.records_digest:
        return None
    try:
        return datetime.date.fromisoformat(values["date"]).isoformat()
    except (KeyError, TypeError, ValueError):
        return None
