"""The way from a container to a proxy that listens elsewhere: connections are passed on, byte for byte.

A sweep's proxy listens on loopback, where no container comes. Each cell has a network of its own, and in
it a relay at this machine's address: the cells do not share a network, and the proxy needs no other address.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Final
from urllib.parse import urlsplit

MOST_CONNECTIONS: Final = 256
"""Open at once: an agent that opens more waits, and does not use up the descriptors of its runner."""

_CHUNK = 1 << 16
_CONNECT_S = 10.0


@asynccontextmanager
async def relayed(host: str, url: str) -> AsyncGenerator[str]:
    """Listen at an address and pass what comes on to a proxy.

    Args:
        host: Address of this machine in the container's network.
        url: Where the proxy listens, `http://HOST:PORT`: a certificate would be for that address only.

    Yields:
        The URL of the relay.
    """
    parts = urlsplit(url)
    relay = _Relay(parts.hostname or host, parts.port or 80)
    server = await asyncio.start_server(relay.serve, host, 0, limit=_CHUNK)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://{host}:{port}"
    finally:
        server.close()
        await relay.close()


class _Relay:
    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._room = asyncio.Semaphore(MOST_CONNECTIONS)
        self._serving: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # asyncio makes one for each connection
        self._serving[task] = writer
        try:
            async with self._room:
                await self._pass_on(reader, writer)
        except OSError:
            return  # one of the two has gone: the other one learns it from the end of its connection
        finally:
            del self._serving[task]
            writer.close()

    async def close(self) -> None:
        serving = dict(self._serving)
        for task, writer in serving.items():
            task.cancel()
            writer.transport.abort()  # nobody may be reading any more
        await asyncio.gather(*serving, return_exceptions=True)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(_CONNECT_S):
            up_reader, up_writer = await asyncio.open_connection(
                self._host, self._port, limit=_CHUNK
            )
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_copy(reader, up_writer))
                group.create_task(_copy(up_reader, writer))
        finally:
            up_writer.transport.abort()  # both directions have ended, or the cell has


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
