"""Checksums of written files: a `sha256.json` in their folder, by which later damage is found."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from resnet_lab.record.files import disk_errors, read_json, write_atomically, write_json

LIST = "sha256.json"


def write_files(folder: Path, contents: Mapping[str, bytes], option: str = "--runs") -> None:
    """Write files, given by their paths in `folder`, each atomically, then their sha256 to the list in `folder`.

    Creates missing folders. Files that no longer exist are removed from the list. Raises DiskError, which names `option`.
    """
    for name, content in contents.items():
        path = folder / name
        with disk_errors(path.parent, option):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content, option)
    digests = {name: digest for name, digest in read_json(folder / LIST).items() if file_in(folder, name) is not None}
    digests |= {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    write_json(folder / LIST, dict(sorted(digests.items())), option)


def listed_files(folder: Path) -> list[str]:
    """The names in a folder's list; none without a list."""
    return list(read_json(folder / LIST))


def damaged_files(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the name and the problem of each changed file, and of a list that cannot be read. Raises DiskError."""
    names = read_json(folder / LIST)
    if not names and (folder / LIST).exists():
        yield LIST, "cannot be read"
    for name, digest in names.items():
        path = file_in(folder, name)
        if path is None:
            yield name, "is listed but missing"
        elif sha256_of(path) != digest:
            yield name, "is damaged (its sha256 differs)"


def file_in(folder: Path, name: str) -> Path | None:
    """The file with this untrusted name in a folder; None if it does not exist or is outside the folder."""
    try:
        path = (folder / name).resolve()
        return path if path.is_file() and path.is_relative_to(folder.resolve()) else None
    except (OSError, ValueError, RuntimeError):  # too long, with a null character, or a link to itself
        return None


def sha256_of(path: Path) -> str:
    """The sha256 of a file's content. Raises DiskError."""
    with disk_errors(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
