"""Secrets that a body spreads over several texts.

A model writes a key as it writes anything: in a few characters per event of a stream, per part of a
message, or per item of a list of tokens. So of each name the texts of the whole body are searched as one:
those of `content`, of `arguments`, of `delta`; and so are the texts of lists.
"""

import re
from bisect import bisect_right
from collections import defaultdict

from cab.proxy.redaction import REDACTED, Redactor

# A text without its end matches too, so that none is looked at twice; no text goes over a line.
_TEXT = re.compile(rb'"((?:[^"\\\r\n]|\\.)*+)"?+(\s*+:\s*+)?+')
_ITEM = b""
"""What stands for a name of the texts of lists."""
_MARK = REDACTED.encode()


def without_spread_secrets(data: bytes, redactor: Redactor) -> bytes:
    """Return the bytes of a body without the secrets that are spread over several of its texts.

    Args:
        data: JSON, or a stream of it, in which no secret stands as a whole any more.
        redactor: Knows the secrets.
    """
    if not redactor.secrets:
        return data
    # What stands in one text was found before.
    spread = [texts for texts in _texts(data).values() if len(texts) > 1]
    cuts = [cut for texts in spread for cut in _cuts(data, texts, redactor)]
    return _without(data, sorted(cuts)) if cuts else data


def _texts(data: bytes) -> dict[bytes, list[tuple[int, int]]]:
    """Return where the texts of each name stand."""
    places = defaultdict[bytes, list[tuple[int, int]]](list)
    name, value_at = _ITEM, -1
    for match in _TEXT.finditer(data):
        if match[2] is not None:
            name, value_at = match[1], match.end()
        elif match[1]:
            places[name if match.start() == value_at else _ITEM].append(match.span(1))
    return places


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
