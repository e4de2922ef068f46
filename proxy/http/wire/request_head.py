"""The head of a client's request, if it has the ordinary form; aiohttp reads all others.

The heads of a client's requests are alike but for their length and for ids that change with each. So what
they have in common is kept apart, as their *shape*: whoever serves them works out once what follows from it.
A value that is not part of the shape is passed on, and nothing else can follow from it.
"""

import re
from collections.abc import Callable

from multidict import CIMultiDict, CIMultiDictProxy

from cab.proxy.http.wire.head_pieces import SPACE, Pieces, PiecesMaker, values_between

RawHeader = tuple[bytes, bytes]
IsPassedOn = Callable[[str], bool]

MAX_HEAD_BYTES = 1 << 14
"""A longer head is not ordinary."""

_MAX_HEADERS = 100

# As in `answer_head`: possessive, and strict where two readers could differ.
_HEAD = re.compile(
    rb"POST (/[!-\"$-~]*+) HTTP/1\.1"
    rb"((?:\r\n[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[\t -~\x80-\xff]*+)++)"
)
_LENGTH = re.compile(rb"[0-9]{1,10}")
_LENGTH_NAME = b"content-length"
_ODD = frozenset(
    {
        *(b"transfer-encoding", b"upgrade", b"expect", b"content-encoding", b"te", b"trailer"),
        *(b"keep-alive", b"proxy-connection", b"proxy-authorization", b"http2-settings"),
    }
)
"""Headers that make a request one of aiohttp's."""
_KEEP = b"keep-alive"
_ONCE = frozenset({_LENGTH_NAME, b"host", b"connection", b"content-type"})


class HeadShape:
    """What the heads of some requests have in common: all but their length and what is only passed on.

    Args:
        target: The requests' target.
        headers: All headers but `Content-Length`; None in place of a value that is passed on.
        pieces: The bytes between the values that are not part of it.
        length_at: Which of these values is that of `Content-Length`.
    """

    __slots__ = (
        "_last",
        "_length_at",
        "bare",
        "derived",
        "headers",
        "pieces",
        "raw_path",
        "scheme",
    )

    def __init__(
        self,
        target: bytes,
        headers: tuple[tuple[bytes, bytes | None], ...],
        pieces: Pieces,
        length_at: int,
    ) -> None:
        self.raw_path = target.decode("ascii")
        self.scheme = "http"
        """What the listener speaks that they came to."""
        self.headers = headers
        self.pieces = pieces
        self.bare = RequestHead(self, None)
        """A head without the headers that are only passed on."""
        self.derived: object = None
        """What follows from `bare` for who serves it."""
        self._length_at = length_at
        self._last: RequestHead | None = None

    def place_of(self, name: bytes) -> int | None:
        """Return the index among a head's values of a header that is passed on; None if not exactly one is.

        Args:
            name: In small letters.
        """
        names = [each.lower() for each, value in self.headers if value is None]
        return names.index(name) if names.count(name) == 1 else None

    def head(self, values: tuple[bytes, ...]) -> "RequestHead":
        """Return the head with these values of what is passed on; the same one for the same values."""
        last = self._last
        if last is None or last.values != values:
            last = self._last = RequestHead(self, values)
        return last

    def match(self, data: bytes) -> "tuple[RequestHead, int, int] | None":
        """Return a head of this shape, the length of its body, and where that begins; None for another one.

        Args:
            data: The bytes of the request, as far as they have come.
        """
        last = self._last
        if last is not None and (again := last.again(data)) is not None:
            return last, *again
        found = values_between(self.pieces, data, MAX_HEAD_BYTES)
        if found is None:
            return None
        values, end = found
        length = values.pop(self._length_at).lstrip(SPACE)
        if len(length) > 10 or not length.isdigit():
            return None
        head = self.head(tuple([value.strip(SPACE) for value in values]))
        if head is last:  # more such heads may come
            head.note(data[:end], self._length_at, self.pieces, values)
        return head, int(length), end


class RequestHead:
    """An ordinary request's head, whatever its `Content-Length` says.

    Args:
        shape: What it has in common with others.
        values: What is only passed on; None leaves these headers out.
    """

    __slots__ = ("_around", "_headers", "shape", "values")

    method = "POST"
    version = (1, 1)

    def __init__(self, shape: HeadShape, values: tuple[bytes, ...] | None) -> None:
        self.shape = shape
        self.values = values
        self._headers: CIMultiDictProxy[str] | None = None
        self._around: tuple[bytes, bytes] | None = None
        """The bytes before and behind its length, once it came twice."""

    def note(self, data: bytes, length_at: int, pieces: Pieces, values: list[bytes]) -> None:
        """Remember the bytes of the head, to know it by them.

        Args:
            data: They.
            length_at: How many values stand before the length.
            pieces: What stands around the values.
            values: All but the length, as they came.
        """
        start = sum(map(len, (*pieces[: length_at + 1], *values[:length_at])))
        self._around = data[:start], data[data.index(b"\r\n", start) :]

    def again(self, data: bytes) -> tuple[int, int] | None:
        """Return the length of a body, and where it begins, if its head is this one; None if that is not certain."""
        if self._around is None:
            return None
        before, behind = self._around
        if not data.startswith(before):
            return None
        at = data.find(b"\r\n", len(before), len(before) + 12)
        length, end = data[len(before) : at].lstrip(SPACE), at + len(behind)
        if at < 0 or end > MAX_HEAD_BYTES or not data.startswith(behind, at):
            return None
        return (int(length), end) if length.isdigit() and len(length) <= 10 else None

    @property
    def raw_path(self) -> str:
        """The request's target."""
        return self.shape.raw_path

    @property
    def scheme(self) -> str:
        """`https` where it came over TLS, else `http`."""
        return self.shape.scheme

    @property
    def raw_headers(self) -> tuple[RawHeader, ...]:
        """All headers but `Content-Length`, names in their letters, values without white space around them."""
        values = iter(self.values or ())
        return tuple(
            (name, next(values) if value is None else value)
            for name, value in self.shape.headers
            if value is not None or self.values is not None
        )

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """The same, by name."""
        if self._headers is None:
            pairs = (
                (name.decode(), value.decode(errors="surrogateescape"))
                for name, value in self.raw_headers
            )
            self._headers = CIMultiDictProxy(CIMultiDict(pairs))
        return self._headers


def read_request_head(
    head: bytes, is_passed_on: IsPassedOn
) -> tuple[HeadShape, tuple[bytes, ...], int] | None:
    """Return a head's shape, what it passes on, and its body's length; None if its form is not an ordinary one.

    Args:
        head: The bytes up to the blank line, which is among them.
        is_passed_on: Says of a header's name, in small letters, whether its value is passed on and nothing else.
    """
    match = _HEAD.fullmatch(head, 0, len(head) - 4)
    lines = match[2].split(b"\r\n")[1:] if match else []
    if match is None or len(lines) > _MAX_HEADERS:
        return None
    maker, headers = PiecesMaker(head[: match.start(2)]), list[tuple[bytes, bytes | None]]()
    found: dict[bytes, bytes] = {}
    length_at = 0
    for line in lines:
        name, _, value = line.partition(b":")
        lower, value = name.lower(), value.lstrip(SPACE)
        if lower in _ODD or (lower in _ONCE and lower in found):
            return None
        found[lower] = value
        if lower == _LENGTH_NAME:
            length_at = len(maker.values)
            maker.leave_out(name, value)
            continue
        value = value.rstrip(SPACE)
        if lower not in _ONCE and is_passed_on(lower.decode()):
            maker.leave_out(name, value)
            headers.append((name, None))
        else:
            maker.keep(line)
            headers.append((name, value))
    length, connection = found.get(_LENGTH_NAME, b""), found.get(b"connection", _KEEP)
    if b"host" not in found or connection.strip(SPACE).lower() != _KEEP:
        return None
    if not _LENGTH.fullmatch(length):
        return None
    del maker.values[length_at]
    shape = HeadShape(match[1], tuple(headers), maker.made(), length_at)
    return shape, tuple(maker.values), int(length)


class KnownHeads:
    """The shapes of heads that came lately, on whatever connection.

    Args:
        is_passed_on: As for `read_request_head`.
        scheme: What their listener speaks.
    """

    _MOST = 256

    def __init__(self, is_passed_on: IsPassedOn, scheme: str = "http") -> None:
        self._is_passed_on = is_passed_on
        self._scheme = scheme
        self._shapes: dict[Pieces, HeadShape] = {}
        self._last: HeadShape | None = None

    def match(self, data: bytes) -> tuple[RequestHead, int, int] | None:
        """Return what `HeadShape.match` does for the head that was read last, on another connection."""
        return None if self._last is None else self._last.match(data)

    def read(self, head: bytes) -> tuple[RequestHead, int] | None:
        """Return a head and the length of its body; see `read_request_head`."""
        read = read_request_head(head, self._is_passed_on)
        if read is None:
            return None
        shape, values, length = read
        known = self._shapes.get(shape.pieces)
        if known is None:
            if len(self._shapes) >= self._MOST:
                del self._shapes[next(iter(self._shapes))]
            shape.scheme = self._scheme
            known = self._shapes[shape.pieces] = shape
        self._last = known
        return known.head(values), length
