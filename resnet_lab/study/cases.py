"""What varied settings change: the error of each case against the base runs of the same network, paired over seeds."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from resnet_lab.config.durations import DURATION_KEYS
from resnet_lab.config.schema import RunConfig, differences
from resnet_lab.config.terms import VARIANTS
from resnet_lab.config.varied import VariedSettings, label
from resnet_lab.errors import ConfigError, DiskError
from resnet_lab.record.store import Run, RunFolder
from resnet_lab.study.cells import is_at_chance, is_warming_up
from resnet_lab.study.differences import MATTERS, Gap
from resnet_lab.study.spread import Spread

Effect = Literal["removes", "reduces", "raises", "no effect shown", "undecided", "diverged"]
NETWORK_KEYS = ("model.kind", "model.shortcut", "model.depth", "seed", "varied")  # in which all runs of a study may differ
_Errors = Mapping[tuple[str, int, int], float]  # training errors of base runs by variant, depth and seed
_FOLLOWED = ("recipe.steps", "recipe.batch_size")  # durations in percent follow the one, those in epochs the other
_DURATIONS = tuple(".".join(path) for path in DURATION_KEYS)


@dataclass(frozen=True)
class Contrast:
    """The training error of a case against that of the `base` network, such as plain-56, paired over `seeds`.

    `change` is the case minus the base. `gap` is the base minus the `shallow` network of its variant, over `gap_seeds`, which are
    those seeds that the shallow network has, too; None without any, or unless the base is the deepest. `degrades` is whether the
    gap over all seeds counts as degradation.
    """

    base: str
    shallow: str | None
    seeds: tuple[int, ...]
    change: Spread
    gap_seeds: tuple[int, ...]
    gap: Spread | None
    degrades: bool

    @property
    def remaining_gap(self) -> Spread | None:
        """The training error of the case minus that of the shallow network; None without a gap."""
        if self.gap is None:
            return None
        changes = dict(zip(self.seeds, self.change.values, strict=True))
        return Spread(tuple(gap + changes[seed] for seed, gap in zip(self.gap_seeds, self.gap.values, strict=True)))

    @property
    def removed(self) -> float | None:
        """The share of the mean gap that the case removes, 1 if the whole; None unless the base degrades."""
        if not self.degrades or self.gap is None or self.remaining_gap is None or self.gap.mean <= 0:
            return None
        return 1 - self.remaining_gap.mean / self.gap.mean

    @property
    def effect(self) -> Effect:
        """What the case does to the training error, by the 95 % interval of the change; undecided with fewer than three seeds.

        It reduces the error if the interval lies below zero, and removes degradation if the interval of the remaining gap also
        lies below MATTERS and below half of the gap. It raises the error if the interval lies above zero. No effect is shown if
        the interval lies within MATTERS of zero.
        """
        if self.change.interval is None:
            return "undecided"
        low, high = self.change.interval
        if high < 0:
            left = self.remaining_gap and self.remaining_gap.interval
            if self.removed is not None and self.gap and left and left[1] < min(MATTERS, self.gap.mean / 2):
                return "removes"
            return "reduces"
        if low > 0:
            return "raises"
        return "no effect shown" if max(-low, high) < MATTERS else "undecided"


@dataclass(frozen=True)
class Case:
    """The runs of one network with the same varied settings. Errors are fractions, measured at the last evaluation.

    `train_error` and `test_error` have one value per finished run, in order of `seeds`. `against_base` compares with the base
    runs of the same network; None if no base run has a common seed. `against_plain` compares a residual network with the plain
    one of the same depth, which shows how much of the plain network's degradation is left; None unless the plain network
    degrades, and for settings of the recipe, which the plain network does not share. `diverged` has the names of diverged runs,
    `at_chance` those of finished runs whose clean training error is at chance level, and `warming_up` those of finished runs
    whose warm-up never ended.
    """

    variant: str
    depth: int
    settings: VariedSettings
    seeds: tuple[int, ...]
    train_error: Spread | None
    test_error: Spread | None
    against_base: Contrast | None
    against_plain: Contrast | None
    diverged: tuple[str, ...]
    at_chance: tuple[str, ...]
    warming_up: tuple[str, ...]

    @property
    def label(self) -> str:
        """The varied settings as text, such as `lr = 0.05`."""
        return label(self.settings)

    @property
    def network(self) -> str:
        """Variant and depth, such as `plain-56`."""
        return f"{self.variant}-{self.depth}"

    @property
    def primary(self) -> Contrast | None:
        """The contrast that says what the case does about degradation: with the plain network if it degrades, else the base."""
        return self.against_plain or self.against_base

    @property
    def effect(self) -> Effect:
        """The effect against the base runs of the same network; a case with a diverged run has diverged."""
        if self.diverged:
            return "diverged"
        return "undecided" if self.against_base is None else self.against_base.effect


def with_varied_settings(runs: Sequence[Run], base: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """The runs with varied settings that have all other settings of the base runs, and a sentence on each other one."""
    chosen, sentences = [], []
    for run in (run for run in runs if run.config.varied):
        if not base:
            sentences.append(f"{run.name}: left out, the study has no run without varied settings.")
        elif others := [f"{key} = {value}" for key, _, value in other_settings(base[0].config, run.config)]:
            sentences.append(f"{run.name}: left out, different recipe ({', '.join(others)}).")
        elif not _same_images(base, run):
            sentences.append(f"{run.name}: left out, trained on different images.")
        else:
            chosen.append(run)
    return chosen, sentences


def other_settings(base: RunConfig, config: RunConfig) -> list[tuple[str, Any, Any]]:
    """The settings in which a config differs from the base and which it does not vary, with both values.

    Durations may follow varied settings.
    """
    follow = _DURATIONS if any(key in config.varied for key in _FOLLOWED) else ()
    allowed = {*NETWORK_KEYS, *config.varied, *follow}
    return [difference for difference in differences(base, config) if difference[0] not in allowed]


def differing_settings(left: RunConfig, right: RunConfig) -> str:
    """The settings in which two runs differ and those of one study must not, such as `recipe.lr is 0.1 and 0.05`; or nothing."""
    changed = other_settings(left, right)
    return "; ".join(
        f"{key} is " + " and ".join("not set" if value is None else str(value) for value in pair) for key, *pair in changed
    )


def _same_images(base: Sequence[Run], run: Run) -> bool:
    digests = {other.image_digests.names for other in (*base, run) if other.image_digests is not None}
    return len(digests) <= 1


def continued_runs(base: Sequence[Run]) -> Iterator[tuple[Run, VariedSettings]]:
    """Yield the runs that start as a network of a base run's depth built from a shallower one, and what is said of them."""
    networks = {(run.config.model.variant, run.config.model.depth) for run in base}
    for shallow in base:
        for folder in shallow.folder.all_continued():
            with contextlib.suppress(ConfigError, DiskError):
                run = folder.read()
                model = run.config.model
                if (model.variant, model.depth) in networks:
                    shallow_network = f"{shallow.config.model.family}-{shallow.config.model.depth}"
                    start = f"identity construction from {shallow_network} at step {_step_of(folder)}"
                    yield run, {"start": start, "further steps": run.config.recipe.steps}


def _step_of(continued: RunFolder) -> int:
    """The step of the shallower network from which a continued run starts, see `RunFolder.continued`."""
    return int(continued.path.name.split("-from-")[1].split("-")[0])


def cases_of(base: Sequence[Run], varied: Sequence[tuple[Run, VariedSettings]], gaps: Sequence[Gap]) -> Iterator[Case]:
    """Yield the cases that have ended runs, by variant, depth and settings; `base` are the finished base runs."""
    groups: dict[tuple[Any, ...], list[tuple[Run, VariedSettings]]] = {}
    for run, settings in sorted(varied, key=lambda item: item[0].config.seed):
        if run.state == "diverged" or (run.state == "finished" and run.final is not None):
            model = run.config.model
            key = VARIANTS.index(model.variant), model.depth, _order(settings)
            groups.setdefault(key, []).append((run, settings))
    models = [(run, run.config.model) for run in base]
    errors = {(model.variant, model.depth, run.config.seed): run.evaluations[-1].train_error for run, model in models}
    for key in sorted(groups):
        yield _case([run for run, _ in groups[key]], groups[key][0][1], errors, gaps)


def _order(settings: VariedSettings) -> tuple[Any, ...]:
    """A sort key: by the keys of the settings, then by their values, numbers in numerical order."""
    values = ((0, value, "") if isinstance(value, int | float) else (1, 0, str(value)) for value in settings.values())
    return tuple(settings), tuple(values)


def _spread(values: Iterable[float]) -> Spread | None:
    """The values as a Spread; None without any."""
    collected = tuple(values)
    return Spread(collected) if collected else None


def _case(runs: Sequence[Run], settings: VariedSettings, base: _Errors, gaps: Sequence[Gap]) -> Case:
    model = runs[0].config.model
    finished = {run.config.seed: run.evaluations[-1] for run in runs if run.state == "finished"}
    errors = {seed: record.train_error for seed, record in finished.items()}
    against_plain = None
    if model.kind == "residual" and all(key.startswith("model.") for key in settings):
        against_plain = _contrast(errors, base, "plain", model.depth, gaps)
    return Case(
        variant=model.variant,
        depth=model.depth,
        settings=settings,
        seeds=tuple(finished),
        train_error=_spread(errors.values()),
        test_error=_spread(record.test_error for record in finished.values()),
        against_base=_contrast(errors, base, model.variant, model.depth, gaps),
        against_plain=against_plain if against_plain and against_plain.degrades else None,
        diverged=tuple(run.name for run in runs if run.state == "diverged"),
        at_chance=tuple(run.name for run in runs if run.state == "finished" and is_at_chance(run)),
        warming_up=tuple(run.name for run in runs if run.state == "finished" and is_warming_up(run)),
    )


def _contrast(errors: Mapping[int, float], base: _Errors, variant: str, depth: int, gaps: Sequence[Gap]) -> Contrast | None:
    """Compare errors by seed with those of a base network; None if they have no seed in common."""
    gap = next((gap for gap in gaps if (gap.variant, gap.deep) == (variant, depth)), None)
    seeds = tuple(seed for seed in errors if (variant, depth, seed) in base)
    if not seeds:
        return None
    gap_seeds = tuple(seed for seed in seeds if gap and (variant, gap.shallow, seed) in base)
    return Contrast(
        base=f"{variant}-{depth}",
        shallow=f"{variant}-{gap.shallow}" if gap else None,
        seeds=seeds,
        change=Spread(tuple(errors[seed] - base[variant, depth, seed] for seed in seeds)),
        gap_seeds=gap_seeds,
        gap=_spread(base[variant, depth, seed] - base[variant, gap.shallow, seed] for seed in gap_seeds) if gap else None,
        degrades=gap is not None and gap.degradation == "shown",
    )
