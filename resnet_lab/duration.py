"""Durations in words."""


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
