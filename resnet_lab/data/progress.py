"""How far a download is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DownloadProgress:
    """How far the download of `what` is. `seconds_left` is None until a rate has been measured."""

    what: str
    done_bytes: int
    total_bytes: int | None
    bytes_per_second: float
    seconds: float

    @property
    def seconds_left(self) -> float | None:
        """At the rate so far."""
        if self.total_bytes is None or self.bytes_per_second == 0:
            return None
        return (self.total_bytes - self.done_bytes) / self.bytes_per_second
