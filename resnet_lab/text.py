"""Numbers, durations and foreign text as people read them."""

_CONTROLS = [code for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"]
_DIRECTIONS = [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_NO_CHARACTERS = [*range(0xD800, 0xE000), 0xFFFE, 0xFFFF]  # the first are bytes of a file's name that are no UTF-8
_LONGEST = 120  # characters of a value that is shown
_TABLE = dict.fromkeys([*_CONTROLS, *_DIRECTIONS, *_NO_CHARACTERS], "\N{REPLACEMENT CHARACTER}")


def printable(text: str) -> str:
    """Text from a disk, with a replacement character for each character that acts.

    Such are those that act on a terminal or on the order of a line, and those that XML and UTF-8 do not allow.
    """
    return text.translate(_TABLE)


def shortened(value: object) -> str:
    """A value from elsewhere as Python writes it, on one line and not endless."""
    try:
        text = repr(value)
    except ValueError:  # a whole number of thousands of digits
        return "a number of too many digits"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def duration(seconds: float) -> str:
    """Seconds as people say them: `42 s`, `7 min`, `1 h 05 min`, `2.5 days`."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes / 60 / 24:.1f} days"


def percent(fraction: float) -> str:
    """A fraction as percent with two decimals, such as `8.75 %`."""
    return f"{100 * fraction:.2f} %"


def points(difference: float) -> str:
    """A difference of two fractions in signed percentage points, such as `+5.31`."""
    return f"{100 * difference:+.2f}"
