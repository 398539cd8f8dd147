"""Studies on disk: folders of runs, found by name and read as a whole."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from resnet_lab.errors import ConfigError, DiskError
from resnet_lab.record.digests import Begun
from resnet_lab.record.files import disk_errors
from resnet_lab.record.store import Run, RunFolder
from resnet_lab.text import shortened

DEFAULT_ROOT = Path("runs")
_LONGEST_NAME = 255  # of a file or folder on usual disks, in bytes


@dataclass(frozen=True)
class Study:
    """A study as read from its folder: its runs by name, and a sentence on each that cannot be read."""

    path: Path
    runs: tuple[Run, ...]
    faults: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its folder's name."""
        return self.path.name

    @property
    def is_stand_in(self) -> bool:
        """Whether any of its runs learns the synthetic stand-in."""
        return any(run.is_stand_in for run in self.runs)


def study_path(root: Path, name: str) -> Path:
    """The folder of a study. Raises ConfigError where the name is not one of a folder, or links lead out of it."""
    if name in ("", ".", "..") or Path(name).name != name or not name.isprintable() or len(name.encode()) > _LONGEST_NAME:
        raise ConfigError(
            f"--study takes a plain folder name of at most {_LONGEST_NAME} bytes, such as first-try, got {shortened(name)}."
        )
    refuse_links(root / name)
    return root / name


def refuse_links(folder: Path) -> None:
    """Raise ConfigError where a link in a study or a run leads out of it: what is written there would not stay inside."""
    inside = os.path.realpath(folder)
    for place, folders, files in os.walk(folder):
        for path in (Path(place, name) for name in (*folders, *files)):
            if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(inside):
                raise ConfigError(f"{path} is a link that leads out of {folder}: put what it leads to in its place.")


def study_folders(root: Path) -> list[Path]:
    """The folders in `root` that hold runs, newest last."""
    if not root.is_dir():
        return []
    with disk_errors(root):
        found = [folder for folder in root.iterdir() if folder.is_dir() and run_folders(folder)]
    return sorted(found, key=lambda folder: (max(map(_touched, run_folders(folder))), folder.name))


def run_folders(study: Path) -> list[RunFolder]:
    """The runs of a study, by name; none where there is no such folder."""
    if not study.is_dir():
        return []
    with disk_errors(study):
        return [RunFolder(path) for path in sorted(study.iterdir()) if RunFolder(path).exists()]


def find_study(root: Path, name: str | None) -> Path:
    """The folder of the study of this name, or at this path; without a name that of the newest. Raises ConfigError."""
    found = study_folders(root)
    if name is None:
        if not found:
            raise ConfigError(f"There are no runs in {root}: start with `resnet-lab sweep demo`, or name a folder with --runs.")
        refuse_links(found[-1])
        return found[-1]
    for path in (root / name, Path(name)):
        if run_folders(path):
            refuse_links(path)
            return path if path.name else path.resolve()
    known = ", ".join(path.name for path in found)
    raise ConfigError(
        f"There is no study {shortened(name)} in {root}; " + (f"there are {known}." if known else "there are none yet.")
    )


def find_runs(root: Path, names: Sequence[str]) -> list[RunFolder]:
    """The runs of these names: `STUDY/RUN`, a path to a run, or a study, which means all of its runs. Raises ConfigError."""
    found: dict[Path, RunFolder] = {}
    for name in (name.rstrip("/") for name in names):
        single = next((RunFolder(path) for path in (root / name, Path(name)) if RunFolder(path).exists()), None)
        there = [folder.path.name for folder in run_folders((root / name).parent)] if "/" in name else []
        if single is None and there:
            raise ConfigError(f"There is no run {Path(name).name!r} in {(root / name).parent}; there are {', '.join(there)}.")
        if single is not None:
            refuse_links(single.path)
        for folder in run_folders(find_study(root, name)) if single is None else [single]:
            found.setdefault(folder.path.resolve(), folder)
    return list(found.values())


def read_study(path: Path, read: Callable[[RunFolder], Run] = RunFolder.read) -> Study:
    """Read the study in a folder, each run by `read`, such as that of a Follower."""
    runs, faults = [], []
    for folder in run_folders(path):
        try:
            runs.append(read(folder))
        except (ConfigError, DiskError) as error:
            reason = str(error).replace(f"{path}/", "")  # a report does not tell where it was made
            faults.append(f"{folder.path.name} cannot be read: {reason}")
    return Study(path, tuple(runs), tuple(faults))


def begun_on_images(folders: Iterable[RunFolder]) -> Begun | None:
    """The first of these runs that has begun on a folder of images."""
    return next((Begun(folder.path, found) for folder in folders if (found := folder.read_image_digests()) is not None), None)


def _touched(folder: RunFolder) -> float:
    files = (folder.path / name for name in ("config.json", "metrics.jsonl", "events.jsonl"))
    return max(path.stat().st_mtime for path in files if path.exists())
