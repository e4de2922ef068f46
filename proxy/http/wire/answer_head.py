"""The head of an endpoint's answer, if it has the ordinary form; aiohttp reads all others.

As heads of requests do, those of answers have *shapes*: names, framing, and the values that are read here are
part of one; all others, such as ids and dates, are not, since they differ in each answer.
"""

import re

from cab.proxy.http.wire.head_pieces import SPACE, Pieces, PiecesMaker, values_between

RawHeader = tuple[bytes, bytes]

MAX_HEAD_BYTES = 1 << 16
"""A longer head is not ordinary."""

# Possessive, so that nothing is looked at twice. No control characters, no folded lines, no space
# before a colon: whatever two readers could take differently is not ordinary.
_HEAD = re.compile(
    rb"HTTP/1\.1 ([2-9][0-9]{2})(?: ([\t -~\x80-\xff]*+))?+"
    rb"((?:\r\n[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[\t -~\x80-\xff]*+)*+)"
)
_LENGTH_NAME = b"content-length"
_LENGTH = re.compile(rb"[0-9]{1,15}")
_BODILESS = frozenset({204, 304})
_READ_HERE = frozenset(
    {b"transfer-encoding", b"connection", b"upgrade", b"content-type", b"content-encoding"}
)


class AnswerShape:
    """What the heads of some answers have in common.

    Args:
        status: Status, and the text behind it.
        headers: All headers; None in place of a value that is not part of the shape.
        read: Values of the headers that are read here, by their names in small letters.
        pieces: The bytes between the values that are not part of it.
        length_at: Which of these values is that of `Content-Length`; None if there is none.
    """

    __slots__ = (
        *("content_encoding", "content_type", "derived", "headers", "is_chunked", "keeps_alive"),
        *("length_at", "pieces", "reason", "status"),
    )

    def __init__(
        self,
        status: tuple[int, bytes],
        headers: tuple[tuple[bytes, bytes | None], ...],
        read: dict[bytes, bytes],
        pieces: Pieces,
        length_at: int | None,
    ) -> None:
        self.status, self.reason = status
        self.headers = headers
        self.content_type = read.get(b"content-type", b"")
        self.content_encoding = read.get(b"content-encoding", b"")
        self.is_chunked = b"transfer-encoding" in read
        framed = length_at is not None or self.is_chunked or self.status in _BODILESS
        self.keeps_alive = framed and read.get(b"connection", b"").lower() != b"close"
        self.pieces = pieces
        self.length_at = length_at
        self.derived: dict[object, object] = {}
        """What follows from the shape for who passes such answers on."""

    def head(self, values: list[bytes]) -> "AnswerHead | None":
        """Return the head with these values; None if its length is not a number."""
        if self.length_at is None:
            return AnswerHead(self, tuple(values), None)
        length = values[self.length_at]
        return AnswerHead(self, tuple(values), int(length)) if _LENGTH.fullmatch(length) else None


class AnswerHead:
    """Status, headers and framing of an answer.

    Args:
        shape: What it has in common with others.
        values: The values that are not part of that.
        content_length: As stated; None where the body is chunked, or ends with the connection.
    """

    __slots__ = ("content_length", "shape", "values")

    def __init__(
        self, shape: AnswerShape, values: tuple[bytes, ...], content_length: int | None
    ) -> None:
        self.shape = shape
        self.values = values
        self.content_length = content_length

    @property
    def status(self) -> int:
        """HTTP status."""
        return self.shape.status

    @property
    def reason(self) -> bytes:
        """The text behind the status."""
        return self.shape.reason

    @property
    def raw_headers(self) -> tuple[RawHeader, ...]:
        """All headers, names in their letters, values without white space around them."""
        values = iter(self.values)
        return tuple(
            (name, next(values) if value is None else value) for name, value in self.shape.headers
        )

    @property
    def content_type(self) -> bytes:
        """The header's value, empty if there is none."""
        return self.shape.content_type

    @property
    def content_encoding(self) -> bytes:
        """Likewise."""
        return self.shape.content_encoding

    @property
    def is_chunked(self) -> bool:
        """Whether the body is in chunks."""
        return self.shape.is_chunked

    @property
    def keeps_alive(self) -> bool:
        """Whether another request may follow on the connection."""
        return self.shape.keeps_alive

    @property
    def has_body(self) -> bool:
        """Whether bytes of a body may follow."""
        return self.shape.status not in _BODILESS and self.content_length != 0


def read_answer_head(head: bytes) -> AnswerHead | None:
    """Return what an answer's head says; None if its form is not an ordinary one.

    Args:
        head: The bytes up to the blank line, which is among them.
    """
    match = _HEAD.fullmatch(head, 0, len(head) - 4)
    if match is None:
        return None
    maker, headers = PiecesMaker(head[: match.start(3)]), list[tuple[bytes, bytes | None]]()
    read: dict[bytes, bytes] = {}
    length_at: int | None = None
    for line in match[3].split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        lower, value = name.lower(), value.strip(SPACE)
        if lower in read or (lower == _LENGTH_NAME and length_at is not None):
            return None  # twice: a matter of reading lists, or an attack
        if lower in _READ_HERE:
            read[lower] = value
            maker.keep(line)
            headers.append((name, value))
            continue
        if lower == _LENGTH_NAME:
            length_at = len(maker.values)
        maker.leave_out(name, value)
        headers.append((name, None))
    coding = read.get(b"transfer-encoding")
    if b"upgrade" in read or (coding is not None and coding.lower() != b"chunked"):
        return None
    if coding is not None and length_at is not None:
        return None
    if read.get(b"connection", b"").lower() not in (b"", b"keep-alive", b"close"):
        return None
    status = int(match[1]), match[2] or b""
    shape = AnswerShape(status, tuple(headers), read, maker.made(), length_at)
    return shape.head(maker.values)


class KnownAnswers:
    """The shapes of heads that an endpoint sent lately."""

    _MOST = 64

    def __init__(self) -> None:
        self._shapes: dict[Pieces, AnswerShape] = {}
        self._last: tuple[AnswerShape, ...] = ()
        """The two that came last: an endpoint answers streams in one form, and the rest in another."""

    def match(self, data: bytes) -> tuple[AnswerHead, int] | None:
        """Return a head of one of the last shapes, and where the body begins; None if it has another.

        Args:
            data: The bytes of the answer, as far as they have come.
        """
        for shape in self._last:
            found = values_between(shape.pieces, data, MAX_HEAD_BYTES)
            if found is not None:
                values, end = found
                head = shape.head([value.strip(SPACE) for value in values])
                return None if head is None else (head, end)
        return None

    def read(self, head: bytes) -> AnswerHead | None:
        """Return what an answer's head says; see `read_answer_head`."""
        found = read_answer_head(head)
        if found is None:
            return None
        shape = self._shapes.get(found.shape.pieces)
        if shape is None:
            if len(self._shapes) >= self._MOST:
                del self._shapes[next(iter(self._shapes))]
            shape = self._shapes[found.shape.pieces] = found.shape
        self._last = (shape, *self._last[:1])
        return AnswerHead(shape, found.values, found.content_length)
