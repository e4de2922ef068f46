"""The header `traceparent` of W3C Trace Context: which trace a request is part of, and below which span."""

import re
from typing import NamedTuple

_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_LENGTH_CHARS = 55
"""Of what is known of it; a later version may append to that."""
_FIRST_VERSION, _NO_VERSION = "00", "ff"


class TraceParent(NamedTuple):
    """A span of somebody else."""

    trace_id: str
    """32 hexadecimal digits."""
    span_id: str
    """16 hexadecimal digits."""
    flags: int
    """0 to 255; bit 0 says that the trace is sampled."""


def parse_traceparent(text: str | None) -> TraceParent | None:
    """Return what a `traceparent` says; None if there is none, or it is not valid.

    >>> parse_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").span_id
    '00f067aa0ba902b7'
    """
    found = None if text is None else _FORM.fullmatch(text)
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == _NO_VERSION or (version == _FIRST_VERSION and more is not None):
        return None
    if not (trace_id.strip("0") and span_id.strip("0")):
        return None
    return TraceParent(trace_id, span_id, int(flags, 16))


def known_part(text: str) -> str | None:
    """Return the part of a `traceparent` whose meaning is known, 55 characters; None if it is not valid."""
    return None if parse_traceparent(text) is None else text[:_LENGTH_CHARS]
