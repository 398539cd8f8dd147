"""Text for display: durations, sizes, percentages, lists, and text from files with control characters replaced."""

from collections.abc import Sequence

NUM_SHOWN = 3  # names in an abridged list
_CONTROLS = [code for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"]
_BIDI_CONTROLS = [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_NONCHARACTERS = [*range(0xD800, 0xE000), 0xFFFE, 0xFFFF]  # surrogates stand for bytes of a file name that are not UTF-8
_REPLACEMENTS = dict.fromkeys([*_CONTROLS, *_BIDI_CONTROLS, *_NONCHARACTERS], "\N{REPLACEMENT CHARACTER}")
_MAX_SHOWN = 120  # characters of a value in a message


def printable(text: str) -> str:
    """Text from a file, made safe to display: unsafe characters become U+FFFD.

    Unsafe are terminal control characters, bidirectional controls, and characters that XML or UTF-8 does not allow.
    """
    return text.translate(_REPLACEMENTS)


def shortened(value: object) -> str:
    """The repr of a value, on one line and cut to a length that fits into a message."""
    try:
        text = repr(value)
    except ValueError:  # Python does not print integers of thousands of digits
        return "a number with too many digits"
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"


def duration(seconds: float) -> str:
    """Seconds in a readable unit: `42 s`, `7 min`, `1 h 05 min`, `2.5 days`."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes / 60 / 24:.1f} days"


def in_bytes(num_bytes: int) -> str:
    """A number of bytes in a readable unit: kB, MB or GB."""
    unit, name = (1e9, "GB") if num_bytes >= 1e9 else (1e6, "MB") if num_bytes >= 1e5 else (1e3, "kB")
    return f"{num_bytes / unit:,.1f} {name}"


def percent(fraction: float) -> str:
    """A fraction as a percentage with two decimals, such as `8.75 %`."""
    return f"{100 * fraction:.2f} %"


def points(difference: float) -> str:
    """The difference of two fractions in percentage points, signed, such as `+5.31`."""
    return f"{100 * difference:+.2f}"


def counted(number: int, noun: str) -> str:
    """A number with its noun, such as `1 run` or `2 runs`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def abridged(names: Sequence[object], total: int | None = None, *, shown: int = NUM_SHOWN, separator: str = ", ") -> str:
    """The first names, and how many more there are; `total` is their number if `names` are only the first."""
    more = (len(names) if total is None else total) - shown
    return separator.join(map(str, names[:shown])) + (f" and {more:,} more" if more > 0 else "")
