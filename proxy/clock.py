"""Time as an argument: the parts that need a clock are handed one, so that tests can hand in theirs."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clock:
    """Two clocks: one for when something happened, the other for how long it took."""

    wall_ns: Callable[[], int] = time.time_ns
    """Nanoseconds since the Unix epoch; may jump."""
    mono_ns: Callable[[], int] = time.monotonic_ns
    """Nanoseconds from an arbitrary start; never goes back."""


def milliseconds(duration_ns: int) -> float:
    """Return a duration in milliseconds, rounded to the microsecond."""
    return round(duration_ns / 1_000_000, 3)
