"""How long something took, by two instants that a file names; an impossible clock is no time at all."""

from datetime import datetime, timedelta

from cab.scoring.imports.reading.input_file import InputFile
from cab.scoring.timestamps import LONGEST_MS

_LONG_AGO_S, _FAR_S = 0.0, 1e11


def instant(text: str | None, source: InputFile, field: str) -> datetime | None:
    """Return an instant of ISO 8601; None if there is none, or if it is not one, which is noted."""
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        source.note(f"{text[:40]!r} is not an instant: the time is unknown", field=field)
        return None


def between_ms(
    started: str | None, ended: str | None, source: InputFile, field: str
) -> float | None:
    """Return the milliseconds from one instant to another.

    Args:
        started: ISO 8601, with a time zone or without; None if it is not known.
        ended: Likewise.
        source: The file, which takes the notes.
        field: Where `ended` stands, for notes.

    Returns:
        0 to some thirty years; None if one of the two is not known, or the clock is impossible,
        which is noted.
    """
    start, end = instant(started, source, field), instant(ended, source, field)
    if start is None or end is None:
        return None
    if (start.utcoffset() is None) is not (end.utcoffset() is None):
        source.note("one instant has a time zone and the other has none", field=field)
        return None
    return checked_ms((end - start) / timedelta(milliseconds=1), source, field)


def seconds_between_ms(
    started_s: float | None, ended_s: float | None, source: InputFile, field: str
) -> float | None:
    """Return the milliseconds between two instants in seconds since 1970; None as `between_ms`."""
    if started_s is None or ended_s is None:
        return None
    if not (_LONG_AGO_S <= started_s <= _FAR_S and _LONG_AGO_S <= ended_s <= _FAR_S):
        source.note("is not an instant: the time is unknown", field=field)
        return None
    return checked_ms((ended_s - started_s) * 1000, source, field)


def checked_ms(duration_ms: float | None, source: InputFile, field: str) -> float | None:
    """Return a duration in milliseconds if it can be one; None otherwise, which is noted."""
    if duration_ms is None or 0 <= duration_ms <= LONGEST_MS:
        return duration_ms
    what = "before it began" if duration_ms < 0 else "decades after it began"
    source.note(f"by its clock this ended {what}: the time is unknown", field=field)
    return None
