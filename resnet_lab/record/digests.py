"""What tells the images of one folder from those of another."""

from pathlib import Path
from typing import NamedTuple


class Digests(NamedTuple):
    """What tells a folder's images from others: sha256 of their names, and of their names and sizes."""

    names: str
    files: str


class Begun(NamedTuple):
    """A run, or a study, that has begun on a folder of images."""

    run: Path
    digests: Digests
