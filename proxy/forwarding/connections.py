"""The pool of connections to one endpoint: which of them a request may use, and when it goes once more.

A server may close an idle connection at any time: after some seconds (uvicorn and vLLM after 5), or after
every streamed answer although it announced keep-alive (llama.cpp's server). aiohttp's own pool gives out
the *oldest* idle connection, and takes it for open until the event loop has read its end. So this one

- gives out the newest idle connection, which the server closes last;
- looks at its socket first. An idle connection with something to read was closed, was reset, or holds
  bytes that belong to no request;
- remembers what a request got. A close that is still on its way while the request is written cannot be
  seen before; `Attempt.found_stale` says so afterwards.

A subclass of aiohttp's connector, and not an HTTP client of our own: TLS, proxies, name resolution and
the parser stay those of a library that many use. The pool has no public way to choose a connection, so
this depends on private parts of aiohttp that are the same from 3.11 to 3.14: `_get`, `_conns`, `_factory`.
"""

import asyncio
import select
import ssl
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

from cab.proxy.http.wire.response_heads import HeadReader

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ConnectionKey
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

STALE_LIMIT_S = 0.1
"""A reused connection that ends later than this may have carried its request to the model."""
_TICKS = 5
"""The limit is counted in ticks of the event loop: time in which this process stood still, and could not
see the end of a connection, is one tick only."""
_STALL_LIMIT_S = 0.5
"""A connection that was not seen to end for so long is not stale, however busy this machine is."""


class _Protocol(HeadReader):
    """Knows whether anything has come since a request got the connection."""

    received = False

    def data_received(self, data: bytes) -> None:
        self.received = True
        super().data_received(data)


class Attempt:
    """One request on its way to the endpoint; applies to all that is sent inside its `with` block.

    Args:
        fresh: Whether it needs a connection that nobody has used before.
    """

    def __init__(self, *, fresh: bool) -> None:
        self.fresh = fresh
        self._loop = asyncio.get_running_loop()
        self._reused: _Protocol | None = None
        self._taken_s = 0.0
        self._ticks = 0
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> "Attempt":
        self._token = _attempt.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        _attempt.reset(self._token)
        if self._timer is not None:
            self._timer.cancel()

    def takes(self, reused: ResponseHandler) -> None:
        """Take note of the idle connection that the request got."""
        if isinstance(reused, _Protocol):
            reused.received = False
            self._reused = reused
            self._taken_s = self._loop.time()
            self._watch()

    def found_stale(self, error: BaseException) -> bool:
        """Return whether the endpoint had closed the connection before it could read the request.

        That is so if it was a reused one, and it ended at once and before any byte of an answer.

        Args:
            error: What sending the request raised.
        """
        return (
            self._reused is not None
            and not self._reused.received
            and self._ticks < _TICKS
            and self._loop.time() - self._taken_s < _STALL_LIMIT_S
            and isinstance(error, aiohttp.ClientConnectionError | OSError)
            and not isinstance(error, TimeoutError)
        )

    def _watch(self) -> None:
        self._timer = self._loop.call_later(STALE_LIMIT_S / _TICKS, self._tick)

    def _tick(self) -> None:
        self._ticks += 1
        if self._ticks < _TICKS:
            self._watch()


_attempt: ContextVar[Attempt | None] = ContextVar("attempt", default=None)


class PeekingConnector(aiohttp.TCPConnector):
    """A pool that gives out the newest idle connection, and none that the endpoint has closed.

    Args:
        tls: How the endpoint's certificate is verified.
        keepalive_timeout_s: How long an idle connection is kept.
    """

    def __init__(self, tls: ssl.SSLContext | bool, keepalive_timeout_s: float) -> None:
        super().__init__(  # pyright: ignore[reportUnknownMemberType] - of an argument not used here
            limit=0, ssl=tls, keepalive_timeout=keepalive_timeout_s
        )
        protocol: type[ResponseHandler] = _Protocol
        self._factory = partial(protocol, loop=self._loop)

    async def _get(self, key: "ConnectionKey", traces: "list[Trace]") -> "Connection | None":
        attempt = _attempt.get()
        if attempt is not None and attempt.fresh:
            return None
        idle: Any = self._conns.get(key, ())
        while idle and not _is_usable(idle[-1][0]):
            idle.pop()[0].close()
        if idle:
            idle.rotate(1)  # aiohttp takes the first
        connection = await super()._get(key, traces)
        if connection is not None and connection.protocol is not None and attempt is not None:
            attempt.takes(connection.protocol)
        return connection


def _is_usable(protocol: ResponseHandler) -> bool:
    """Return whether an idle connection is open and has nothing to read."""
    if protocol.should_close or not protocol.is_connected() or protocol.transport is None:
        return False
    poll = select.poll()
    poll.register(protocol.transport.get_extra_info("socket").fileno(), select.POLLIN)
    return not poll.poll(0)  # the end of a connection and a reset are events too
