"""The chunked transfer coding (RFC 9112, section 7.1) of an answer, taken off as its bytes come."""

import re

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t -~\x80-\xff]*)?")
_PLAIN_SIZE = re.compile(rb"[0-9A-Fa-f]{1,8}")
_MAX_LINE_BYTES = 1 << 12
_MAX_TRAILER_BYTES = 1 << 14


class BadChunks(ValueError):
    """The coding is not what the standard has."""


class ChunkReader:
    """Takes the coding off; `done` once the last chunk and its trailer came."""

    __slots__ = ("_left", "_pending", "_trailer_bytes", "done", "fault", "rest")

    def __init__(self) -> None:
        self._left = 0
        """Bytes of the open chunk that are missing, its CRLF among them; -1 within the trailer."""
        self._pending = b""
        self._trailer_bytes = 0
        self.done = False
        self.fault: BadChunks | None = None
        """What does not follow the standard; nothing that comes behind it is read."""
        self.rest = b""
        """What came behind the end."""

    def whole(self, data: bytes) -> bytes | None:
        """Return the body of a chunk if the next bytes are just that, as most are; None if they must be fed."""
        return None if self._pending or self._left else _one_chunk(data)

    def feed(self, data: bytes) -> list[bytes]:
        """Return what the next bytes hold of the body, up to a `fault`: where a chunk ends, a piece ends."""
        out: list[bytes] = []
        try:
            self._feed(data, out)
        except BadChunks as error:
            self.fault = error
        return out

    def _feed(self, data: bytes, out: list[bytes]) -> None:
        """Take bytes.

        Raises:
            BadChunks: They do not follow the standard.
        """
        if self._pending:
            data, self._pending = self._pending + data, b""
        at, end = 0, len(data)
        while at < end and not self.done:
            if self._left > 2:
                piece = data[at : at + self._left - 2]
                out.append(piece)
                at += len(piece)
                self._left -= len(piece)
            elif self._left > 0:
                at = self._line_end(data, at, end)
            else:
                found = data.find(b"\r\n", at)
                if found < 0:
                    self._keep(data[at:])
                    break
                self._line(data[at:found])
                at = found + 2
        if self.done:
            self.rest = data[at:]

    def _line_end(self, data: bytes, at: int, end: int) -> int:
        """Take of the CRLF behind a chunk what is here."""
        taken = min(self._left, end - at)
        if data[at : at + taken] != b"\r\n"[2 - self._left :][:taken]:
            raise BadChunks("a chunk is longer than its size says")
        self._left -= taken
        return at + taken

    def _line(self, line: bytes) -> None:
        if self._left < 0:
            self._trailer_bytes += len(line) + 2
            if self._trailer_bytes > _MAX_TRAILER_BYTES:
                raise BadChunks("the trailer is too long")
            self.done = not line
            return
        match = _SIZE.fullmatch(line)
        if match is None:
            raise BadChunks("a chunk's size is not a number")
        size = int(match[1], 16)
        self._left = size + 2 if size else -1

    def _keep(self, rest: bytes) -> None:
        if len(rest) > _MAX_LINE_BYTES:
            raise BadChunks("a line of the chunked coding is too long")
        self._pending = rest


def _one_chunk(data: bytes) -> bytes | None:
    """Return the body of a chunk if the bytes are just that; else None."""
    end = data.find(b"\r\n", 0, 10)
    if end < 0 or not data.endswith(b"\r\n") or _PLAIN_SIZE.fullmatch(data, 0, end) is None:
        return None
    size = int(data[:end], 16)
    return data[end + 2 : -2] if size and size == len(data) - end - 4 else None
