"""Time as an argument: the parts that need a clock are handed one, so that tests can hand in theirs."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Clock:
    """Two clocks: one for when something happened, the other for how long it took."""

    wall_ns: Callable[[], int] = time.time_ns
    """Nanoseconds since the Unix epoch; may jump."""
    mono_ns: Callable[[], int] = time.monotonic_ns
    """Nanoseconds from an arbitrary start; never goes back."""


def rfc3339(wall_ns: int) -> str:
    """Return a wall-clock instant as RFC 3339 in UTC with microseconds.

    >>> rfc3339(1_781_641_074_018_549_000)
    '2026-06-16T20:17:54.018549Z'
    """
    seconds, rest_ns = divmod(wall_ns, 1_000_000_000)
    instant = datetime.fromtimestamp(seconds, UTC)
    return f"{instant:%Y-%m-%dT%H:%M:%S}.{rest_ns // 1000:06d}Z"


def milliseconds(duration_ns: int) -> float:
    """Return a duration in milliseconds, rounded to the microsecond."""
    return round(duration_ns / 1_000_000, 3)
