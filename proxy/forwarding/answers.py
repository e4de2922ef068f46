"""The endpoint's answer to one request, whoever reads it: our own wire, or aiohttp."""

import asyncio
from collections import deque
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Protocol

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from cab.proxy.http.headers import as_sent
from cab.proxy.http.wire.answer_head import AnswerHead
from cab.proxy.http.wire.endpoint_connection import EndpointConnection
from cab.proxy.http.wire.response_heads import HeadReader

_BUFFER_BYTES = 1 << 16
"""The connection is not read while so much waits for who reads the answer."""
HEAD_LINE_BYTES = 1 << 16
"""Longest line in the head of an answer that aiohttp reads."""


class Body(Protocol):
    """The body of an answer, piece by piece."""

    async def read(self) -> bytes:
        """Return the next bytes, none at the end.

        Raises:
            aiohttp.ClientError: The answer broke off.
            OSError: The connection did.
        """
        ...

    def close(self) -> None:
        """Let go of the connection; it is closed if the answer is not over."""
        ...


class EndpointAnswer:
    """An endpoint's answer, head read, body not.

    Args:
        method: The request's method.
        url: What was asked.
        status: HTTP status.
        reason: The text behind it.
        raw_headers: All headers, as they came.
        content_length: As stated; None if it is not.
        body: The bytes that follow.
    """

    def __init__(  # noqa: PLR0913 - the parts of an answer
        self,
        method: str,
        url: URL,
        status: int,
        reason: str,
        raw_headers: Sequence[tuple[bytes, bytes]],
        content_length: int | None,
        body: Body,
    ) -> None:
        self.method = method
        self.url = url
        self.status = status
        self.reason = reason
        self.raw_headers = raw_headers
        self.content_length = content_length
        self.read = body.read
        self.close = body.close

    @cached_property
    def headers(self) -> CIMultiDictProxy[str]:
        """The headers, by name."""
        return as_sent(self.raw_headers)

    @property
    def is_event_stream(self) -> bool:
        """Whether its header says that it holds server-sent events."""
        kind = self.headers.get("Content-Type", "").partition(";")[0]
        return kind.strip().lower() == "text/event-stream"


class _AiohttpBody:
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def read(self) -> bytes:
        return await _read_payload(self._response.content)

    def close(self) -> None:
        self._response.close()


def from_aiohttp(response: aiohttp.ClientResponse) -> EndpointAnswer:
    """Return an answer that aiohttp's client got."""
    return EndpointAnswer(
        response.method,
        response.url,
        response.status,
        response.reason or "",
        response.raw_headers,
        response.content_length,
        _AiohttpBody(response),
    )


class DirectBody:
    """A body that comes over our own wire: an `AnswerSink` to whoever awaits its pieces.

    Args:
        connection: Where it comes from; None if that is over.
    """

    def __init__(self, connection: EndpointConnection | None) -> None:
        self._connection = connection
        self._pieces: deque[bytes] = deque()
        self._size_bytes = 0
        self._is_paused = False
        self._is_over = False
        self._error: Exception | None = None
        self._odd: bytes | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.answer_head: AnswerHead | None = None

    async def wait_head(self) -> AnswerHead | bytes:
        """Return the head; or how an answer begins that is not read here.

        Raises:
            aiohttp.ClientError: There is none.
            OSError: The connection broke.
        """
        while self.answer_head is None and self._odd is None:
            self._raise()
            await self._more()
        return self._odd if self._odd is not None else self.answer_head or b""

    async def read(self) -> bytes:
        """Return the next bytes, none at the end."""
        while not self._pieces:
            if self._is_over:
                return b""
            self._raise()
            await self._more()
        piece = self._pieces.popleft()
        self._size_bytes -= len(piece)
        if self._is_paused and self._size_bytes <= _BUFFER_BYTES // 2:
            self._pause(on=False)
        return piece

    def close(self) -> None:
        """Close the connection, unless the answer is over."""
        if self._connection is not None:
            self._connection.drop()
            self._connection = None

    def head(self, head: AnswerHead) -> None:
        """Take the head."""
        self.answer_head = head
        self._wake()

    def body(self, data: bytes) -> None:
        """Take the next bytes."""
        self._pieces.append(data)
        self._size_bytes += len(data)
        if self._size_bytes > _BUFFER_BYTES and not self._is_paused:
            self._pause(on=True)
        self._wake()

    def ended(self) -> None:
        """Take the end."""
        self._connection = None
        self._is_over = True
        self._wake()

    def flush(self) -> None:
        """Nothing is put together here."""

    @property
    def wants_more(self) -> bool:
        """Whether there is room for more of the body."""
        return not self._is_paused and self._odd is None

    def odd(self, connection: EndpointConnection, begun: bytes) -> None:
        """Take the beginning of an answer that is not read here."""
        self._connection = connection
        self._odd = begun
        self._wake()

    def failed(self, error: Exception) -> None:
        """Take the end of the connection."""
        self._connection = None
        self._error = error
        self._wake()

    def _pause(self, *, on: bool) -> None:
        self._is_paused = on
        if self._connection is not None:
            (self._connection.pause_reading if on else self._connection.resume_reading)()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    async def _more(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def from_direct(method: str, url: URL, head: AnswerHead, body: Body) -> EndpointAnswer:
    """Return an answer of our own wire."""
    return EndpointAnswer(
        method,
        url,
        head.status,
        head.reason.decode("utf-8", "surrogateescape"),
        head.raw_headers,
        head.content_length,
        body,
    )


class _OddBody:
    """A body that aiohttp reads on a connection that it did not make."""

    def __init__(self, reader: HeadReader, transport: asyncio.Transport, payload: Any) -> None:  # noqa: ANN401 - aiohttp's
        self._reader = reader
        self._transport = transport
        self._payload = payload

    async def read(self) -> bytes:
        return await _read_payload(self._payload)

    def close(self) -> None:
        self._transport.abort()


async def read_odd(
    method: str, url: URL, transport: asyncio.Transport, begun: bytes
) -> EndpointAnswer:
    """Return an answer whose form is not an ordinary one; its connection ends with it.

    Args:
        method: The request's method.
        url: What was asked.
        transport: The connection, not being read.
        begun: What has come of the answer.

    Raises:
        aiohttp.ClientError: It is no HTTP.
        OSError: The connection broke.
    """
    reader = HeadReader(asyncio.get_running_loop())
    transport.set_protocol(reader)
    reader.connection_made(transport)
    lines = {"max_line_size": HEAD_LINE_BYTES, "max_field_size": HEAD_LINE_BYTES}
    reader.set_response_params(
        skip_payload=method == "HEAD", read_until_eof=True, auto_decompress=False, **lines
    )
    try:
        reader.data_received(begun)
        if transport.is_closing():  # its end may have been told already, to who had it before
            reader.connection_lost(None)
        else:
            transport.resume_reading()
        message, payload = await reader.read()
        while 100 <= message.code <= 199 and message.code != 101:
            message, payload = await reader.read()
    except aiohttp.http.HttpProcessingError as error:
        transport.abort()
        raise aiohttp.ClientError(error.message) from error
    except BaseException:
        transport.abort()
        raise
    length = message.headers.get("Content-Length")
    return EndpointAnswer(
        method,
        url,
        message.code,
        message.reason,
        message.raw_headers,
        int(length) if length is not None and length.isdigit() else None,
        _OddBody(reader, transport, payload),
    )


async def _read_payload(content: aiohttp.StreamReader) -> bytes:
    # Not iter_chunks: on a response without a body it may never end (aiohttp 3.14).
    while not content.at_eof():
        try:
            chunk, _ = await content.readchunk()
        except (aiohttp.ClientError, OSError):
            chunk = _came_before(content)
            if not chunk:
                raise
        if chunk:
            return chunk
    return b""


def _came_before(content: aiohttp.StreamReader) -> bytes:
    """Return what is here of an answer that broke off: aiohttp has no public way to it."""
    return content._read_nowait(-1) if content._buffer else b""  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
