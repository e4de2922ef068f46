"""Heads as pieces that many of them have in common, and the values between these, in which they differ."""

import re

Pieces = tuple[bytes, ...]

SPACE = b" \t"
"""White space that may stand around a value."""
# As in the patterns of whole heads: no control characters.
_VALUES = re.compile(rb"[\t -~\x80-\xff]*+")


def values_between(pieces: Pieces, data: bytes, limit_bytes: int) -> tuple[list[bytes], int] | None:
    """Return the values of a head, and where it ends; None if it does not consist of these pieces.

    Args:
        pieces: What stands around the values; the last one ends with the blank line.
        data: The bytes of a message, as far as they have come.
        limit_bytes: How long the head may be.
    """
    at, values = 0, list[bytes]()
    for piece in pieces[:-1]:
        if not data.startswith(piece, at):
            return None
        at += len(piece)
        end = data.find(b"\r\n", at, limit_bytes)
        if end < 0:
            return None
        values.append(data[at:end])
        at = end
    end = at + len(pieces[-1])
    if end > limit_bytes or not data.startswith(pieces[-1], at):
        return None
    return (values, end) if _VALUES.fullmatch(b"".join(values)) else None


class PiecesMaker:
    """Cuts a head into pieces, line by line.

    Args:
        first: Its first line.
    """

    def __init__(self, first: bytes) -> None:
        self.values: list[bytes] = []
        """What was left out, without white space around it."""
        self._pieces: list[bytes] = []
        self._open = first

    def keep(self, line: bytes) -> None:
        """Add the whole line of a header."""
        self._open += b"\r\n" + line

    def leave_out(self, name: bytes, value: bytes) -> None:
        """Add a header without its value."""
        self._pieces.append(b"%b\r\n%b:" % (self._open, name))
        self._open = b""
        self.values.append(value)

    def made(self) -> Pieces:
        """Return the pieces."""
        return (*self._pieces, self._open + b"\r\n\r\n")
