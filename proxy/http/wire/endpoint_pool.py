"""The connections to one endpoint: which of them a request may use, and how new ones are made.

A server may close an idle connection at any time: after some seconds (uvicorn and vLLM after 5), or after
every streamed answer although it announced keep-alive (llama.cpp's server). So the newest idle connection is
given out first, which the server closes last, and its socket is looked at before. A close that is still on
its way while the request is written cannot be seen before; `found_stale` says so afterwards.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections import deque
from typing import Any

import aiohappyeyeballs
from yarl import URL

from cab.proxy.errors import CabProxyError
from cab.proxy.http.wire.answer_head import KnownAnswers
from cab.proxy.http.wire.endpoint_connection import EndpointConnection
from cab.proxy.http.wire.loop_ticks import TICK_S, LoopTicks

STALE_LIMIT_S = 0.1
"""A reused connection that ends later than this may have carried its request to the model."""
_STALL_LIMIT_S = 0.5
"""A connection that was not seen to end for so long is not stale, however busy this machine is."""
_NAMES_KEPT_S = 10.0
_EYEBALLS_DELAY_S = 0.25


class NotConnected(CabProxyError):
    """No connection was made; `code` says at which step."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class EndpointPool:
    """Connections to one endpoint.

    Args:
        base: Scheme, host and port.
        tls: How its certificate is verified, if it speaks TLS.
        connect_timeout_s: Limit for a new connection.
        keepalive_timeout_s: How long an idle connection is kept.
    """

    def __init__(
        self,
        base: URL,
        tls: ssl.SSLContext | bool,
        connect_timeout_s: float,
        keepalive_timeout_s: float,
    ) -> None:
        self._host, self._port = base.host or "", base.port or 80
        self._tls = tls if isinstance(tls, ssl.SSLContext) else None
        self._connect_timeout_s = connect_timeout_s
        self._keepalive_timeout_s = keepalive_timeout_s
        self._loop = asyncio.get_running_loop()
        self._ticks = LoopTicks(self._loop)
        self.heads = KnownAnswers()
        """Heads of answers that came lately."""
        self._idle: deque[EndpointConnection] = deque()
        """The newest last."""
        self._busy: set[EndpointConnection] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._literal = _address_info(self._host, self._port)
        self._addresses: list[Any] = []
        self._addresses_until_s = 0.0
        self._looking_up: asyncio.Task[list[Any]] | None = None

    @property
    def connections(self) -> tuple[int, int]:
        """How many connections are busy with a call, and how many are idle."""
        return len(self._busy), len(self._idle)

    def take(self) -> EndpointConnection | None:
        """Return the newest idle connection that is still open, None if there is none."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable:
                connection.taken_at_s = self._loop.time()
                connection.taken_tick = self._ticks.now()
                self._busy.add(connection)
                return connection
            connection.transport.abort()
        return None

    def found_stale(self, connection: EndpointConnection) -> bool:
        """Return whether the endpoint had closed a connection before it could read the request.

        That is so if it was a reused one, and it ended at once and before any byte of an answer.
        """
        return (
            connection.reused
            and not connection.received
            and (self._ticks.count - connection.taken_tick) * TICK_S < STALE_LIMIT_S
            and self._loop.time() - connection.taken_at_s < _STALL_LIMIT_S
        )

    async def connect(self) -> EndpointConnection:
        """Return a new connection.

        Raises:
            NotConnected: There is none.
        """
        limit = asyncio.timeout(self._connect_timeout_s)
        try:
            async with limit:
                connection = await self._connected()
        except ssl.SSLCertVerificationError as error:
            raise NotConnected("upstream_certificate") from error
        except (ssl.SSLError, ssl.CertificateError) as error:
            raise NotConnected("upstream_tls") from error
        except socket.gaierror as error:
            raise NotConnected("upstream_dns") from error
        except OSError as error:  # TimeoutError is one
            code = "upstream_connect_timeout" if limit.expired() else "upstream_refused"
            raise NotConnected(code) from error
        self._busy.add(connection)
        return connection

    def keep(self, connection: EndpointConnection) -> None:
        """Take a connection that is free for the next request."""
        self._busy.discard(connection)
        connection.idle_since_s = self._loop.time()
        self._idle.append(connection)
        if self._sweep is None:
            self._sweep = self._loop.call_later(self._keepalive_timeout_s, self._close_old)

    def forget(self, connection: EndpointConnection) -> None:
        """Take note that a connection has ended, or is somebody else's now."""
        self._busy.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def close(self) -> None:
        """Close all connections."""
        if self._sweep is not None:
            self._sweep.cancel()
        for connection in (*self._idle, *self._busy):
            connection.drop()
        self._idle.clear()
        self._busy.clear()

    def _close_old(self) -> None:
        self._sweep = None
        due_s = self._loop.time() - self._keepalive_timeout_s
        while self._idle and self._idle[0].idle_since_s <= due_s:
            self._idle.popleft().transport.close()
        if self._idle:
            wait_s = self._idle[0].idle_since_s - due_s
            self._sweep = self._loop.call_later(wait_s, self._close_old)

    async def _connected(self) -> EndpointConnection:
        found = await self._resolved()
        name = self._host if self._tls is not None else None
        if len(found) == 1 and not any(found[0][4][2:]):  # else an address has more than two parts
            host, port = found[0][4][:2]
            _, connection = await self._loop.create_connection(
                self._new, host, port, ssl=self._tls, server_hostname=name
            )
            return connection
        connected = await aiohappyeyeballs.start_connection(  # pyright: ignore[reportUnknownMemberType] - of an argument not used here
            found,
            happy_eyeballs_delay=_EYEBALLS_DELAY_S,
            interleave=1,
            loop=self._loop,
        )
        try:
            _, connection = await self._loop.create_connection(
                self._new, sock=connected, ssl=self._tls, server_hostname=name
            )
        except BaseException:
            connected.close()
            raise
        return connection

    def _new(self) -> EndpointConnection:
        return EndpointConnection(self)

    async def _resolved(self) -> list[Any]:
        """Return the endpoint's addresses; one look-up serves all who wait."""
        if self._literal is not None:
            return [self._literal]
        if self._loop.time() < self._addresses_until_s:
            return self._addresses
        if self._looking_up is None:
            self._looking_up = self._loop.create_task(
                self._loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
            )
            self._looking_up.add_done_callback(self._looked_up)
        return await asyncio.shield(self._looking_up)

    def _looked_up(self, task: "asyncio.Task[list[Any]]") -> None:
        self._looking_up = None
        if not task.cancelled() and task.exception() is None:
            self._addresses = task.result()
            self._addresses_until_s = self._loop.time() + _NAMES_KEPT_S


def _address_info(host: str, port: int) -> tuple[int, int, int, str, tuple[Any, ...]] | None:
    """Return what `getaddrinfo` says of an address; None for a name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if address.version == 4:
        return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port)
    return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port, 0, 0)
