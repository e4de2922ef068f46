"""A client's connection: what it keeps of a request, and when it serves the next one."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from cab.proxy.http.headers import is_passed_on
from cab.proxy.http.wire.client_connection import (
    HalfClosedWatch,
    OrdinaryCall,
    OrdinaryConnection,
)
from cab.proxy.http.wire.request_head import MAX_HEAD_BYTES, KnownHeads, RequestHead
from tests.tools.raw import connected, request

BODY = b"x" * (1 << 20)
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)


class Handed(asyncio.Protocol):
    """Takes connections whose requests are not ordinary."""

    def __init__(self) -> None:
        self.data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.transport.close()


class Serving:
    """Answers each request at once, and notes how much waits for its client then."""

    is_unanswered = False

    def __init__(self) -> None:
        self.waiting_bytes: list[int] = []
        self.handed = Handed()
        self.busy = asyncio.Event()

    def take(self, _connection: OrdinaryConnection) -> bool:
        return True

    def refuse(self, _transport: asyncio.Transport) -> None: ...
    def forget(self, _connection: OrdinaryConnection) -> None: ...
    def note_idle(self, _connection: OrdinaryConnection) -> None: ...
    def note_partial(self, _connection: OrdinaryConnection) -> None: ...
    def note_whole(self, _connection: OrdinaryConnection) -> None: ...
    def client_left(self) -> None: ...
    def hold(self) -> None: ...
    def resume(self) -> None: ...

    def note_busy(self, _connection: OrdinaryConnection) -> None:
        self.busy.set()

    def watch_half_closed(
        self, _transport: asyncio.Transport, _may_wait: Callable[[], bool]
    ) -> HalfClosedWatch | None:
        return None

    def other(self) -> asyncio.Protocol:
        return self.handed

    def serve(
        self, connection: OrdinaryConnection, _head: RequestHead, _body: bytes
    ) -> OrdinaryCall | None:
        self.waiting_bytes.append(connection.transport.get_write_buffer_size())
        connection.write(ANSWER)
        asyncio.get_running_loop().call_soon(connection.finished)
        return self


@asynccontextmanager
async def served(serving: Serving) -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()
    heads = KnownHeads(is_passed_on)
    server = await loop.create_server(lambda: OrdinaryConnection(serving, heads), "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_the_next_request_waits_for_a_client_that_does_not_keep_up() -> None:
    """However many requests are sent at once: one is served only when the answers before it are nearly out."""
    serving, calls = Serving(), 16
    async with served(serving) as url, connected(url) as line:
        line.send(request("/v1/chat/completions", b"{}") * calls)
        async with asyncio.timeout(20):
            assert await line.reader.readexactly(len(ANSWER) * calls) == ANSWER * calls
    assert len(serving.waiting_bytes) == calls
    assert max(serving.waiting_bytes) < len(BODY) // 8


@pytest.mark.parametrize("piece", [b"a" * 4096, b"X: y\r\n" * 700], ids=["one line", "lines"])
async def test_a_head_without_end_is_not_kept(piece: bytes) -> None:
    """A head that is longer than an ordinary one goes on at once, whatever is in it."""
    serving = Serving()
    async with served(serving) as url, connected(url) as line:
        line.send(b"POST /v1/chat/completions HTTP/1.1\r\nX: ")
        for _ in range(64):
            line.send(piece)
            await asyncio.sleep(0)
        await line.rest()
    assert len(serving.handed.data) >= MAX_HEAD_BYTES


async def test_a_connection_is_busy_from_the_head_of_its_request() -> None:
    """One whose body is still coming does not count as idle."""
    serving = Serving()
    async with served(serving) as url, connected(url) as line:
        line.send(request("/v1/chat/completions", b"{}")[:-1])
        async with asyncio.timeout(20):
            await serving.busy.wait()
    assert serving.waiting_bytes == []
