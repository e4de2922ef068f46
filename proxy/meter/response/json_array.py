"""An incremental reader of a JSON array of objects, the other form of a Gemini stream."""

import re

from cab.proxy.meter.response.large_body import LargeBody

_MARK = re.compile(rb'["{}\[\]]')
_STRING_MARK = re.compile(rb'["\\]')


class ArrayReader:
    """Cuts `[{...},{...}]`, in any slicing, into its objects; each byte is looked at once.

    Args:
        limit_bytes: Of a longer object only the ends are kept.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self._object = bytearray()
        self._large: LargeBody | None = None
        self._found: list[bytes | LargeBody] = []

    @property
    def closed(self) -> bool:
        """Whether no bracket and no string is open."""
        return self._depth == 0 and not self._in_string

    def feed(self, chunk: bytes) -> list[bytes | LargeBody]:
        """Return the objects that `chunk` completes."""
        self._found = []
        keep = position = 0
        while position < len(chunk):
            if self._escaped:
                self._escaped = False
                position += 1
                continue
            mark = (_STRING_MARK if self._in_string else _MARK).search(chunk, position)
            if mark is None:
                break
            position = mark.end()
            if self._opens(mark[0]):
                keep = mark.start()
            elif self._depth == 1 and mark[0] in b"]}":
                self._keep(chunk[keep:position])
                self._cut()
        if self._depth > 1:
            self._keep(chunk[keep:])
        return self._found

    def _opens(self, mark: bytes) -> bool:
        """Take a mark and return whether an object of the array starts at it."""
        if mark == b'"':
            self._in_string = not self._in_string
        elif mark == b"\\":
            self._escaped = True
        elif mark in b"{[":
            self._depth += 1
            return self._depth == 2
        else:
            self._depth = max(0, self._depth - 1)
        return False

    def _keep(self, piece: bytes) -> None:
        if self._large is not None:
            self._large.add(piece)
            return
        self._object += piece
        if len(self._object) > self._limit_bytes:
            self._large = LargeBody(self._object)
            self._object.clear()

    def _cut(self) -> None:
        self._found.append(self._large or bytes(self._object))
        self._object.clear()
        self._large = None
