"""The tables of a comparison, for the report and the terminal."""

from collections.abc import Sequence

from resnet_lab.config.terms import KINDS, VARIANTS
from resnet_lab.presentation.blocks import Table
from resnet_lab.study.cases import Case
from resnet_lab.study.cells import Cell
from resnet_lab.study.compare import Comparison
from resnet_lab.study.spread import FEWEST_FOR_INTERVAL, Spread
from resnet_lab.text import printable

NO_INTERVAL = f"Intervals require at least {FEWEST_FOR_INTERVAL} seeds and are omitted otherwise."


def error_table(comparison: Comparison, *, best: bool = False) -> Table:
    """Errors in percent by depth, plain and residual side by side; with `best` also the lowest test error over time.

    With several shortcut options, each network has its own row instead, which keeps the table narrow.
    """
    selection = " Best test: the lowest over time, optimistic because it is selected on the test set." if best else ""
    ten_views = any(run.config.evaluation.final_test_views == 10 for run in comparison.runs)
    views = " averaged over ten crops of each image (earlier evaluations, as in the curves, use the central crop)"
    caption = (
        f"Error in percent at the last evaluation: clean training error, and test error{views if ten_views else ''}; mean and "
        f"standard deviation over seeds if there are several.{selection}"
    )
    if any(cell.variant not in KINDS for cell in comparison.cells):
        header = ("network", "train", "test", *(["best test"] if best else []), "seeds")
        ordered = sorted(comparison.cells, key=lambda cell: (VARIANTS.index(cell.variant), cell.depth))
        rows = [(f"{cell.variant}-{cell.depth}", *_errors_of(cell, best=best), str(len(cell.seeds))) for cell in ordered]
    else:
        header, rows = _pair_rows(comparison, best=best)
    return Table(caption, header, tuple(rows))


def _pair_rows(comparison: Comparison, *, best: bool) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and rows of a table with one row per depth, plain and residual side by side."""
    depths = sorted({cell.depth for cell in comparison.cells})
    cells = {(cell.variant, cell.depth): cell for cell in comparison.cells}
    columns = ("train", "test", *(["best test"] if best else []))
    header = ("depth", *(f"{kind} {column}" for kind in KINDS for column in columns), "seeds")
    rows: list[tuple[str, ...]] = []
    for depth in depths:
        pair = [cells.get((kind, depth)) for kind in KINDS]
        errors = [text for cell in pair for text in _errors_of(cell, best=best)]
        seeds = [str(len(cell.seeds)) if cell else "0" for cell in pair]
        rows.append((str(depth), *errors, seeds[0] if len(set(seeds)) == 1 else " / ".join(seeds)))
    return header, rows


def study_table(comparisons: Sequence[Comparison]) -> Table:
    """Errors in percent of each network in each of several studies."""
    found = [(cell, comparison.study.name) for comparison in comparisons for cell in comparison.cells]
    found.sort(key=lambda item: (VARIANTS.index(item[0].variant), item[0].depth))
    rows = [
        (f"{cell.variant}-{cell.depth}", printable(name), *_errors_of(cell, best=False), str(len(cell.seeds)))
        for cell, name in found
    ]
    caption = (
        "Error in percent at the last evaluation in each study; mean and standard deviation over seeds if there are several."
    )
    return Table(caption, ("network", "study", "train", "test", "seeds"), tuple(rows))


def _errors_of(cell: Cell | None, *, best: bool) -> tuple[str, ...]:
    shown = () if cell is None else (cell.train_error, cell.test_error, cell.best_test_error)[: 3 if best else 2]
    return tuple(map(spread, shown)) if shown else ("-",) * (3 if best else 2)


def spread(value: Spread) -> str:
    """The mean in percent, with the standard deviation over seeds if there are several."""
    return f"{100 * value.mean:.2f}" + ("" if value.deviation is None else f" ± {100 * value.deviation:.2f}")


def interval_table(comparison: Comparison) -> Table:
    """Errors in percent of every variant and depth with 95 % intervals, and the runs not included."""
    rows = tuple(
        (
            f"{cell.variant}-{cell.depth}",
            str(len(cell.seeds)),
            *(with_interval(value, "{:.2f}") for value in (cell.train_error, cell.test_error)),
            "-" if cell.running_train_error is None else with_interval(cell.running_train_error, "{:.2f}"),
            ", ".join(cell.lost) or "none",
        )
        for cell in comparison.cells
    )
    header = ("network", "seeds", "clean training error", "test error", "running training error", "diverged or failed")
    few = any(len(cell.seeds) < FEWEST_FOR_INTERVAL for cell in comparison.cells)
    caption = "Mean error in percent at the last evaluation, with Student's 95 % interval over seeds."
    return Table(f"{caption} {NO_INTERVAL}" if few else caption, header, rows)


def difference_table(comparison: Comparison) -> Table:
    """Paired differences in points: deeper minus shallower, residual minus plain, and the interaction."""
    rows = tuple(
        (
            difference.name,
            str(len(difference.seeds)),
            *(with_interval(value, "{:+.2f}") for value in (difference.train_error, difference.test_error)),
        )
        for difference in comparison.differences
    )
    few = any(len(difference.seeds) < FEWEST_FOR_INTERVAL for difference in comparison.differences)
    caption = "Differences in percentage points, paired over seeds, with Student's 95 % interval."
    if comparison.study.design is not None:
        caption += " These are for a single look; the verdict, at several looks, rests on wider ones."
    if comparison.interaction is not None:
        caption += " Interaction: the residual difference (deep minus shallow) minus the plain one."
    return Table(f"{caption} {NO_INTERVAL}" if few else caption, ("difference", "seeds", "training error", "test error"), rows)


def case_table(comparison: Comparison, *, narrow: bool = False) -> Table:
    """The networks with varied settings: errors, change against the base, and the share of the degradation that is removed.

    With `narrow`, test errors and numbers of seeds are left out.
    """
    columns = {
        "network": [case.network for case in comparison.cases],
        "varied": [case.label for case in comparison.cases],
        "seeds": [str(len(case.seeds)) for case in comparison.cases],
        "training error": ["-" if case.train_error is None else spread(case.train_error) for case in comparison.cases],
        "test error": ["-" if case.test_error is None else spread(case.test_error) for case in comparison.cases],
        "change": [
            "-" if case.against_base is None else with_interval(case.against_base.change, "{:+.2f}") for case in comparison.cases
        ],
        "effect": [case.effect for case in comparison.cases],
        "gap removed": [_removed(case) for case in comparison.cases],
    }
    if narrow:
        del columns["seeds"], columns["test error"]
    caption = (
        "Networks with varied settings: error in percent at the last evaluation; change of the training error against the base "
        "runs of the same network in percentage points, paired over seeds, with Student's 95 % interval; its effect; and the "
        "share of the gap between depths that is removed, for residual networks that of the plain ones."
    )
    few = any(case.against_base and len(case.against_base.seeds) < FEWEST_FOR_INTERVAL for case in comparison.cases)
    rows = tuple(zip(*columns.values(), strict=True))
    return Table(f"{caption} {NO_INTERVAL}" if few else caption, tuple(columns), rows)


def _removed(case: Case) -> str:
    """The share of the gap that is removed; for a residual network that of the plain one, and what this amounts to."""
    contrast = case.primary
    if contrast is None or contrast.removed is None or case.diverged:
        return "-"
    share = f"{100 * contrast.removed:.0f} %"
    return share if contrast is case.against_base else f"{share} of {contrast.base}'s ({contrast.effect})"


def with_interval(value: Spread, form: str) -> str:
    """A mean over seeds and its 95 % interval, see `bracketed`."""
    return bracketed(value.mean, value.interval, form)


def bracketed(mean: float, interval: tuple[float, float] | None, form: str) -> str:
    """A mean and its interval in percent or points, such as `+5.31 [+4.80, +5.82]`; without an interval, the mean alone."""
    shown = form.format(100 * mean)
    if interval is None:
        return shown
    low, high = (form.format(100 * bound) for bound in interval)
    return f"{shown} [{low}, {high}]"
