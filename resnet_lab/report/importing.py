"""`resnet-lab runs import`: studies of several machines become one. Runs are copied, and checked as by `verify`."""

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from resnet_lab.errors import ConfigError, FaultError, LockedError
from resnet_lab.record.files import disk_errors
from resnet_lab.record.sequential import read_design
from resnet_lab.record.store import RunFolder
from resnet_lab.record.study import read_study, refuse_links, run_folders, study_folders, study_path
from resnet_lab.report.checks import pairs
from resnet_lab.report.verify import verify
from resnet_lab.study.cases import differing_settings

_STAGING = ".importing"  # in the runs folder, for runs that have been copied but not checked yet
_NUM_SHOWN = 5  # faults in a message


@dataclass(frozen=True)
class Imported:
    """The names of the runs that were imported into a study's folder, and of those that it had already."""

    study: Path
    runs: tuple[str, ...]
    skipped: tuple[str, ...]


def import_runs(
    root: Path, sources: Sequence[Path], name: str | None = None, show: Callable[[str], None] = lambda what: None
) -> Imported:
    """Copy the runs in these folders, of studies or of single runs, into the study `name` of the runs folder `root`.

    Without a name, it is that of the first study. A run gets its final name once it is complete and has passed the checks. All
    runs are imported or none, unless the disk fails in between. `show` is told what is being done. Raises ConfigError if the
    study has another run of this name, or if settings or images differ; FaultError, LockedError, DiskError.
    """
    found = [folder for source in sources for folder in _runs_in(source)]
    target = study_path(root, found[0].path.resolve().parent.name if name is None else name)
    _require_equal_settings([*run_folders(target), *found])
    new, skipped = _without_duplicates(found, target)
    if new:
        _copy(root, new, target, show)
    return Imported(target, tuple(folder.path.name for folder in new), tuple(skipped))


def _runs_in(source: Path) -> list[RunFolder]:
    """The run or the runs of the study in this folder. Raises ConfigError, and LockedError if a process works on one of them."""
    folders = [RunFolder(source)] if RunFolder(source).exists() else run_folders(source)
    if not folders:
        studies = ", ".join(str(folder) for folder in study_folders(source))
        raise ConfigError(
            f"{source} holds no run: "
            + (f"name the studies in it, which are {studies}." if studies else "name a study's folder.")
        )
    refuse_links(source)
    study = source.resolve().parent if RunFolder(source).exists() else source
    if read_design(study) is not None:
        raise ConfigError(
            f"The runs in {study} belong to a study that adds seeds until its verdict is decided, and its intervals hold for "
            "these seeds alone, so they are not imported. Copy the folder of the whole study instead."
        )
    for folder in folders:
        if (owner := folder.holder()) is not None:
            raise LockedError(f"{folder.path} is in use by {owner}: stop it, or import it when it has ended.")
    return folders


def _without_duplicates(found: Iterable[RunFolder], target: Path) -> tuple[list[RunFolder], list[str]]:
    """The runs that the study does not have yet, and the names of those that it has. Raises ConfigError if two differ."""
    known = {folder.path.name: folder for folder in run_folders(target)}
    new: list[RunFolder] = []
    skipped: list[str] = []
    for folder in found:
        name = folder.path.resolve().name
        other = known.setdefault(name, folder)
        if other is folder:
            new.append(folder)
        elif other.digests() == folder.digests():
            skipped.append(name)
        else:
            raise ConfigError(
                f"{other.path} and {folder.path} are the same run with different records. Import one of them into another study "
                "with --study NAME, or delete one with `resnet-lab runs rm`."
            )
    return new, skipped


def _require_equal_settings(folders: Sequence[RunFolder]) -> None:
    """Raise ConfigError unless the runs have the settings and images that the runs of a study share."""
    first, *others = sorted(folders, key=lambda folder: len(folder.config().varied))  # base runs first
    for folder in others:
        settings = differing_settings(first.config(), folder.config())
        if settings:
            raise ConfigError(
                f"{first.path} and {folder.path} cannot be runs of one study: {settings}. Import them into different "
                "studies with --study NAME."
            )
    images = {digests.names: folder.path for folder in folders if (digests := folder.read_image_digests()) is not None}
    if len(images) > 1:
        one, other, *_ = images.values()
        raise ConfigError(f"{one} and {other} cannot be runs of one study: they were trained on different images.")


def _copy(root: Path, folders: Sequence[RunFolder], target: Path, show: Callable[[str], None]) -> None:
    """Copy runs to a folder of their own, check them there, and move them to the study."""
    staging = RunFolder(root / _STAGING)
    staging.make()
    with staging.lock():
        try:
            copy = staging.path / "copy" / target.name
            with disk_errors(staging.path):
                shutil.rmtree(copy.parent, ignore_errors=True)  # of an import that was killed
                for folder in folders:
                    show(f"Copying {folder.path}")
                    shutil.copytree(folder.path, copy / folder.path.resolve().name, ignore=shutil.ignore_patterns(".*"))
            show("Checking the runs")
            _require_intact(copy, target)
            with disk_errors(target):
                target.mkdir(exist_ok=True)
                for folder in run_folders(copy):
                    folder.path.rename(target / folder.path.name)
        finally:
            shutil.rmtree(staging.path, ignore_errors=True)


def _require_intact(copy: Path, target: Path) -> None:
    """Raise FaultError if a check finds a fault in the copied runs, or in pairs of them and runs that the study has."""
    together = [run for folder in (target, copy) for run in read_study(folder).runs]
    faults = [fault for check in (*verify(copy).checks, pairs.pairs(together)) for fault in check.faults]
    problems = list(dict.fromkeys(fault.problem for fault in faults))
    if problems:
        more = (
            [f"And {len(problems) - _NUM_SHOWN:,} more; `resnet-lab verify FOLDER` lists them."]
            if len(problems) > _NUM_SHOWN
            else []
        )
        raise FaultError("\n".join(["Nothing was imported, since checks found faults:", *problems[:_NUM_SHOWN], *more]))
