"""Digests that identify the images in a folder."""

from pathlib import Path
from typing import NamedTuple


class Digests(NamedTuple):
    """Identify a folder's images: sha256 of the file names, and of the file names and sizes."""

    names: str
    files: str


class RecordedImages(NamedTuple):
    """The folder images that a run or a study was trained on, as recorded by it; `run` is its folder."""

    run: Path
    digests: Digests
