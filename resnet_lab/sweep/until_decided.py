"""Sweeps that add seeds until the verdict on plain nets is decided. See `study/sequential.py` for the rule."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from resnet_lab.config.files import StudyConfig
from resnet_lab.errors import ConfigError
from resnet_lab.record.sequential import FEWEST_SEEDS, MOST_SEEDS, Design, read_design, write_design
from resnet_lab.record.store import RunFolder
from resnet_lab.record.study import read_study, run_folders
from resnet_lab.study.compare import compare
from resnet_lab.study.differences import Gap
from resnet_lab.text import shortened

DEFAULT_MAX_SEEDS = 10


@dataclass(frozen=True)
class SequentialSweep:
    """A study whose sweep adds seeds: the seeds of the next sweep, in the order in which they were added, and the design."""

    source: StudyConfig
    folder: Path
    seeds: tuple[int, ...]
    design: Design

    @property
    def study(self) -> StudyConfig:
        """The config with the seeds of the next sweep."""
        return self.source.with_seeds(self.seeds)

    def declare(self) -> None:
        """Record the design in the study's folder. Raises DiskError."""
        write_design(self.folder, self.design)

    def gap(self) -> Gap | None:
        """The gap of plain nets, which the primary verdict rests on; None if there is none yet."""
        return _plain_gap(self.folder, self.design)

    def with_look(self, gap: Gap | None) -> "SequentialSweep":
        """Record a look at this gap, unless it comes before the first; seeds added by other means join. Raises DiskError."""
        if gap is None or gap.bound is None:
            return self
        changed = replace(
            self, design=self.design.with_look(gap.seeds, gap.degradation), seeds=_distinct([*self.seeds, *gap.seeds])
        )
        changed.declare()
        return changed

    def continued(self, gap: Gap | None) -> "SequentialSweep | None":
        """With one more seed; None if the verdict on this gap is decided or the seeds are used up."""
        if (gap is not None and gap.degradation != "undecided") or len(self.seeds) >= self.design.max_seeds:
            return None
        return replace(self, seeds=_extended(self.seeds, len(self.seeds) + 1))


def begin(source: StudyConfig, folder: Path, max_seeds: int | None) -> SequentialSweep:
    """The sequence of a study, from its beginning or its recorded looks; writes nothing.

    The first look is at the config's seeds, but at three if the study has finished runs already, since it may have been looked
    at. `max_seeds` is by default the recorded number, or 10; it cannot be another one if it would be chosen after three seeds,
    from which a verdict can be seen. Raises ConfigError.
    """
    if "plain" not in source.sweep.kinds or len(source.sweep.depths) < 2:
        raise ConfigError("--until-decided compares plain nets of two depths: set sweep.kinds and sweep.depths accordingly.")
    design, depths = read_design(folder), (min(source.sweep.depths), max(source.sweep.depths))
    if design is not None and design.depths not in (None, depths):
        shallow, deep = design.depths or depths
        raise ConfigError(
            f"The verdict on {folder} compares depth {shallow} and {deep}, which was fixed before the first look: sweep these "
            "depths, or start another study with --study."
        )
    if design is None:
        first = (
            FEWEST_SEEDS if any(_is_finished(run) for run in run_folders(folder)) else max(FEWEST_SEEDS, len(source.sweep.seeds))
        )
        most = DEFAULT_MAX_SEEDS if max_seeds is None else max_seeds
        if not len(source.sweep.seeds) <= most <= MOST_SEEDS or first > most:
            fewest = max(first, len(source.sweep.seeds))
            raise ConfigError(f"--max-seeds must be from {fewest} (the first look) to {MOST_SEEDS}, got {shortened(most)}.")
        design = Design(first_look=first, max_seeds=most, depths=depths)
        if most != DEFAULT_MAX_SEEDS and _num_seeds(folder, design) >= FEWEST_SEEDS:
            raise ConfigError(
                f"--max-seeds must be chosen before {FEWEST_SEEDS} seeds have finished, since it changes the verdict; it is "
                f"{DEFAULT_MAX_SEEDS} in {folder}. Leave it out, or start another study with --study."
            )
    elif max_seeds not in (None, design.max_seeds):
        raise ConfigError(
            f"--max-seeds is {design.max_seeds} in {folder}: it was fixed before the first look, and another number would change "
            "the error rate. Leave it out, or start another study with --study."
        )
    seen = design.looks[-1].seeds if design.looks else ()
    return SequentialSweep(source, folder, _extended(_distinct([*source.sweep.seeds, *seen]), design.first_look), design)


def _num_seeds(folder: Path, design: Design) -> int:
    """The number of seeds with finished plain nets of both depths."""
    gap = _plain_gap(folder, design)
    return 0 if gap is None else len(gap.seeds)


def _plain_gap(folder: Path, design: Design) -> Gap | None:
    """The gap of plain nets, as the design compares them."""
    gaps = compare(replace(read_study(folder), design=design)).gaps
    return next((gap for gap in gaps if gap.variant == "plain"), None)


def _is_finished(folder: RunFolder) -> bool:
    end = folder.ending()
    return end is not None and end.name == "finished"


def _distinct(seeds: Iterable[int]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(seeds))


def _extended(seeds: tuple[int, ...], number: int) -> tuple[int, ...]:
    """At least this number of seeds: consecutive ones after the largest are added."""
    more = number - len(seeds)
    return (*seeds, *range(max(seeds) + 1, max(seeds) + 1 + more))
