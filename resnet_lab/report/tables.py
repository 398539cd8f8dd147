"""A comparison as tables, for the report and for the terminal."""

from resnet_lab.compare import Cell, Comparison, Spread, points
from resnet_lab.report.blocks import Table


def error_table(comparison: Comparison) -> Table:
    """Errors by depth, plain beside residual; the table that the terminal shows as well."""
    depths = sorted({cell.depth for cell in comparison.cells})
    cells = {(cell.kind, cell.depth): cell for cell in comparison.cells}
    columns = ("train", "test")
    header = ("depth", *(f"{kind} {column}" for kind in ("plain", "residual") for column in columns), "seeds")
    rows = []
    for depth in depths:
        pair = cells.get(("plain", depth)), cells.get(("residual", depth))
        errors = [text for cell in pair for text in _errors_of(cell)]
        seeds = [str(len(cell.seeds)) if cell else "0" for cell in pair]
        rows.append((str(depth), *errors, seeds[0] if seeds[0] == seeds[1] else " / ".join(seeds)))
    for gap_name, values in _gap_rows(comparison):
        rows.append((gap_name, *values, ""))
    return Table(
        "Error in percent at the last evaluation: clean training error, and test error; mean and standard deviation over seeds "
        "where there are several; differences in points.",
        header,
        tuple(rows),
    )


def _errors_of(cell: Cell | None) -> tuple[str, str]:
    return ("-", "-") if cell is None else (spread(cell.train_error), spread(cell.test_error))


def spread(value: Spread) -> str:
    """A number of percent, with the deviation over seeds where there is one."""
    return f"{100 * value.mean:.2f}" + ("" if value.deviation is None else f" ± {100 * value.deviation:.2f}")


def _gap_rows(comparison: Comparison) -> list[tuple[str, tuple[str, ...]]]:
    """Deepest minus shallowest in points: one row, or one a kind where the depths differ."""
    rows: dict[str, dict[str, tuple[str, str]]] = {}
    for gap in comparison.gaps:
        mean = [points(sum(gaps) / len(gaps)) for gaps in (gap.train_gaps, gap.test_gaps)]
        rows.setdefault(f"{gap.deep} minus {gap.shallow}", {})[gap.kind] = (mean[0], mean[1])
    return [(name, (*by_kind.get("plain", ("-", "-")), *by_kind.get("residual", ("-", "-")))) for name, by_kind in rows.items()]
