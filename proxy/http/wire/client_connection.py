"""A client's connection as long as it carries ordinary requests; with the first other one it goes to aiohttp."""

import asyncio
import select
from collections.abc import Callable
from typing import Protocol, cast

from cab.proxy.http.wire.request_head import MAX_HEAD_BYTES, KnownHeads, RequestHead
from cab.proxy.http.wire.turns import Turns

MAX_BODY_BYTES = 1 << 18
"""A larger body is aiohttp's: reading it takes time, and there must be room for it."""
_AHEAD_BYTES = 1 << 16
"""How much of the next request is taken in while a call runs."""


class HalfClosedWatch(Protocol):
    """Looks whether a client that has ended its side is still there."""

    def close(self) -> None:
        """Look no more."""
        ...


class OrdinaryCall(Protocol):
    """A call whose client has the connection."""

    @property
    def is_unanswered(self) -> bool:
        """Whether no byte of the answer is out."""
        ...

    def client_left(self) -> None:
        """Take note that the connection is gone."""
        ...

    def hold(self) -> None:
        """Send nothing more until `resume`, but what is on its way."""
        ...

    def resume(self) -> None:
        """Go on sending."""
        ...


class Keeper(Protocol):
    """Gives connections their places, and serves their requests."""

    def take(self, connection: "OrdinaryConnection") -> bool:
        """Return whether a new connection has a place."""
        ...

    def refuse(self, transport: asyncio.Transport) -> None:
        """Answer a connection that has none."""
        ...

    def forget(self, connection: "OrdinaryConnection") -> None:
        """Give its place free."""
        ...

    def note_busy(self, connection: "OrdinaryConnection") -> None:
        """Take note that a request has come."""
        ...

    def note_idle(self, connection: "OrdinaryConnection") -> None:
        """Take note that an answer is out."""
        ...

    def note_partial(self, connection: "OrdinaryConnection") -> None:
        """Take note that a request has come in part; `hand_over` it if the rest takes long."""
        ...

    def note_whole(self, connection: "OrdinaryConnection") -> None:
        """Take note that the rest has come."""
        ...

    def watch_half_closed(
        self, transport: asyncio.Transport, may_wait: Callable[[], bool]
    ) -> HalfClosedWatch | None:
        """Begin to look whether a client that has ended its side is there; None if that cannot be told."""
        ...

    def other(self) -> asyncio.Protocol:
        """Return the protocol of connections whose requests are not ordinary."""
        ...

    def serve(
        self, connection: "OrdinaryConnection", head: RequestHead, body: bytes
    ) -> OrdinaryCall | None:
        """Begin a call, which ends with `finished`; None if it is not served here."""
        ...

    turns: Turns
    """When requests begin that come at once."""


class OrdinaryConnection(asyncio.Protocol):
    """One client's connection.

    Args:
        keeper: Serves it.
        heads: Those that came lately.
    """

    __slots__ = (
        *("_call", "_have", "_head", "_heads", "_is_partial", "_is_paused", "_keeper", "_need"),
        *("_half_closed", "_is_held", "_pieces", "_poll", "_waiting", "client", "transport"),
    )

    transport: asyncio.Transport

    def __init__(self, keeper: Keeper, heads: KnownHeads) -> None:
        self._keeper = keeper
        self._heads = heads
        self._head: RequestHead | None = None
        """Of the last request: the next one usually has the same shape."""
        self.client: str | None = None
        """Its address, once it has a place."""
        self._call: OrdinaryCall | None = None
        self._pieces: list[bytes] = []
        """Of the next request."""
        self._have = 0
        """Their size."""
        self._need = 0
        """How much of it makes a whole request, 0 while that is not known."""
        self._is_partial = False
        self._is_paused = False
        self._is_held = False
        """Whether the client does not keep up: until it does, its next request waits."""
        self._waiting: tuple[float, int, int] | None = None
        """When a request came that waits for its turn, and where its body begins and ends; None if none does."""
        self._poll: select.poll | None = None
        self._half_closed: HalfClosedWatch | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a place, or refuse."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it
        if not self._keeper.take(self):
            self._keeper.refuse(self.transport)
            return
        peer: tuple[str, ...] | str | None = transport.get_extra_info("peername")
        self.client = peer[0] if isinstance(peer, tuple) else None  # of a socket file it is a text
        self._partial(on=True)  # a connection that says nothing is not kept

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - however it ended
        """Give the place free."""
        self.begin()  # what came as a whole is a call, whose client has gone
        self._partial(on=False)
        self._keeper.forget(self)
        if self._half_closed is not None:
            self._half_closed.close()
        call, self._call = self._call, None
        if call is not None:
            call.client_left()

    def eof_received(self) -> bool:
        """Take note that the client has ended its side; return whether the connection stays open."""
        self.begin()
        if (now := self.transport.get_protocol()) is not self:  # its request was not ordinary
            return isinstance(now, asyncio.Protocol) and bool(now.eof_received())
        if self._half_closed is None and self._is_unanswered():
            watch = self._keeper.watch_half_closed(self.transport, self._is_unanswered)
            self._half_closed = watch
        return self._half_closed is not None

    def _is_unanswered(self) -> bool:
        return self._call is not None and self._call.is_unanswered

    def pause_writing(self) -> None:
        """Tell the call that the client does not keep up."""
        self._is_held = True
        if self._call is not None:
            self._call.hold()

    def resume_writing(self) -> None:
        """Tell the call that it does."""
        self._is_held = False
        if self._call is not None:
            self._call.resume()
        elif self._waiting is None:
            self._next()

    def data_received(self, data: bytes) -> None:
        """Take bytes of a request."""
        is_busy = self._call is not None or self._is_held or self._waiting is not None
        if self._pieces or is_busy:
            self._have = self._have + len(data) if self._pieces else len(data)
            self._pieces.append(data)
            if is_busy:
                if self._have > _AHEAD_BYTES and not self._is_paused:
                    self._is_paused = True
                    self.transport.pause_reading()
                return
            if self._have < (self._need or (0 if b"\n" in data else MAX_HEAD_BYTES)):
                return
            data = b"".join(self._pieces)
            self._pieces.clear()
        self._take(data)

    def write(self, data: bytes) -> None:
        """Send bytes of an answer; none to a client that has gone."""
        if not self.transport.is_closing():
            self.transport.write(data)

    def finished(self) -> None:
        """Take note that the answer is out: the next request may be served."""
        self._call = None
        # A transport says once that it is full: a call that began now would never hear of it.
        if not self._is_held:
            self._next()

    def _next(self) -> None:
        """Serve the next request, if it has come."""
        if self.transport.is_closing():
            return
        if self._is_paused:
            self._is_paused = False
            self.transport.resume_reading()
        if self._half_closed is not None and not self._pieces:
            self.transport.close()
            return
        if not self._pieces:
            self._keeper.note_idle(self)
            return
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._take(data)

    @property
    def has_whole_head(self) -> bool:
        """Whether all that is missing of the next request is the rest of its body."""
        return self._need > 0

    @property
    def has_begun(self) -> bool:
        """Whether anything of the next request has come."""
        return bool(self._pieces)

    def hand_over(self, data: bytes | None = None) -> None:
        """Give the connection to aiohttp, with what has come of a request."""
        if self._call is not None or self.transport.is_closing():
            return
        if data is None:
            data = b"".join(self._pieces)
        self._pieces.clear()
        self._partial(on=False)
        self._keeper.forget(self)
        other = self._keeper.other()
        self.transport.set_protocol(other)
        other.connection_made(self.transport)
        if data:
            other.data_received(data)
        half_closed, self._half_closed = self._half_closed, None
        if half_closed is not None:
            half_closed.close()
            if not other.eof_received():  # it is told once only, and was told here
                self.transport.close()

    def force_close(self) -> None:
        """Close the connection."""
        self.transport.close()

    def has_unsent(self) -> bool:
        """Return whether the client has not taken all that was written."""
        return self.transport.get_write_buffer_size() > 0

    def is_unused(self) -> bool:
        """Return whether nothing has come that was not looked at yet, such as a request."""
        if self._call is not None or self._need:
            return False
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not self._poll.poll(0)

    def _take(self, data: bytes) -> None:
        """Take the beginning of a request, or all of it, or more."""
        self._have = len(data)
        known = (self._heads if self._head is None else self._head.shape).match(data)
        if known is not None:
            self._head, length, begin = known
        else:
            end = data.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES)
            if end < 0:
                if not _may_be_ordinary(data):
                    self.hand_over(data)
                    return
                self._wait(data, 0)
                return
            begin = end + 4
            read = self._heads.read(data[:begin])
            if read is None:
                self.hand_over(data)
                return
            self._head, length = read
        if length > MAX_BODY_BYTES:
            self.hand_over(data)
        elif len(data) < begin + length:
            self._wait(data, begin + length)
        else:
            self._serve(data, begin, begin + length)

    def _wait(self, data: bytes, need: int) -> None:
        if self._half_closed is not None:
            self.transport.close()  # the rest will never come
            return
        self._pieces.append(data)
        self._need = need
        if need:
            self._keeper.note_busy(self)
        self._partial(on=True)

    def _serve(self, data: bytes, begin: int, end: int) -> None:
        self._partial(on=False)
        self._keeper.note_busy(self)
        if not self._keeper.turns.may_begin(self):
            self._pieces.append(data)
            self._need = end
            self._waiting = asyncio.get_running_loop().time(), begin, end
            return
        self._serve_now(data, begin, end)

    def begin(self) -> None:
        """Serve the request that waits for its turn, if one does."""
        if self._waiting is None:
            return
        data = b"".join(self._pieces)
        self._pieces.clear()
        try:
            self._serve_now(data, *self._waiting[1:])
        finally:
            self._waiting = None

    @property
    def waited_s(self) -> float:
        """How long the request that is being served has waited for its turn."""
        return asyncio.get_running_loop().time() - self._waiting[0] if self._waiting else 0.0

    def _serve_now(self, data: bytes, begin: int, end: int) -> None:
        self._need = 0
        head = self._head
        if head is None:
            return
        if len(data) > end:
            self._pieces.append(data[end:])
            self._have = len(data) - end
        call = self._keeper.serve(self, head, data[begin:end])
        if call is None:
            self.hand_over(data)
        else:
            self._call = call

    def _partial(self, *, on: bool) -> None:
        if on != self._is_partial:
            self._is_partial = on
            (self._keeper.note_partial if on else self._keeper.note_whole)(self)


def _may_be_ordinary(data: bytes) -> bool:
    """Return whether the rest of an ordinary head may follow."""
    return len(data) < MAX_HEAD_BYTES and b"POST /"[: len(data)] == data[:6] and b"\n\n" not in data
