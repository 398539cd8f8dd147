"""Studies on disk: finding folders of runs by name, and reading them."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from resnet_lab.errors import ConfigError, DiskError
from resnet_lab.record.digests import RecordedImages
from resnet_lab.record.files import disk_errors
from resnet_lab.record.sequential import Design, read_design
from resnet_lab.record.store import Run, RunFolder
from resnet_lab.text import shortened

DEFAULT_ROOT = Path("runs")
_MAX_NAME_BYTES = 255  # limit of common file systems


@dataclass(frozen=True)
class Study:
    """A study as read from its folder: its runs in order of name, and a message for each run that cannot be read.

    `queue` is the state of runs in the queue of a cluster, by name; None if it is not known. `design` says how seeds are added
    until the verdict is decided; None if they are fixed.
    """

    path: Path
    runs: tuple[Run, ...]
    faults: tuple[str, ...] = ()
    queue: Mapping[str, str] | None = None
    design: Design | None = None
    has_lost_design: bool = False

    @property
    def name(self) -> str:
        """Its folder's name."""
        return self.path.name

    @property
    def is_stand_in(self) -> bool:
        """Whether any run trains on the synthetic stand-in."""
        return any(run.is_stand_in for run in self.runs)


def study_path(root: Path, name: str) -> Path:
    """The folder of a study. Raises ConfigError if the name is not a plain folder name, or if links lead out of the folder."""
    if name in ("", ".", "..") or Path(name).name != name or not name.isprintable() or len(name.encode()) > _MAX_NAME_BYTES:
        raise ConfigError(
            f"--study expects a plain folder name of at most {_MAX_NAME_BYTES} bytes, such as first-try, got {shortened(name)}."
        )
    refuse_links(root / name)
    return root / name


def refuse_links(folder: Path) -> None:
    """Raise ConfigError if a link in a study or run leads out of it, since files would be written outside."""
    inside = os.path.realpath(folder)
    for place, folders, files in os.walk(folder):
        for path in (Path(place, name) for name in (*folders, *files)):
            if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(inside):
                raise ConfigError(f"{path} is a link that leads out of {folder}: replace it with its target.")


def study_folders(root: Path) -> list[Path]:
    """The folders in `root` that hold runs, newest last. Raises DiskError."""
    if not root.is_dir():
        return []
    with disk_errors(root):
        studies = [folder for folder in root.iterdir() if folder.is_dir() and run_folders(folder)]
    return sorted(studies, key=lambda folder: (max(map(_modified_at, run_folders(folder))), folder.name))


def run_folders(study: Path) -> list[RunFolder]:
    """The runs of a study in order of name; none if there is no such folder. Raises DiskError."""
    if not study.is_dir():
        return []
    with disk_errors(study):
        return [RunFolder(path) for path in sorted(study.iterdir()) if RunFolder(path).exists()]


def find_study(root: Path, name: str | None) -> Path:
    """The folder of the study with this name or path; the newest study in `root` without a name. Raises ConfigError."""
    studies = study_folders(root)
    if name is None:
        if not studies:
            raise ConfigError(f"There are no runs in {root}: run `resnet-lab sweep demo`, or choose another folder with --runs.")
        refuse_links(studies[-1])
        return studies[-1]
    for path in (root / name, Path(name)):
        if run_folders(path):
            refuse_links(path)
            return path if path.name else path.resolve()
    known = ", ".join(path.name for path in studies)
    if any(RunFolder(path).exists() for path in (root / name, Path(name)) if name):
        raise ConfigError(f"{name} is a run; name its study {shortened(str(Path(name).parent))}.")
    raise ConfigError(
        f"There is no study {shortened(name)} in {root}; " + (f"the studies are {known}." if known else "it has none yet.")
    )


def find_runs(root: Path, names: Sequence[str]) -> list[RunFolder]:
    """The runs with these names, without duplicates. Raises ConfigError.

    A name is `STUDY/RUN`, the path of a run, or the name or path of a study, which selects all of its runs.
    """
    selected: dict[Path, RunFolder] = {}
    for name in (name.rstrip("/") for name in names):
        single = next((RunFolder(path) for path in (root / name, Path(name)) if RunFolder(path).exists()), None)
        siblings = [folder.path.name for folder in run_folders((root / name).parent)] if "/" in name else []
        if single is None and siblings:
            raise ConfigError(
                f"There is no run {Path(name).name!r} in {(root / name).parent}; the runs are {', '.join(siblings)}."
            )
        if single is not None:
            refuse_links(single.path)
        for folder in run_folders(find_study(root, name)) if single is None else [single]:
            selected.setdefault(folder.path.resolve(), folder)
    return list(selected.values())


def read_study(path: Path, read: Callable[[RunFolder], Run] = RunFolder.read) -> Study:
    """Read the study in a folder, each run with `read`, such as `Follower().read`."""
    runs, faults = [], []
    for folder in run_folders(path):
        try:
            runs.append(read(folder))
        except (ConfigError, DiskError) as error:
            reason = str(error).replace(f"{path}/", "")  # reports must not contain paths of this machine
            faults.append(f"{folder.path.name} cannot be read: {reason}")
    design, is_lost = None, False
    try:
        design = read_design(path)
    except ConfigError as error:
        is_lost = True
        faults.append(str(error).replace(f"{path}/", ""))
    return Study(path, tuple(runs), tuple(faults), design=design, has_lost_design=is_lost)


def recorded_images(folders: Iterable[RunFolder]) -> RecordedImages | None:
    """The images recorded by the first of these runs that has started on a folder of images; None if none has."""
    recorded = ((folder.path, folder.read_image_digests()) for folder in folders)
    return next((RecordedImages(path, digests) for path, digests in recorded if digests is not None), None)


def _modified_at(folder: RunFolder) -> float:
    files = (folder.path / name for name in ("config.json", "metrics.jsonl", "events.jsonl"))
    return max((path.stat().st_mtime for path in files if path.exists()), default=0.0)
