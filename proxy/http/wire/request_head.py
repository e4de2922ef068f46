"""The head of a client's request, if it has the ordinary form; aiohttp reads all others.

The heads of a client's requests are alike but for their length and for ids that change with each. So what
they have in common is kept apart, as their *shape*: whoever serves them works out once what follows from it.
A value that is not part of the shape is passed on, and nothing else can follow from it.
"""

import re
from collections.abc import Callable

from multidict import CIMultiDict, CIMultiDictProxy

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
_VALUES = re.compile(rb"[\t -~\x80-\xff]*+")
_LENGTH = re.compile(rb"[0-9]{1,10}")
_SPACE = b" \t"
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

    __slots__ = ("_last", "_length_at", "_pieces", "bare", "derived", "headers", "raw_path")

    def __init__(
        self,
        target: bytes,
        headers: tuple[tuple[bytes, bytes | None], ...],
        pieces: tuple[bytes, ...],
        length_at: int,
    ) -> None:
        self.raw_path = target.decode("ascii")
        self.headers = headers
        self.bare = RequestHead(self, None)
        """A head without the headers that are only passed on."""
        self.derived: object = None
        """What follows from `bare` for who serves it."""
        self._pieces = pieces
        self._length_at = length_at
        self._last: RequestHead | None = None

    @property
    def key(self) -> tuple[bytes, ...]:
        """Equal for equal shapes only."""
        return self._pieces

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
        at, found, last = 0, list[bytes](), self._pieces[-1]
        for piece in self._pieces:
            if not data.startswith(piece, at):
                return None
            at += len(piece)
            if piece is last:
                break
            end = data.find(b"\r\n", at, MAX_HEAD_BYTES)
            if end < 0:
                return None
            found.append(data[at:end])
            at = end
        length = found.pop(self._length_at).lstrip(_SPACE)
        if at > MAX_HEAD_BYTES or len(length) > 10 or not length.isdigit():
            return None
        if not _VALUES.fullmatch(b"".join(found)):
            return None
        return self.head(tuple([value.strip(_SPACE) for value in found])), int(length), at


class RequestHead:
    """An ordinary request's head, whatever its `Content-Length` says.

    Args:
        shape: What it has in common with others.
        values: What is only passed on; None leaves these headers out.
    """

    __slots__ = ("_headers", "shape", "values")

    method = "POST"
    version = (1, 1)
    scheme = "http"

    def __init__(self, shape: HeadShape, values: tuple[bytes, ...] | None) -> None:
        self.shape = shape
        self.values = values
        self._headers: CIMultiDictProxy[str] | None = None

    @property
    def raw_path(self) -> str:
        """The request's target."""
        return self.shape.raw_path

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
    shape = _ShapeMaker(head[: match.start(2)])
    found: dict[bytes, bytes] = {}
    for line in lines:
        name, _, value = line.partition(b":")
        lower = name.lower()
        if lower in _ODD or (lower in _ONCE and lower in found):
            return None
        found[lower] = value.strip(_SPACE)
        if lower == _LENGTH_NAME:
            if not _LENGTH.fullmatch(value.lstrip(_SPACE)):
                return None
            shape.add_length(name)
        else:
            is_free = lower not in _ONCE and is_passed_on(lower.decode())
            shape.add(line, name, found[lower], is_passed_on=is_free)
    length, connection = found.get(_LENGTH_NAME), found.get(b"connection", _KEEP)
    if b"host" not in found or connection.lower() != _KEEP or length is None:
        return None
    return shape.made(match[1]), tuple(shape.values), int(length)


class _ShapeMaker:
    """Puts a shape together, line by line.

    Args:
        first: The request line.
    """

    def __init__(self, first: bytes) -> None:
        self.values: list[bytes] = []
        self._headers: list[tuple[bytes, bytes | None]] = []
        self._pieces: list[bytes] = []
        self._open = first
        self._length_at = 0

    def add(self, line: bytes, name: bytes, value: bytes, *, is_passed_on: bool) -> None:
        """Add a header."""
        self._headers.append((name, None if is_passed_on else value))
        if is_passed_on:
            self.values.append(value)
            self._cut(name)
        else:
            self._open += b"\r\n" + line

    def add_length(self, name: bytes) -> None:
        """Add `Content-Length`."""
        self._length_at = len(self._pieces)
        self._cut(name)

    def made(self, target: bytes) -> HeadShape:
        """Return the shape."""
        pieces = (*self._pieces, self._open + b"\r\n\r\n")
        return HeadShape(target, tuple(self._headers), pieces, self._length_at)

    def _cut(self, name: bytes) -> None:
        self._pieces.append(b"%b\r\n%b:" % (self._open, name))
        self._open = b""


class KnownHeads:
    """The shapes of heads that came lately, on whatever connection.

    Args:
        is_passed_on: As for `read_request_head`.
    """

    _MOST = 256

    def __init__(self, is_passed_on: IsPassedOn) -> None:
        self._is_passed_on = is_passed_on
        self._shapes: dict[tuple[bytes, ...], HeadShape] = {}

    def read(self, head: bytes) -> tuple[RequestHead, int] | None:
        """Return a head and the length of its body; see `read_request_head`."""
        read = read_request_head(head, self._is_passed_on)
        if read is None:
            return None
        shape, values, length = read
        known = self._shapes.get(shape.key)
        if known is None:
            if len(self._shapes) >= self._MOST:
                del self._shapes[next(iter(self._shapes))]
            known = self._shapes[shape.key] = shape
        return known.head(values), length
