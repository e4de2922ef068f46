"""One connection to an endpoint: a request goes out, its answer comes in, and the next may follow."""

import asyncio
import select
from typing import Protocol, cast

import aiohttp

from cab.proxy.http.wire.answer_head import MAX_HEAD_BYTES, AnswerHead, KnownAnswers
from cab.proxy.http.wire.chunks import ChunkReader


class AnswerSink(Protocol):
    """Takes the answer of one request, as it comes. Nothing comes after `ended`, `odd` or `failed`."""

    def head(self, head: AnswerHead) -> None:
        """Take the head."""
        ...

    def body(self, data: bytes) -> None:
        """Take the next bytes of the body."""
        ...

    def ended(self) -> None:
        """Take the end of the body; the connection is free for the next request, or closed."""
        ...

    def flush(self) -> None:
        """Take note that this is all for now: what was put together may be sent."""
        ...

    def odd(self, connection: "EndpointConnection", begun: bytes) -> None:
        """Take the beginning of an answer that is not read here, and the connection, which is paused."""
        ...

    def failed(self, error: Exception) -> None:
        """Take the end of the connection before that of the answer."""
        ...


class ConnectionKeeper(Protocol):
    """Keeps connections that no request uses."""

    heads: KnownAnswers
    """Those that came lately."""

    def keep(self, connection: "EndpointConnection") -> None:
        """Take a connection that is free for the next request."""
        ...

    def forget(self, connection: "EndpointConnection") -> None:
        """Take note that a free connection has ended."""
        ...


class EndpointConnection(asyncio.Protocol):
    """A connection to an endpoint.

    Args:
        keeper: Gets it back after each answer.
    """

    __slots__ = (
        *("_chunks", "_head", "_is_bodiless", "_keeper", "_left", "_pending", "_poll"),
        *("_until_close", "sink", "idle_since_s", "received", "reused", "taken_at_s", "taken_tick"),
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self, keeper: ConnectionKeeper) -> None:
        self._keeper = keeper
        self.sink: AnswerSink | None = None
        """Takes the answer that is under way."""
        self._poll: select.poll | None = None
        self._is_bodiless = False
        self.reused = False
        """Whether it had another answer before."""
        self.received = False
        """Whether anything has come since the request got it."""
        self.taken_at_s = 0.0
        self.taken_tick = 0
        self.idle_since_s = 0.0
        self._begin()

    def _begin(self) -> None:
        self._pending = b""
        self._head: AnswerHead | None = None
        self._chunks: ChunkReader | None = None
        self._left = 0
        self._until_close = False

    def send(
        self, parts: tuple[bytes, ...], sink: AnswerSink, *, is_bodiless: bool = False
    ) -> None:
        """Send a request, whose answer the sink gets.

        Args:
            parts: The request.
            sink: Takes the answer.
            is_bodiless: Whether the answer has a head only, as one to HEAD.
        """
        self.sink = sink
        self._is_bodiless = is_bodiless
        self.received = False
        if len(parts) == 1:
            self.transport.write(parts[0])
        else:
            self.transport.writelines(parts)

    def pause_reading(self) -> None:
        """Read nothing more of the answer for now."""
        if not self.transport.is_closing():
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Go on reading."""
        if not self.transport.is_closing():
            self.transport.resume_reading()

    @property
    def is_usable(self) -> bool:
        """Whether a free connection is open and has nothing to read: an end is something to read too."""
        if self.transport.is_closing():
            return False
        if self._poll is None:
            self._poll = select.poll()
            descriptor = self.transport.get_extra_info("socket").fileno()
            self._poll.register(descriptor, select.POLLIN)
        return not self._poll.poll(0)

    def drop(self) -> None:
        """Close the connection; the sink gets nothing more."""
        self.sink = None
        self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it

    def data_received(self, data: bytes) -> None:
        """Take bytes of the answer."""
        self.received = True
        sink, chunks = self.sink, self._chunks
        if sink is None:
            self.transport.abort()  # they belong to no request
            return
        if chunks is not None and (piece := chunks.whole(data)) is not None:
            sink.body(piece)
        elif self._head is None:
            self._take_head(self._pending + data if self._pending else data)
        else:
            self._take_body(data)
        self._flush()

    def _flush(self) -> None:
        if self.sink is not None:
            self.sink.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """Take the end of the connection, which may be that of the answer."""
        sink, self.sink = self.sink, None
        self._keeper.forget(self)
        if sink is None:
            return
        if self._until_close and exc is None:
            sink.ended()
        elif self._head is not None:
            message = "the connection ended before the answer did"
            sink.failed(aiohttp.ClientPayloadError(message if exc is None else f"{message}: {exc}"))
        else:
            sink.failed(exc or aiohttp.ServerDisconnectedError())

    def _take_head(self, data: bytes) -> None:
        sink, heads = self.sink, self._keeper.heads
        if sink is None:
            return
        head: AnswerHead | None
        if (known := heads.match(data)) is not None:
            head, begin = known
        else:
            begin = data.find(b"\r\n\r\n") + 4
            if begin < 4 and len(data) <= MAX_HEAD_BYTES and _may_be_head(data):
                self._pending = data
                return
            head = None if begin < 4 else heads.read(data[:begin])
        self._pending = b""
        if head is None:
            self.sink = None
            self._keeper.forget(self)
            self.pause_reading()  # who takes it may have to wait first
            sink.odd(self, data)
            return
        self._head = head
        has_body = head.has_body and not self._is_bodiless
        if not has_body:
            pass
        elif head.is_chunked:
            self._chunks = ChunkReader()
        elif head.content_length is not None:
            self._left = head.content_length
        else:
            self._until_close = True
        sink.head(head)
        if not has_body:
            self._end(data[begin:])
        elif len(data) > begin and self.sink is not None:
            self._take_body(data[begin:])

    def _take_body(self, data: bytes) -> None:
        sink = self.sink
        if sink is None:
            return
        if self._chunks is not None:
            self._take_chunks(self._chunks, data)
            return
        over, rest = False, b""
        if not self._until_close:
            over = len(data) >= self._left
            if over:
                data, rest = data[: self._left], data[self._left :]
            self._left -= len(data)
        sink.body(data)
        if over and self.sink is not None:
            self._end(rest)

    def _take_chunks(self, chunks: ChunkReader, data: bytes) -> None:
        for piece in chunks.feed(data):
            if self.sink is None:
                return
            self.sink.body(piece)
        if chunks.done:
            self._end(chunks.rest)
        elif chunks.fault is not None:
            sink = self.sink
            self.drop()
            if sink is not None:
                sink.flush()
                sink.failed(aiohttp.ClientPayloadError(str(chunks.fault)))

    def _end(self, rest: bytes) -> None:
        """Take the end of the answer: the next request may follow, if all of this one has left."""
        sink, self.sink = self.sink, None
        keeps = self._head is not None and self._head.keeps_alive
        self._begin()
        # The end of the answer may come before that of the request.
        if rest or not keeps or self.transport.get_write_buffer_size():
            self.transport.close()
        else:
            self.reused = True
            self.resume_reading()
            self._keeper.keep(self)
        if sink is not None:
            sink.ended()


def _may_be_head(data: bytes) -> bool:
    """Return whether the rest of an ordinary head may follow; one with bare line feeds never ends here."""
    return b"HTTP/1.1 "[: len(data)] == data[:9] and b"\n\n" not in data
