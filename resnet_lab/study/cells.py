"""A study's runs grouped by variant and depth, with their errors at the last evaluation."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from resnet_lab.config.terms import VARIANTS
from resnet_lab.record.store import Run
from resnet_lab.study.spread import Spread


@dataclass(frozen=True)
class Cell:
    """The runs of one variant and depth.

    Errors are fractions, measured at the last evaluation of each finished run, one value per seed.
    `best_test_error` is the lowest over all evaluations. It is selected on the test set, so it is shown only on request.
    `lost` lists the diverged and failed runs, `at_chance` the finished runs whose clean training error is at chance level.
    """

    variant: str
    depth: int
    seeds: tuple[int, ...]
    train_error: Spread
    test_error: Spread
    running_train_error: Spread | None
    best_test_error: Spread
    train_images: int
    parameters: int | None
    lost: tuple[str, ...]
    at_chance: tuple[str, ...]


def cells_of(runs: Sequence[Run], finished: Sequence[Run]) -> Iterator[Cell]:
    """Yield a study's cells in the order of depth and variant; `finished` is the subset of `runs` that the errors come from."""
    for depth in sorted({run.config.model.depth for run in finished}):
        for variant in VARIANTS:
            members = [run for run in finished if (run.config.model.variant, run.config.model.depth) == (variant, depth)]
            lost = [
                f"{run.name} ({run.state})"
                for run in runs
                if (run.config.model.variant, run.config.model.depth) == (variant, depth) and run.state in ("diverged", "failed")
            ]
            if members:
                yield _cell(variant, depth, sorted(members, key=lambda run: run.config.seed), lost)


def _cell(variant: str, depth: int, runs: Sequence[Run], lost: Sequence[str]) -> Cell:
    last = [run.evaluations[-1] for run in runs]
    running = [run.train[-1].error for run in runs if run.train]
    return Cell(
        variant=variant,
        depth=depth,
        seeds=tuple(run.config.seed for run in runs),
        train_error=Spread(tuple(record.train_error for record in last)),
        test_error=Spread(tuple(record.test_error for record in last)),
        running_train_error=Spread(tuple(running)) if running else None,
        best_test_error=Spread(tuple(min(record.test_error for record in run.evaluations) for run in runs)),
        train_images=last[0].train_images,
        parameters=runs[0].parameters,
        lost=tuple(lost),
        at_chance=tuple(run.name for run in runs if is_at_chance(run)),
    )


def is_at_chance(run: Run) -> bool:
    """Whether the last clean training error is that of guessing, or within two standard errors of it."""
    guess, last = run.config.data.guess_error, run.evaluations[-1]
    return last.train_error >= guess - 2 * math.sqrt(guess * (1 - guess) / last.train_images)


def is_warming_up(run: Run) -> bool:
    """Whether the lr of all records is that of the warm-up, which had thus not ended at the last step."""
    recipe = run.config.recipe
    has_warmup = run.config.model.depth >= recipe.warmup.from_depth and recipe.warmup.lr != recipe.lr
    return has_warmup and bool(run.train) and all(record.lr == recipe.warmup.lr for record in run.train)
