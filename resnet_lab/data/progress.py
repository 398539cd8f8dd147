"""Progress of a download."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DownloadProgress:
    """Progress of the download of `what`; `seconds` is the time since it started or was resumed."""

    what: str
    done_bytes: int
    total_bytes: int | None
    bytes_per_second: float
    seconds: float

    @property
    def seconds_left(self) -> float | None:
        """Remaining time at the measured rate; None if the rate or the total size is unknown."""
        if self.total_bytes is None or self.bytes_per_second == 0:
            return None
        return (self.total_bytes - self.done_bytes) / self.bytes_per_second
