"""The head of a client's request, if it has the ordinary form; aiohttp reads all others."""

import re

from multidict import CIMultiDict, CIMultiDictProxy

RawHeader = tuple[bytes, bytes]

MAX_HEAD_BYTES = 1 << 14
"""A longer head is not ordinary."""

_MAX_HEADERS = 100

# As in `answer_head`: possessive, and strict where two readers could differ.
_HEAD = re.compile(
    rb"POST (/[!-\"$-~]*+) HTTP/1\.1"
    rb"((?:\r\n[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[\t -~\x80-\xff]*+)++)"
)
_LENGTH = re.compile(rb"[0-9]{1,10}")
_ODD = frozenset(
    {
        *(b"transfer-encoding", b"upgrade", b"expect", b"content-encoding", b"te", b"trailer"),
        *(b"keep-alive", b"proxy-connection", b"proxy-authorization", b"http2-settings"),
    }
)
"""Headers that make a request one of aiohttp's."""
_KEEP = b"keep-alive"
_ONCE = frozenset({b"content-length", b"host", b"connection", b"content-type"})


class RequestHead:
    """An ordinary request's head, whatever its `Content-Length` says.

    Args:
        target: The request's target.
        raw_headers: All headers, as they came.
        before: The bytes before the value of `Content-Length`.
        after: The bytes behind it, the blank line included.
    """

    method = "POST"
    version = (1, 1)
    scheme = "http"

    def __init__(
        self, target: bytes, raw_headers: tuple[RawHeader, ...], before: bytes, after: bytes
    ) -> None:
        self.raw_path = target.decode("ascii")
        self.raw_headers = raw_headers
        self.before = before
        self.after = after
        self._headers: CIMultiDictProxy[str] | None = None
        self.derived: object = None
        """What follows from the head for who serves it: made once for all requests that have it."""

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """The headers, by name."""
        if self._headers is None:
            pairs = (
                (name.decode(), value.decode(errors="surrogateescape"))
                for name, value in self.raw_headers
            )
            self._headers = CIMultiDictProxy(CIMultiDict(pairs))
        return self._headers


def read_request_head(head: bytes) -> tuple[RequestHead, int] | None:
    """Return a request's head and the length of its body; None if its form is not an ordinary one.

    Args:
        head: The bytes up to the blank line, which is among them.
    """
    match = _HEAD.fullmatch(head, 0, len(head) - 4)
    lines = match[2].split(b"\r\n")[1:] if match else []
    if match is None or len(lines) > _MAX_HEADERS:
        return None
    headers = tuple(_header(line) for line in lines)
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        lower = name.lower()
        if lower in _ODD or (lower in _ONCE and lower in found):
            return None
        found[lower] = value
    length, connection = found.get(b"content-length", b""), found.get(b"connection", _KEEP)
    start = _value_at(head, length) if _LENGTH.fullmatch(length) else None
    if b"host" not in found or connection.lower() != _KEEP or start is None:
        return None
    before, after = head[:start], head[start + len(length) :]
    return RequestHead(match[1], headers, before, after), int(length)


def _header(line: bytes) -> RawHeader:
    name, _, value = line.partition(b":")
    return name, value.strip(b" \t")


def same_head(head: RequestHead, data: bytes) -> tuple[int, int] | None:
    """Return the length of a body, and where it begins, if it has a head that is known; else None.

    Args:
        head: What is known.
        data: The bytes of the request, as far as they have come.
    """
    if not data.startswith(head.before):
        return None
    start = len(head.before)
    end = data.find(b"\r\n", start, start + 12)
    length = data[start:end] if end > start else b""
    if not length.isdigit() or not data.startswith(head.after, end):
        return None
    return int(length), end + len(head.after)


def _value_at(head: bytes, length: bytes) -> int | None:
    """Return where the value of `Content-Length` stands; None if white space is around it."""
    name = b"\r\ncontent-length:"
    at = head.lower().find(name) + len(name)
    while head[at : at + 1] in (b" ", b"\t"):
        at += 1
    plain = head.startswith(length + b"\r\n", at)
    return at if plain else None
