"""Instants as RFC 3339 text in UTC and as integer microseconds since 1970, and durations."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator, Field

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def rfc3339(wall_ns: int) -> str:
    """Return a wall-clock instant as RFC 3339 in UTC with microseconds.

    >>> rfc3339(1_781_641_074_018_549_000)
    '2026-06-16T20:17:54.018549Z'
    """
    seconds, rest_ns = divmod(wall_ns, 1_000_000_000)
    return f"{_to_the_second(seconds)}.{rest_ns // 1000:06d}Z"


@lru_cache(maxsize=16)  # the calls of one second share it
def _to_the_second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def instant_us(text: str) -> int:
    """Return an instant as microseconds since 1970.

    Raises:
        ValueError: The text is not an RFC 3339 instant in UTC.

    >>> instant_us("1970-01-01T00:00:01.500000Z")
    1500000
    """
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not an RFC 3339 instant") from error
    if instant.utcoffset() != timedelta(0):
        raise ValueError(f"{text!r} is not in UTC")
    return (instant - _EPOCH) // timedelta(microseconds=1)


def _check_instant(text: str) -> str:
    instant_us(text)
    return text


Instant = Annotated[str, AfterValidator(_check_instant)]
"""RFC 3339 text in UTC, kept as it was written."""

LONGEST_MS = 1e12
"""Some thirty years: a longer duration is not a measurement, and sums of them would not be finite."""

Duration = Annotated[float, Field(ge=0, le=LONGEST_MS)]
"""Milliseconds."""
