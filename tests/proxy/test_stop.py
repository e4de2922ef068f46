"""A stop and what clients have not taken yet."""

import asyncio
import os
import socket
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import orjson
import pytest

from cab.proxy import start_proxy
from cab.proxy.http.client_connections import (
    ClientConnection,
    HttpServer,
    KeptConnection,
)
from cab.proxy.http.wire.client_connection import OrdinaryConnection
from tests.tools.dialects import BY_ENDPOINT
from tests.tools.living import the_only
from tests.tools.proxy import records
from tests.tools.raw import request
from tests.tools.upstream import LAST_CHUNK, chunk

CHAT = BY_ENDPOINT["chat.completions"]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
PIECE = b" " * (1 << 12)


def with_small_buffer() -> KeptConnection:
    """Return the only connection of a client; the kernel takes little for it from now on."""
    server = the_only(HttpServer, lambda server: server._open)
    [connection] = server._open
    assert isinstance(connection, OrdinaryConnection | ClientConnection)
    assert connection.transport is not None
    descriptor = connection.transport.get_extra_info("socket").fileno()
    with socket.socket(fileno=os.dup(descriptor)) as own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 12)
    return connection


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with so much white space that some of it stays in the proxy, and then with the answer."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(HEAD)
    connection = with_small_buffer()
    while not connection.has_unsent():
        writer.write(chunk(PIECE))
        await writer.drain()
        await asyncio.sleep(0.001)
    writer.write(chunk(8 * PIECE) + chunk(orjson.dumps(CHAT.answer)) + LAST_CHUNK)
    await writer.drain()
    writer.close()


@pytest.mark.parametrize("wire", ["direct", "aiohttp"])
async def test_a_stop_waits_for_the_end_of_an_answer_that_is_recorded(
    wire: str, tmp_path: Path
) -> None:
    """Its call is over, and its client reads slowly: the rest is in the proxy's memory alone."""
    loop, client = asyncio.get_running_loop(), socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 12)
    client.setblocking(False)
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with asyncio.timeout(20), server:
        with ExitStack() as stack, client:
            starting = start_proxy(upstream=url, ledger=tmp_path, wire=wire, grace_s=10)
            proxy = await asyncio.to_thread(stack.enter_context, starting)
            where = urlsplit(proxy.url)
            await loop.sock_connect(client, (where.hostname, where.port))
            await loop.sock_sendall(client, request(CHAT.path, orjson.dumps(CHAT.request)))
            while not records(tmp_path):  # noqa: ASYNC110 - nothing tells when the record is there
                await asyncio.sleep(0.01)
            stopping = loop.run_in_executor(None, stack.close)
            await asyncio.wait(
                (stopping,), timeout=0.3
            )  # a stop that does not wait is over by then
            seen = b""
            while piece := await loop.sock_recv(client, 1 << 20):
                seen += piece
            await stopping
    assert orjson.dumps(CHAT.answer) in seen
    assert seen.endswith(LAST_CHUNK)
