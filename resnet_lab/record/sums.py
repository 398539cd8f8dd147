"""A list beside written files, `sha256.json`, by which damage to them is found later."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from resnet_lab.record.files import disk_errors, read_json, write_atomically, write_json

LIST = "sha256.json"


def write_listed(folder: Path, contents: Mapping[str, bytes], option: str = "--runs") -> None:
    """Write files by their paths in `folder`, each whole or not at all, and their sha256 into the list; making folders they need.

    Listed files that are gone leave the list. Raises DiskError, see disk_errors.
    """
    for name, content in contents.items():
        path = folder / name
        with disk_errors(path.parent, option):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content, option)
    digests = {name: digest for name, digest in read_json(folder / LIST).items() if file_in(folder, name) is not None}
    digests |= {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    write_json(folder / LIST, dict(sorted(digests.items())), option)


def listed(folder: Path) -> list[str]:
    """The files in the list; none where there is no list."""
    return list(read_json(folder / LIST))


def damaged(folder: Path) -> Iterator[tuple[str, str]]:
    """Each listed file that is not as it was written, and what is wrong with it; the list itself where it cannot be read."""
    names = read_json(folder / LIST)
    if not names and (folder / LIST).exists():
        yield LIST, "cannot be read"
    for name, digest in names.items():
        path = file_in(folder, name)
        if path is None:
            yield name, "is listed and missing"
        elif sha256_of(path) != digest:
            yield name, "is damaged (its sha256 differs)"


def file_in(folder: Path, name: str) -> Path | None:
    """The file of this name, which comes from a disk, in a folder; None where there is none, or where it lies elsewhere."""
    try:
        path = (folder / name).resolve()
        return path if path.is_file() and path.is_relative_to(folder.resolve()) else None
    except (OSError, ValueError, RuntimeError):  # too long, with a null character, or a link to itself
        return None


def sha256_of(path: Path) -> str:
    """The sha256 of a file's content. Raises DiskError."""
    with disk_errors(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
