"""One WebSocket connection: messages pass as they came, and each response is a call.

Three things can end it: the endpoint, the client, and the proxy that stops. A client that leaves while
responses are under way is not the end of the other side: those are read on, within the limits of HTTP
calls, for the exact usage.
"""

import asyncio
from contextlib import suppress
from typing import Any

import aiohttp

from cab.proxy.errors import LedgerFailed
from cab.proxy.forwarding.services import ProxyServices
from cab.proxy.forwarding.websocket.asking import Asking
from cab.proxy.forwarding.websocket.calls import ConnectionCalls
from cab.proxy.forwarding.websocket.relaying import Relaying
from cab.proxy.forwarding.websocket.sockets import (
    GOING_AWAY,
    ClientSocket,
    Closing,
    UpstreamSocket,
)
from cab.proxy.logs import RedactingLogger

_STOPPING = Closing(GOING_AWAY, b"the proxy is stopping")


class Connection:
    """A connection from its upgrade to its end.

    Args:
        services: What every call uses.
        calls: Those of this connection.
        client: The client's end.
        upstream: The endpoint's end.
        asking: Reads the client.
        relaying: Reads the endpoint.
    """

    def __init__(  # noqa: PLR0913 - a connection is put together in one place
        self,
        services: ProxyServices,
        calls: ConnectionCalls,
        client: ClientSocket,
        upstream: UpstreamSocket,
        asking: Asking,
        relaying: Relaying,
    ) -> None:
        self._settings = services.settings
        self._calls = calls
        self._client = client
        self._upstream = upstream
        self._asking = asking
        self._relaying = relaying
        self._log = RedactingLogger(calls.redactor)
        self._retiring = asyncio.Event()
        self._stopped = asyncio.Event()
        self._left = asyncio.Event()

    def client_left(self) -> None:
        """Take note that the client's connection is gone."""
        self._left.set()

    def retire(self) -> None:
        """End the connection as soon as no response is under way."""
        self._retiring.set()

    def stop(self) -> None:
        """End the connection now: the proxy stops and its grace time is over."""
        self._stopped.set()

    async def run(self) -> None:
        """Serve the connection to its end."""
        loop = asyncio.get_running_loop()
        up = loop.create_task(self._relaying.run())
        down = loop.create_task(self._until_client_ends())
        others = loop.create_task(self._retired()), loop.create_task(self._calls.failed.wait())
        try:
            await asyncio.wait((up, down, *others), return_when=asyncio.FIRST_COMPLETED)
            if self._calls.failed.is_set():
                await self._end(Closing(None))
            elif down.done() and not up.done():
                await self._drain(up, down.result())
            else:
                await _cancelled(down)
                await self._end(up.result() if up.done() else _STOPPING)
        except Exception as error:  # noqa: BLE001 - whatever it is, the calls end and are logged
            await self._crash(error)
        finally:
            await _cancelled(up, down, *others)
            await self._client.close(Closing(None))
            await self._upstream.close(Closing(None))

    async def _crash(self, error: Exception) -> None:
        """End all calls after a fault; without a Close, the client takes nothing for complete."""
        if isinstance(error, LedgerFailed):
            self._log.error("ledger_failed", error=str(error))
        else:
            self._log.exception("connection_failed", connection=self._calls.connection_id)
        with suppress(LedgerFailed):
            await self._calls.crash(error)

    async def _until_client_ends(self) -> Closing:
        """Return how the client ended the connection; a socket that is gone need not be read to its end."""
        loop = asyncio.get_running_loop()
        reading, leaving = loop.create_task(self._asking.run()), loop.create_task(self._left.wait())
        try:
            await asyncio.wait((reading, leaving), return_when=asyncio.FIRST_COMPLETED)
            return reading.result() if reading.done() else Closing(None)
        finally:
            await _cancelled(reading, leaving)

    async def _retired(self) -> None:
        await self._retiring.wait()
        loop = asyncio.get_running_loop()
        idle = loop.create_task(self._calls.none_left())
        stopped = loop.create_task(self._stopped.wait())
        try:
            await asyncio.wait((idle, stopped), return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _cancelled(idle, stopped)

    async def _end(self, closing: Closing) -> None:
        """End both sides in the way in which one of them, or the proxy, ended it."""
        await self._calls.break_off(aiohttp.ClientConnectionError(closing.text))
        await self._client.close(closing)
        await self._upstream.close(closing)

    async def _drain(self, up: "asyncio.Task[Closing]", closing: Closing) -> None:
        """Read the responses under way to their end, without the client."""
        await self._client.close(closing)
        self._calls.client_left()
        drain = self._settings.on_disconnect == "drain"
        idle = asyncio.get_running_loop().create_task(self._calls.none_left())
        try:
            limit_s = self._settings.drain_max_s if drain else 0
            waiting = (up, idle)
            done, _ = await asyncio.wait(
                waiting, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            await _cancelled(idle)
        why: Exception = TimeoutError()
        if up in done:
            why = aiohttp.ClientConnectionError(up.result().text)
        await self._calls.break_off(why)
        await self._upstream.close(closing)


async def _cancelled(*tasks: "asyncio.Task[Any]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
