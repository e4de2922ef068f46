"""What one part of a check says, and the time that all parts share."""

import time
from typing import NamedTuple


class CheckVerdict(NamedTuple):
    """The end of one part of a check."""

    exit_code: int | None
    """0 if it holds; None if it was stopped at the time limit."""
    stdout: str
    """What it printed, or what is said of it."""
    stderr: str
    """What it printed as errors."""
    reason: str | None
    """Why it does not hold; None if it does."""
    share: float | None = None
    """Share of it that holds, where it can be counted."""


class Deadline:
    """The time limit of a whole check.

    Args:
        limit_s: Seconds from now.
    """

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._end_ns = time.monotonic_ns() + int(limit_s * 1e9)

    def left_s(self) -> float:
        """Return the seconds that are left, 0 if none are."""
        return max(0.0, (self._end_ns - time.monotonic_ns()) / 1e9)
