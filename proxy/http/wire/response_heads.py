"""Heads of answers that aiohttp's parser refuses although their meaning is clear."""

import re
from typing import Any

from aiohttp import ClientPayloadError
from aiohttp.client_proto import ResponseHandler

_HEAD_END = re.compile(rb"\r?\n\r?\n")
_LENGTH = re.compile(rb"\r?\ncontent-length:([^\r\n]*)", re.IGNORECASE)
_LIMIT_BYTES = 1 << 18


class HeadReader(ResponseHandler):
    """Reads an answer whose head repeats one `Content-Length`, and ends one whose body cannot be read.

    RFC 9110, section 8.6: equal values may be replaced by one. Others stay an error.
    """

    _in_head = False
    _head = b""

    def set_response_params(self, **params: Any) -> None:  # noqa: ANN401 - passed on
        """Expect the head of an answer."""
        self._in_head, self._head = True, b""
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Take bytes of the endpoint."""
        if self._in_head and data:
            data = self._take(data)
        if data or not self._head:
            super().data_received(data)

    def eof_received(self) -> None:
        """Take the end of the connection."""
        self._in_head = False
        if self._head:
            data, self._head = self._head, b""
            super().data_received(data)
        super().eof_received()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Take the end of the connection; aiohttp leaves who reads a body with bad chunks waiting."""
        payload = self._payload
        super().connection_lost(exc)
        if payload is not None and not payload.is_eof() and payload.exception() is None:
            payload.set_exception(ClientPayloadError("the body cannot be read"))

    def _take(self, data: bytes) -> bytes:
        """Return what may be parsed: nothing before a head is whole."""
        data, self._head = self._head + data, b""
        end = _HEAD_END.search(data)
        if end is None:
            if len(data) < _LIMIT_BYTES and data[:5] == b"HTTP/"[: len(data)]:
                self._head = data
                return b""
            self._in_head = False
            return data
        if data[9:10] == b"1" and data[9:12] != b"101":
            interim = data[: end.end()]  # another head follows
            rest = data[end.end() :]
            return interim + (self._take(rest) if rest else b"")
        self._in_head = False
        return with_one_length(data[: end.start()]) + data[end.start() :]


def with_one_length(head: bytes) -> bytes:
    """Return a head with one `Content-Length` in place of several equal ones."""
    found = list(_LENGTH.finditer(head))
    values = [value.strip() for match in found for value in match[1].split(b",")]
    if len(values) < 2 or len(set(values)) > 1:
        return head
    one = b"\r\nContent-Length: " + values[0]
    first, *others = found
    for match in reversed(others):
        head = head[: match.start()] + head[match.end() :]
    return head[: first.start()] + one + head[first.end() :]
