"""An answer in one piece that is too large to be parsed: the members at its head and at its tail.

Endpoints state id and model before what they generated, and the usage before it or after it.
"""

import json

from cab.proxy.meter.json_values import JsonObject, parse_object

_END_BYTES = 1 << 16
_USAGE = (b'"usage"', b'"usageMetadata"')
_DECODER = json.JSONDecoder()


class LargeBody:
    """Keeps 64 KiB of each end of a body.

    Args:
        begun: What has come so far.
    """

    def __init__(self, begun: bytes) -> None:
        self._size_bytes = len(begun)
        self._head = begun[:_END_BYTES]
        self._tail = begun[-_END_BYTES:]

    @property
    def closed(self) -> bool:
        """Whether it ends as an object does."""
        return self._tail.rstrip().endswith(b"}")

    def add(self, more: bytes) -> None:
        """Take the next bytes."""
        self._size_bytes += len(more)
        self._tail = (self._tail + more[-_END_BYTES:])[-_END_BYTES:]

    def members(self) -> JsonObject:
        """Return the top-level members that stand whole at one of the ends.

        At the head these are the ones before the first large value, at the tail those from the usage on.
        There are none where the two ends overlap.
        """
        if self._size_bytes < 2 * _END_BYTES:
            return {}
        found = _first_members(self._head.decode("utf-8", "ignore"))
        for name in _USAGE:
            start = self._tail.rfind(name)
            # With brackets of deeper levels behind it, the rest is no object.
            rest = parse_object(b"{" + self._tail[start:]) if start >= 0 else None
            found.update(rest or {})
        return found


def _first_members(text: str) -> JsonObject:
    """Return the members with which a cut object begins."""
    found: JsonObject = {}
    text = text.lstrip()
    last, rest = text[:1], text[1:].lstrip()
    try:
        while last in ("{", ","):
            name, end = _DECODER.raw_decode(rest)
            colon, rest = rest[end:].lstrip()[:1], rest[end:].lstrip()[1:].lstrip()
            value, end = _DECODER.raw_decode(rest)
            last, rest = rest[end:].lstrip()[:1], rest[end:].lstrip()[1:].lstrip()
            if colon == ":" and last in (",", "}"):
                found[str(name)] = value
    except (ValueError, RecursionError):
        pass
    return found
