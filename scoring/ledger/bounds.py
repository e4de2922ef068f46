"""How large a record, and a part of it, may be: what writers keep to and readers rely on.

A text is a name unless its annotation says `Message` or `Identity`, so a field that somebody adds is
bounded too. `clipping` applies these bounds.
"""

from typing import Annotated, NamedTuple

MAX_NAME_CHARS = 256
"""Characters of a name: of a model, a finish reason, an id that an endpoint gives."""
MAX_MESSAGE_BYTES = 1 << 10
"""UTF-8 bytes of a message for people. A text of `MAX_NAME_CHARS` always fits."""
MAX_JSON_BYTES = 16 << 10
"""Bytes of an object or a list in a record, as JSON; a larger one is null."""
MAX_RECORD_BYTES = 64 << 10
"""Bytes of a line that is written, newline included."""
MAX_LINE_BYTES = 16 << 20
"""Bytes of a line that is read: earlier versions knew no other bound."""
MAX_CELL_ID_CHARS = 2048
"""Characters of a cell's id. It is never clipped: two cells would become one."""
MAX_COUNT = 10**9
"""Tokens that one call can have; a larger count is no count."""


class TextBound(NamedTuple):
    """How long a text of a record may be; as an annotation of its field."""

    chars: int | None = None
    utf8_bytes: int | None = None


NAME = TextBound(chars=MAX_NAME_CHARS)
MESSAGE = TextBound(utf8_bytes=MAX_MESSAGE_BYTES)
WHOLE = TextBound()

Message = Annotated[str, MESSAGE]
"""A text for people."""
Identity = Annotated[str, WHOLE]
"""A text that identifies something, and is bounded where it comes from."""


class BrokenLine(bytes):
    """The beginning of what is not a whole line of a ledger."""

    reason: str
    """What is wrong with it."""


def broken_line(beginning: bytes, reason: str) -> BrokenLine:
    """Return the beginning of a line that cannot be read, with what is wrong with it."""
    line = BrokenLine(beginning)
    line.reason = reason
    return line


def clipped_text(text: str, bound: TextBound) -> str:
    """Return the beginning of a text that a bound allows; the very same text if it all fits.

    >>> clipped_text("naïve", TextBound(utf8_bytes=3))
    'na'
    """
    if bound.chars is not None and len(text) > bound.chars:
        return text[: bound.chars]
    if bound.utf8_bytes is not None and len(text) * 4 > bound.utf8_bytes:
        encoded = text[: bound.utf8_bytes].encode(errors="replace")
        if len(encoded) > bound.utf8_bytes or len(text) > bound.utf8_bytes:
            return encoded[: bound.utf8_bytes].decode(errors="ignore")
    return text
