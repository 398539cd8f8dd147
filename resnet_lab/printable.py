"""Text from a disk without characters that act: on a terminal, on the order of a line, or against the rules of XML and UTF-8."""

_CONTROLS = [code for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"]
_DIRECTIONS = [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_NO_CHARACTERS = [*range(0xD800, 0xE000), 0xFFFE, 0xFFFF]  # the first are bytes of a file's name that are no UTF-8
_TABLE = dict.fromkeys([*_CONTROLS, *_DIRECTIONS, *_NO_CHARACTERS], "\N{REPLACEMENT CHARACTER}")


def printable(text: str) -> str:
    """The text with a replacement character for each of these."""
    return text.translate(_TABLE)
