"""Print recorded figures as the Markdown table of docs/reliability.md: `python -m tests.reliability.table FILE`."""

import json
import math
import sys
from pathlib import Path


def table(lines: list[str]) -> str:
    """A row a figure, in the order of their numbers."""
    figures = sorted((json.loads(line) for line in lines), key=_place)
    rows = [f"| {figure['figure']} | {figure['tried']} | {figure['outcome']} |" for figure in figures]
    return "\n".join(["| | tried | outcome |", "|---|---|---|", *rows])


def _place(figure: dict[str, str]) -> float:
    """The number of a figure; those of `verify`, which has none, come last."""
    number = figure["figure"]
    return int(number) if number.isdecimal() else math.inf


if __name__ == "__main__":
    sys.stdout.write(table(Path(sys.argv[1]).read_text().splitlines()) + "\n")
