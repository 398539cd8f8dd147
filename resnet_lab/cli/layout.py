"""Text layout for the terminal: wrapped paragraphs, and tables whose columns fit the width."""

import re
from collections.abc import Sequence

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from resnet_lab.text import printable

_NUMBER = re.compile(r"[-+]?\d(?!\d*x)|-|$")  # the start of a right-aligned cell; a size such as 3x3 is left-aligned
_WORD = re.compile(r"(?:(?:`[^`]*`|[^\s`])+|`)(?: %\S*)?")  # a percent sign stays with its number
_GAP = 2  # spaces between columns
_MIN_BROKEN = 8  # minimum width of a column whose words are broken
_STYLES = {"finished": "green", "running": "cyan", "diverged": "red", "failed": "red", "interrupted": "yellow"}


def wrapped(text: str, width: int) -> str:
    """The text with line breaks between words; words and commands in backticks are never broken."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        lines.append("")
        for word in _WORD.findall(paragraph):
            if not lines[-1]:
                lines[-1] = word
            elif cell_len(lines[-1]) + 1 + cell_len(word) <= width:
                lines[-1] += f" {word}"
            else:
                lines.append(word)
    return "\n".join(lines)


def fitted_table(header: Sequence[str], rows: Sequence[Sequence[str]], width: int, caption: str = "") -> Table:
    """A table that fits into `width` columns if possible; numbers are right-aligned, run states coloured.

    Cells are wrapped between words before words are broken. Markup in cells is shown literally.
    """
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), title=None, caption=caption or None, caption_justify="left")
    cells = [[printable(cell) for cell in row] for row in rows]
    for position, (name, column_width) in enumerate(zip(header, column_widths([header, *cells], width), strict=True)):
        numeric = position > 0 and all(_NUMBER.match(row[position]) for row in cells)
        table.add_column(Text(name), justify="right" if numeric else "left", overflow="fold", width=column_width)
    for row in cells:
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    return table


def column_widths(rows: Sequence[Sequence[str]], width: int) -> list[int | None]:
    """The width of each column of a table; the first row is the header, the first column names the rows.

    A column is as wide as its longest cell. If the table is too wide, columns shrink to their longest word; then names in the
    first column are broken, then words of the header. If the table still does not fit, every width is None, and numbers are
    broken as well.
    """
    columns = list(zip(*rows, strict=True))
    widths = [max(map(cell_len, column)) for column in columns]
    whole_words = [_longest_word(column) for column in columns]
    broken_names = [min(_MIN_BROKEN, whole_words[0]), *whole_words[1:]]
    broken_header = [
        broken_names[0],
        *(max(_longest_word(column[1:]), min(_MIN_BROKEN, _longest_word(column[:1]))) for column in columns[1:]),
    ]
    available = width - _GAP * (len(columns) - 1)
    minimum = next((minimum for minimum in (whole_words, broken_names, broken_header) if sum(minimum) <= available), None)
    if minimum is None:
        return [None] * len(columns)
    while sum(widths) > available:
        widest = max(range(len(columns)), key=lambda column: widths[column] - minimum[column])
        widths[widest] -= 1
    return list(widths)


def _longest_word(cells: Sequence[str]) -> int:
    return max((cell_len(word) for cell in cells for word in cell.split()), default=0)
