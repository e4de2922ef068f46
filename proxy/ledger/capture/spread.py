"""Secrets that the events of a stream spread over several texts.

A model writes a key as it writes anything, in a few characters per event. So of each name the texts of
all events are searched as one: those of `content`, of `arguments`, of `delta`.
"""

import re
from bisect import bisect_right
from collections import defaultdict

from cab.proxy.redaction import REDACTED, Redactor

_TEXT = re.compile(rb'"([A-Za-z_]{1,40})"\s*:\s*"((?:[^"\\]|\\.)*+)"')
_MARK = REDACTED.encode()


def without_spread_secrets(data: bytes, redactor: Redactor) -> bytes:
    """Return the bytes of an event stream without the secrets that are spread over several events.

    Args:
        data: The stream, in which no secret stands as a whole any more.
        redactor: Knows the secrets.
    """
    if not redactor.secrets:
        return data
    places = defaultdict[bytes, list[tuple[int, int]]](list)
    for match in _TEXT.finditer(data):
        if match.end(2) > match.start(2):
            places[match[1]].append(match.span(2))
    cuts = [cut for texts in places.values() for cut in _cuts(data, texts, redactor)]
    return _without(data, sorted(cuts)) if cuts else data


def _cuts(
    data: bytes, texts: list[tuple[int, int]], redactor: Redactor
) -> list[tuple[int, int, bytes]]:
    """Return what to put in the place of which bytes."""
    joined = b"".join(data[start:end] for start, end in texts)
    found = redactor.in_bytes.places(joined)
    if not found:
        return []
    begins, at = list[int](), 0
    for start, end in texts:
        begins.append(at)
        at += end - start
    cuts = list[tuple[int, int, bytes]]()
    for begin, end in found:
        mark = _MARK
        for number in range(bisect_right(begins, begin) - 1, len(texts)):
            offset = texts[number][0] - begins[number]
            if begins[number] >= end:
                break
            last = min(end + offset, texts[number][1])
            cuts.append((max(begin + offset, texts[number][0]), last, mark))
            mark = b""
    return cuts


def _without(data: bytes, cuts: list[tuple[int, int, bytes]]) -> bytes:
    out, at = list[bytes](), 0
    for start, end, mark in cuts:
        if end <= at:
            continue
        out += (data[at:start], mark) if start >= at else ()
        at = end
    return b"".join([*out, data[at:]])
