"""Time as an argument: the parts that need a clock are handed one, so that tests can hand in theirs."""

import time
from collections.abc import Callable
from dataclasses import dataclass

_EXACT_NS = 10**15
"""Below this, as milliseconds, a float tells a tie from what is a nanosecond beside it."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Two clocks: one for when something happened, the other for how long it took."""

    wall_ns: Callable[[], int] = time.time_ns
    """Nanoseconds since the Unix epoch; may jump."""
    mono_ns: Callable[[], int] = time.monotonic_ns
    """Nanoseconds from an arbitrary start; never goes back."""


def milliseconds(duration_ns: int) -> float:
    """Return a duration in milliseconds, rounded to the microsecond."""
    microseconds, rest_ns = divmod(duration_ns, 1000)
    if rest_ns == 500 or not 0 <= duration_ns < _EXACT_NS:
        return round(duration_ns / 1_000_000, 3)
    # The same number three times as fast: what is no tie rounds alike, whoever does it.
    return (microseconds + (rest_ns > 500)) / 1000
