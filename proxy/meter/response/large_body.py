"""A JSON object that is too large to be parsed: the members at its head and at its tail.

Endpoints state id and model before what they generated, and the usage before it or after it.
"""

import json
from typing import Self

from cab.proxy.meter.json_values import JsonObject, as_object, has_many_values, parse_object

MAX_PARSED_BYTES = 8 << 20
_END_BYTES = 1 << 16
_USAGE = (b'"usage"', b'"usageMetadata"')
_DECODER = json.JSONDecoder()


class LargeBody:
    """Keeps 64 KiB of each end of a text.

    Args:
        begun: What has come so far.
    """

    def __init__(self, begun: bytes | bytearray) -> None:
        self._size_bytes = len(begun)
        self._head = bytes(begun[:_END_BYTES])
        self._tail = bytearray(begun[-_END_BYTES:])

    @property
    def closed(self) -> bool:
        """Whether it ends as an object does."""
        return self._tail.rstrip().endswith(b"}")

    def add(self, more: bytes) -> None:
        """Take the next bytes."""
        self._size_bytes += len(more)
        self._tail += more[-_END_BYTES:]
        if len(self._tail) > 2 * _END_BYTES:
            del self._tail[:-_END_BYTES]

    def without_start(self, count: int) -> Self:
        """Return the same without its first bytes, of which the head has more."""
        self._head = self._head[count:]
        return self

    def members(self) -> JsonObject:
        """Return the top-level members that stand whole at one of the ends.

        At the head these are the ones before the first large value, at the tail those from the usage on.
        Where that value is an object, its own first and last members are found as well. There are none
        where the two ends overlap.
        """
        if self._size_bytes < 2 * _END_BYTES:
            return {}
        found, inner = _first_members(self._head.decode("utf-8", "ignore"))
        tail = bytes(self._tail[-_END_BYTES:]).rstrip()
        for name in _USAGE:
            start = tail.rfind(name)
            if start < 0:
                continue
            # With brackets of deeper levels behind it, the rest is not an object.
            found.update(parse_object(b"{" + tail[start:]) or {})
            if inner is not None and tail.endswith(b"}}"):
                nested = as_object(found.get(inner))
                nested.update(parse_object(b"{" + tail[start:-1]) or {})
        return found


def object_of(data: bytes) -> tuple[JsonObject | None, bool]:
    """Return the JSON object in a text, and whether it has all members.

    Of a text over 8 MiB, or of more than 262,144 values, only the members at its ends are known.
    """
    if len(data) <= MAX_PARSED_BYTES and not has_many_values(data):
        return parse_object(data), True
    return LargeBody(data).members() or None, False


def _first_members(text: str, *, nested: bool = True) -> tuple[JsonObject, str | None]:
    """Return the members with which a cut object begins, and the name of the last one if it is cut."""
    found: JsonObject = {}
    text = text.lstrip()
    last, rest = text[:1], text[1:].lstrip()
    name = ""
    try:
        while last in ("{", ","):
            name, end = _DECODER.raw_decode(rest)
            colon, rest = rest[end:].lstrip()[:1], rest[end:].lstrip()[1:].lstrip()
            if colon != ":":
                break
            value, end = _DECODER.raw_decode(rest)
            last, rest = rest[end:].lstrip()[:1], rest[end:].lstrip()[1:].lstrip()
            if last in (",", "}"):
                found[str(name)] = value
    except (ValueError, RecursionError):
        if nested and rest.startswith("{"):
            found[str(name)] = _first_members(rest, nested=False)[0]
            return found, str(name)
    return found, None
