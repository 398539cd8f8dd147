"""Deletion of runs and studies: renamed out of sight first, so that an interrupted deletion leaves nothing half deleted."""

import contextlib
import secrets
import shutil
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from resnet_lab.errors import ConfigError, LockedError
from resnet_lab.record.files import disk_errors
from resnet_lab.record.store import RunFolder
from resnet_lab.record.study import find_runs, find_study, run_folders

_DELETED = ".deleted"  # in the runs folder; what is in it is neither a run nor a study, since those lie deeper


def find_deletable(root: Path, names: Iterable[str]) -> list[Path]:
    """The folders of the runs and studies with these names, see `find_runs`; a run of a named study is not listed again.

    Raises ConfigError, also for what is not in the runs folder `root`.
    """
    found: dict[Path, Path] = {}
    for name in names:
        folders = find_runs(root, [name])
        is_run = any(RunFolder(path).exists() for path in (root / name, Path(name)))
        path = folders[0].path if is_run else find_study(root, name.rstrip("/"))
        resolved, inside = path.resolve(), root.resolve()
        if inside != (resolved.parent.parent if is_run else resolved.parent):
            raise ConfigError(f"{path} is not in the runs folder {root}: name its runs folder with --runs.")
        found[resolved] = path
    return [path for resolved, path in found.items() if resolved.parent not in found]


def runs_in(folders: Iterable[Path]) -> list[RunFolder]:
    """The runs among these folders and in those that are studies."""
    return [run for path in folders for run in ([RunFolder(path)] if RunFolder(path).exists() else run_folders(path))]


def num_bytes(folder: Path) -> int:
    """The size of all files in a folder. Raises DiskError."""
    with disk_errors(folder):
        return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def check_free(runs: Sequence[RunFolder]) -> None:
    """Raise LockedError if a process is working on one of these runs, or trains a network for an analysis of it."""
    for folder in _held_folders(runs):
        if (owner := folder.holder()) is not None:
            raise LockedError(f"Nothing was deleted: {folder.path} is in use by {owner}; stop it first.")


def delete(root: Path, folders: Sequence[Path]) -> None:
    """Delete these folders of runs and studies in `root`, and what an interrupted deletion has left.

    Raises LockedError if a process is working on one of them, in which case nothing is deleted, and DiskError.
    """
    runs = runs_in(folders)
    check_free(runs)
    aside = root / _DELETED / secrets.token_hex(8)
    with contextlib.ExitStack() as stack, disk_errors(root):
        _lock_all(_held_folders(runs), stack)
        for number, path in enumerate(folders):
            _move(path, aside / str(number))
    shutil.rmtree(root / _DELETED, ignore_errors=True)  # another deletion may remove the same files now
    with disk_errors(root):
        if aside.exists():
            shutil.rmtree(aside)


def _lock_all(folders: Sequence[RunFolder], stack: contextlib.ExitStack) -> None:
    """Lock the runs until the stack closes, all at once: each may have to wait for an owner's heartbeat."""
    with ThreadPoolExecutor(min(len(folders) + 1, 100)) as threads:
        locks = [threads.submit(stack.enter_context, folder.lock()) for folder in folders]
    for lock in locks:
        lock.result()


def _move(path: Path, folder: Path) -> None:
    """Move a folder into another one, which is made again if a deletion in another process has just removed it."""
    for last in (False, False, True):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            path.rename(folder / path.name)
        except FileNotFoundError:
            if last or not path.exists():
                raise
        else:
            return


def _held_folders(runs: Sequence[RunFolder]) -> list[RunFolder]:
    """The runs, and the networks in their folders that analyses have trained."""
    nested = (RunFolder(path.parent) for run in runs for path in run.analysis.rglob("config.json"))
    return [*runs, *nested]
