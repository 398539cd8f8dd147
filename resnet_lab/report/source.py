"""Whether a report on disk is up to date: it states the sha256 of what it was made from, which includes the code."""

import hashlib
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from resnet_lab.presentation.blocks import X
from resnet_lab.record.checksums import damaged_files, sha256_of
from resnet_lab.record.files import disk_errors
from resnet_lab.study.compare import Comparison


def source_mark(comparison: Comparison, x: X, verified: str | None) -> str:
    """The text by which a report states what it was made from: the runs' files and states, analyses, code and options.

    Raises DiskError.
    """
    study = comparison.study
    digest = hashlib.sha256(repr((study.name, study.faults, study.design, x, verified, _code())).encode())
    for run in study.runs:
        folder = run.folder
        digest.update(repr((run.name, run.state, folder.digests())).encode())
        for path in sorted((folder.path / "analysis").glob("*.json")):
            digest.update(f"{path.name} {sha256_of(path)}\n".encode())
    return f"source-sha256:{digest.hexdigest()}"


def is_made_from(mark: str, page: Path, folder: Path) -> bool:
    """Whether a page states this mark, and all files listed in its folder are as they were written. Raises DiskError."""
    with disk_errors(page):
        return page.is_file() and mark.encode() in page.read_bytes() and not any(damaged_files(folder))


@cache
def _code() -> str:
    """The sha256 of this package and the version of matplotlib."""
    digest = hashlib.sha256(version("matplotlib").encode())
    package = Path(str(files("resnet_lab")))
    for path in sorted(path for path in package.rglob("*") if path.suffix in (".py", ".css", ".js", ".jinja")):
        digest.update(f"{path.relative_to(package)} {sha256_of(path)}\n".encode())
    return digest.hexdigest()
