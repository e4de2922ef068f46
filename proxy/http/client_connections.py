"""The clients' connections: how many there may be, and how long the head of a request may take.

A connection is busy from the head of a request until its answer is out; a WebSocket is busy as long as it
is open. One that is not busy costs nothing but its place: it is kept, and closed only when a new one needs
that place, the one first that has been idle longest.

A subclass of aiohttp's protocol, which has no public way to see when a connection is idle. It depends on
private parts that are the same from 3.11 to 3.14: `_handle_request`, `_messages`, `_waiter`,
`_force_close`, `_lingering_time`.
"""

import asyncio
import select
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, Protocol, cast

from aiohttp import web

from cab.proxy.http.error_responses import ErrorResponse, raw_response
from cab.proxy.http.half_close import WATCHES, HalfClosed, HangUpWatch, may_wait
from cab.proxy.http.headers import is_passed_on
from cab.proxy.http.tls_certificate import ListenerTls
from cab.proxy.http.wire.client_connection import OrdinaryCall, OrdinaryConnection
from cab.proxy.http.wire.request_head import KnownHeads, RequestHead
from cab.proxy.http.wire.tls import TlsConnection
from cab.proxy.http.wire.turns import Turns
from cab.proxy.logs import SILENT, RedactingLogger, Repeats

_PLAIN = ErrorResponse(
    400, "https_required", "this port speaks https; write https:// in the address"
)
IDLE_TIMEOUT_S = 3630.0
"""Longer than clients keep an idle connection: it is they who close it, so no request meets its end."""

log = RedactingLogger()


Serve = Callable[[OrdinaryConnection, RequestHead, bytes], OrdinaryCall | None]

PARTIAL_S = 1.0
"""How long the rest of an ordinary request may take; after that aiohttp's limits begin."""


class KeptConnection(Protocol):
    """A client's connection."""

    def is_unused(self) -> bool:
        """Return whether nothing has come that was not looked at yet, such as a request."""
        ...

    def force_close(self) -> None:
        """Close it, behind what was written."""
        ...

    def has_unsent(self) -> bool:
        """Return whether the client has not taken all that was written."""
        ...


class ConnectionLimits(NamedTuple):
    """What the clients of one listener may take."""

    connections: int
    """Most connections at a time; a call whose client has gone counts as one."""
    head_timeout_s: float
    """How long the head of a request may take, from the connection's beginning or its first byte."""


class HttpServer(web.Server):
    """An aiohttp server whose connections are limited; it logs nothing, and has no access log.

    Args:
        handle: Answers a request.
        limits: What its clients may take.
        calls: Gives how many calls are in flight, with their clients or without.
        serve: Begins a call of an ordinary request; None leaves all requests to aiohttp.
        tls: What clients speak TLS with; None: they speak plain HTTP.
        options: As for `aiohttp.web.Server`.
    """

    def __init__(
        self,
        handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        limits: ConnectionLimits,
        calls: Callable[[], int] = lambda: 0,
        serve: Serve | None = None,
        tls: ListenerTls | None = None,
        **options: Any,  # noqa: ANN401 - aiohttp's
    ) -> None:
        self.limits = limits
        self._calls = calls
        options |= {"keepalive_timeout": IDLE_TIMEOUT_S, "access_log": None, "logger": SILENT}
        super().__init__(handle, **options)
        self._serve = serve
        self._tls = tls
        self._heads = KnownHeads(is_passed_on, "http" if tls is None else "https")
        self.turns = Turns()
        """When ordinary requests begin that come at once."""
        self._open: set[KeptConnection] = set()
        self._idle: dict[KeptConnection, float] = {}
        """Connections without a request, and since when; the oldest first."""
        self._idle_sweep: asyncio.TimerHandle | None = None
        self._partial: dict[OrdinaryConnection, float] = {}
        """Connections with a part of a request, and since when; the oldest first."""
        self._sweep: asyncio.TimerHandle | None = None
        self._unsent: set[KeptConnection] = set()
        """Connections that are closed once their clients have taken what was written."""
        self._is_sent = asyncio.Event()
        self._repeats = Repeats(1)
        self.hang_ups = HangUpWatch()
        """Of clients that have ended their side."""

    def __call__(self) -> asyncio.Protocol:  # type: ignore[override]
        """Return the protocol of a new connection."""
        if self._serve is None:
            protocol: asyncio.Protocol = self.other()
        else:
            protocol = OrdinaryConnection(self, self._heads)
        if self._tls is None:
            return protocol
        return TlsConnection(self._tls.context, protocol, raw_response(_PLAIN))

    def other(self) -> "ClientConnection":
        """Return the protocol of a connection whose requests aiohttp serves."""
        return ClientConnection(self, loop=self._loop, **self._kwargs)

    def serve(
        self, connection: OrdinaryConnection, head: RequestHead, body: bytes
    ) -> OrdinaryCall | None:
        """Begin a call of an ordinary request; None if it is not served in this way."""
        return None if self._serve is None else self._serve(connection, head, body)

    def watch_half_closed(
        self, transport: asyncio.Transport, may_wait: Callable[[], bool]
    ) -> HalfClosed | None:
        """Begin to ask a client that has ended its side whether it is there; None if that cannot be told."""
        if not WATCHES:
            return None
        half_closed = HalfClosed(transport, self.hang_ups)
        half_closed.ask(may_wait)
        return half_closed

    def refuse(self, transport: asyncio.Transport) -> None:
        """Answer a connection that has no place."""
        message = "the proxy has too many connections; try again, or raise its max_connections"
        refusal = ErrorResponse(503, "connections_full", message, retry=True)
        transport.write(raw_response(refusal))
        transport.close()

    def note_partial(self, connection: OrdinaryConnection) -> None:
        """Take note that a request has come in part."""
        self._partial[connection] = self._loop.time()
        if self._sweep is None:
            self._sweep = self._loop.call_later(self._partial_s, self._look_at_partial)

    def note_whole(self, connection: OrdinaryConnection) -> None:
        """Take note that the rest has come."""
        self._partial.pop(connection, None)

    @property
    def _partial_s(self) -> float:
        return min(PARTIAL_S, self.limits.head_timeout_s / 4)

    def _look_at_partial(self) -> None:
        """End what takes too long: a head is given up, the rest of a body is read by aiohttp."""
        self._sweep, now_s = None, self._loop.time()
        for connection, since_s in list(self._partial.items()):
            waited_s = now_s - since_s
            if connection.has_whole_head and waited_s >= PARTIAL_S:
                connection.hand_over()
            elif connection.has_whole_head or waited_s < self.limits.head_timeout_s:
                continue
            elif connection.is_unused():  # else this process stood still, and the rest is here
                self.give_up_head(connection.transport, begun=connection.has_begun)
                connection.force_close()
        if self._partial:
            self._sweep = self._loop.call_later(self._partial_s, self._look_at_partial)

    def give_up_head(self, transport: asyncio.Transport | None, *, begun: bool) -> None:
        """Answer a request whose head did not come in time."""
        if begun and transport is not None:
            limit_s = self.limits.head_timeout_s
            message = f"the head of the request did not come within {limit_s:g} s; send it again"
            late = ErrorResponse(408, "request_timeout", message, retry=True)
            transport.write(raw_response(late))

    async def send_rest(self, limit_s: float) -> None:
        """Close the connections whose clients have not taken all yet, and wait until they have, or for so long."""
        self._unsent = {connection for connection in self._open if connection.has_unsent()}
        for connection in tuple(self._unsent):
            connection.force_close()
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while self._unsent:
                    await self._is_sent.wait()

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - aiohttp's
        """Close all connections."""
        for timer in (self._sweep, self._idle_sweep):
            if timer is not None:
                timer.cancel()
        for connection in list(self._open):
            if isinstance(connection, OrdinaryConnection):
                connection.force_close()
        await super().shutdown(timeout)

    def take(self, connection: KeptConnection) -> bool:
        """Return whether a new connection has a place, if need be that of an idle one."""
        if self._is_full():
            closed = 0
            while self._is_full() and self._close_idle():
                closed += 1
            if (left_out := self._repeats.left_out(bool(closed))) is not None:
                limit = self.limits.connections
                values = {"max_connections": limit, "closed": closed, "left_out": left_out}
                log.warning("connections_full", **values)
            if self._is_full():
                return False
        self._open.add(connection)
        self.note_idle(connection)
        return True

    def note_busy(self, connection: KeptConnection) -> None:
        """Take note that a request has come."""
        self._idle.pop(connection, None)

    def note_idle(self, connection: KeptConnection) -> None:
        """Take note that an answer is out, and no request has come."""
        if connection in self._open:
            self._idle[connection] = self._loop.time()
            if self._idle_sweep is None:
                self._idle_sweep = self._loop.call_later(IDLE_TIMEOUT_S, self._close_long_idle)

    def forget(self, connection: KeptConnection) -> None:
        """Give the place of a connection free."""
        self._open.discard(connection)
        self._idle.pop(connection, None)
        if connection in self._unsent:
            self._unsent.discard(connection)
            if not self._unsent:
                self._is_sent.set()

    def _close_long_idle(self) -> None:
        """Close what has been idle for too long, but for aiohttp's own, of which it takes care."""
        self._idle_sweep, due_s = None, self._loop.time() - IDLE_TIMEOUT_S
        for connection, since_s in list(self._idle.items()):
            if since_s > due_s:
                wait_s = since_s - due_s
                self._idle_sweep = self._loop.call_later(wait_s, self._close_long_idle)
                break
            if isinstance(connection, OrdinaryConnection):
                connection.force_close()

    def _is_full(self) -> bool:
        # A call may outlive its client's connection, and holds one to the endpoint still.
        busy = max(len(self._open) - len(self._idle), self._calls())
        return len(self._idle) + busy >= self.limits.connections

    def _close_idle(self) -> bool:
        """Close the connection that has been idle longest; return whether there was one."""
        for connection in self._idle:
            if connection.is_unused():
                self.forget(connection)
                connection.force_close()
                return True
        return False


class ClientConnection(web.RequestHandler):
    """The connection of one client.

    Args:
        server: Gives it a place.
        options: As for `aiohttp.web.RequestHandler`.
    """

    def __init__(self, server: HttpServer, **options: Any) -> None:  # noqa: ANN401 - aiohttp's
        super().__init__(server, **options)
        self._server = server
        self._is_busy = False
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_begun = False
        self._answering: web.BaseRequest | None = None
        self._half_closed: HalfClosed | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a place, or refuse."""
        if self._server.take(self):
            super().connection_made(transport)
            self._time_head()
        else:
            # uvloop's is no subclass of it.
            self._server.refuse(cast("asyncio.Transport", transport))

    def connection_lost(self, exc: BaseException | None) -> None:
        """Give the place free."""
        self._server.forget(self)
        self._stop_timing()
        if self._half_closed is not None:
            self._half_closed.close()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override] # aiohttp's always closes, and says None
        """Take note that the client has ended its side; return whether the connection stays open for its answer."""
        if self._half_closed is not None:
            return True
        request, transport = self._answering, self.transport
        if not self._is_busy or transport is None or (request and not may_wait(request)):
            return False
        self._half_closed = HalfClosed(transport, self._server.hang_ups)
        if request is not None:
            self._half_closed.ask(partial(may_wait, request))
        return True

    def data_received(self, data: bytes) -> None:
        """Take in what came; a head that did not come whole is timed."""
        super().data_received(data)
        if self._is_busy or not data or self._force_close:
            return
        if self._messages:
            self._begin()
        elif self._waiter is not None:  # else it is the rest of a body that nobody wants
            self._head_begun = True
            if self._head_timer is None:
                self._time_head()

    def is_unused(self) -> bool:
        """Return whether nothing has come that was not looked at yet, such as a request."""
        if self.transport is None:
            return True
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not poll.poll(0)

    def has_unsent(self) -> bool:
        """Return whether the client has not taken all that was written."""
        return self.transport is not None and self.transport.get_write_buffer_size() > 0

    def close(self) -> None:
        """Close the connection behind the answer that is under way."""
        super().close()
        self._lingering_time = 0.0  # nothing more is read, so the end of a body cannot come

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; where another one has begun, its client sees that break off instead."""
        if request.writer.output_size and not resp.prepared:
            self.force_close()
            return resp, True
        return await super().finish_response(request, resp, start_time)

    async def _handle_request(
        self,
        request: web.BaseRequest,
        start_time: float | None,
        request_handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
    ) -> tuple[web.StreamResponse, bool]:
        self._begin()
        self._answering = request
        if self._half_closed is not None:
            self._go_on_half_closed(self._half_closed, request)
        try:
            return await super()._handle_request(request, start_time, request_handler)
        finally:
            self._answering = None
            if not self._messages:
                self._is_busy = False
                self._server.note_idle(self)
                if self._half_closed is not None:
                    self.close()

    def _go_on_half_closed(self, half_closed: HalfClosed, request: web.BaseRequest) -> None:
        """Begin with a request behind which its client has ended its side."""
        if may_wait(request):
            half_closed.ask(partial(may_wait, request))
        elif self.transport is not None:
            self.transport.close()

    def _begin(self) -> None:
        self._is_busy = True
        self._stop_timing()
        self._server.note_busy(self)

    def _time_head(self) -> None:
        limit_s = self._server.limits.head_timeout_s
        self._head_timer = self._loop.call_later(limit_s, self._give_up_head)

    def _stop_timing(self) -> None:
        self._head_begun = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up_head(self) -> None:
        if not self.is_unused():  # this process stood still, and the rest is here
            self._time_head()
            return
        self._server.give_up_head(self.transport, begun=self._head_begun)
        self.force_close()
