from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.scoring.timestamps import instant_us


@given(st.datetimes(timezones=st.just(UTC)))
def test_microseconds_are_exact(instant: datetime) -> None:
    """An instant becomes its microseconds, whichever way its zone is written."""
    text = instant.isoformat()
    expected = round((instant - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 10**6)
    assert abs(instant_us(text) - expected) <= 64  # the float above is that coarse
    assert instant_us(text.replace("+00:00", "Z")) == instant_us(text)


def test_one_instant() -> None:
    """The difference of two published instants is the published duration."""
    start, end = "2026-06-16T18:37:54.018549Z", "2026-06-16T18:41:17.115326Z"
    assert instant_us(end) - instant_us(start) == 203_096_777


@pytest.mark.parametrize(
    "text", ["", "now", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00", "2026-01-01T00:00:00+01:00"]
)
def test_other_texts_are_refused(text: str) -> None:
    """A text that is not an instant, or not in UTC, is an error."""
    with pytest.raises(ValueError, match=r"RFC 3339|UTC"):
        instant_us(text)
