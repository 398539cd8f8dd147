"""The content of a folder, so that a test can detect what has been written."""

import hashlib
import os
from pathlib import Path


def listing(folder: Path, excluded: Path | None = None) -> dict[str, str]:
    """Every file, link and folder below `folder`, with the sha256 of files; without locks and the content of `excluded`."""
    found = {}
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if Path(place, name) != excluded]
        for path in (Path(place, name) for name in (*folders, *files)):
            if path.is_symlink():
                found[str(path)] = f"link to {path.readlink()}"
            elif path.is_file() and path.name not in (".lock", ".owner.json"):
                found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
            elif path.is_dir():
                found[str(path)] = "folder"
    return found
