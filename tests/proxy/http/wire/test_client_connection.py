"""A client's connection: what it keeps of a request, and when it serves the next one."""

import asyncio
import socket
import struct
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
from cab.proxy.http.wire.turns import MOST, Turns, Waiting
from tests.tools.raw import Line, connected, request

BODY = b"x" * (1 << 20)
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)


class Handed(asyncio.Protocol):
    """Takes connections whose requests are not ordinary."""

    def __init__(self) -> None:
        self.data = b""
        self.has_ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.transport.close()

    def eof_received(self) -> None:
        self.has_ended = True


class Serving:
    """Answers each request at once, and notes how much waits for its client then."""

    is_unanswered = False
    is_ordinary = True

    def __init__(self) -> None:
        self.waiting_bytes: list[int] = []
        self.waited_s: list[float] = []
        self.left = asyncio.Event()
        self.handed = Handed()
        self.busy = asyncio.Event()
        self.turns = Turns()

    def take(self, _connection: OrdinaryConnection) -> bool:
        return True

    def refuse(self, _transport: asyncio.Transport) -> None: ...
    def forget(self, _connection: OrdinaryConnection) -> None: ...
    def note_idle(self, _connection: OrdinaryConnection) -> None: ...
    def note_partial(self, _connection: OrdinaryConnection) -> None: ...
    def note_whole(self, _connection: OrdinaryConnection) -> None: ...
    def client_left(self) -> None:
        self.left.set()

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
        if not self.is_ordinary:
            return None
        self.waited_s.append(connection.waited_s)
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


class HeldTurns(Turns):
    """Lets nobody begin before `let`."""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[Waiting] = []
        self.came = asyncio.Event()

    def may_begin(self, one: Waiting) -> bool:
        self.held.append(one)
        self.came.set()
        return False

    def let(self) -> None:
        for one in self.held:
            one.begin()


@asynccontextmanager
async def held() -> AsyncIterator[tuple[Serving, HeldTurns, Line]]:
    """A client whose first request waits for its turn."""
    serving, turns = Serving(), HeldTurns()
    serving.turns = turns
    async with served(serving) as url, connected(url) as line:
        line.send(request("/v1/chat/completions", b"{}"))
        async with asyncio.timeout(20):
            await turns.came.wait()
            yield serving, turns, line


async def test_a_request_waits_for_its_turn() -> None:
    """What comes behind it waits too, and how long it has waited is known."""
    async with held() as (serving, turns, line):
        line.send(request("/v1/chat/completions", b"{}"))
        await line.writer.drain()
        await asyncio.sleep(0)
        assert serving.waiting_bytes == []
        (connection,) = turns.held
        assert isinstance(connection, OrdinaryConnection)
        assert not connection.is_unused()
        turns.let()
        assert await line.reader.readexactly(len(ANSWER)) == ANSWER
        turns.let()  # the second one; the first waits no more
        assert await line.reader.readexactly(len(ANSWER)) == ANSWER
    assert len(serving.waiting_bytes) == 2
    assert serving.waited_s[0] > 0


@pytest.mark.parametrize("is_ordinary", [True, False])
async def test_a_client_that_ends_its_side_while_its_request_waits(is_ordinary: bool) -> None:
    """The request begins at once, here or with aiohttp: nothing tells of the end a second time."""
    async with held() as (serving, _, line):
        serving.is_ordinary = is_ordinary
        line.writer.write_eof()
        answer = await line.reader.read()
    assert answer == (ANSWER if is_ordinary else b"")
    assert serving.handed.data == (b"" if is_ordinary else request("/v1/chat/completions", b"{}"))
    assert serving.handed.has_ended is not is_ordinary


async def test_a_client_that_goes_while_its_request_waits() -> None:
    """It is served as one whose client has gone."""
    async with held() as (serving, _, line):
        client = line.writer.get_extra_info("socket")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        line.writer.transport.abort()
        await serving.left.wait()
    assert len(serving.waiting_bytes) == 1


async def test_few_requests_begin_in_a_turn_in_their_order() -> None:
    """However many come at once."""
    turns, begun = Turns(), list[int]()

    class One:
        def __init__(self, number: int) -> None:
            self.number = number

        def begin(self) -> None:
            begun.append(self.number)

    ones = [One(number) for number in range(3 * MOST + 1)]
    assert [turns.may_begin(one) for one in ones].count(True) == MOST
    for turn in range(1, 4):
        await asyncio.sleep(0)
        assert begun == list(range(MOST, min((turn + 1) * MOST, len(ones))))
    await asyncio.sleep(0)
    assert turns.may_begin(ones[0])
