"""Print recorded figures as the Markdown table of docs/reliability.md: `python -m tests.reliability.table FILE`."""

import json
import sys
from pathlib import Path


def table(lines: list[str]) -> str:
    """A row a figure, in the order of their numbers."""
    figures = sorted((json.loads(line) for line in lines), key=lambda figure: int(figure["figure"]))
    rows = [f"| {figure['figure']} | {figure['tried']} | {figure['outcome']} |" for figure in figures]
    return "\n".join(["| | tried | outcome |", "|---|---|---|", *rows])


if __name__ == "__main__":
    sys.stdout.write(table(Path(sys.argv[1]).read_text().splitlines()) + "\n")
