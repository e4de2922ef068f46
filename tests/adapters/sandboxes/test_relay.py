"""The way from a cell's own network to a proxy on loopback."""

import asyncio
import hashlib
from contextlib import suppress

from cab.adapters.sandboxes import relay
from cab.adapters.sandboxes.relay import relayed

ANSWER = bytes(range(256)) * 40_000


async def echo_digest(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with the digest of all that came, and ten megabytes."""
    digest = hashlib.sha256(await reader.read()).hexdigest().encode()
    writer.write(digest + ANSWER)
    await writer.drain()
    writer.close()


async def ask(url: str, question: bytes) -> bytes:
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(question)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer


async def test_every_byte_and_the_end_of_each_direction() -> None:
    """What comes is passed on unchanged, both ways, and the end of one direction is not that of the other."""
    server = await asyncio.start_server(echo_digest, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    question = ANSWER[::-1]
    async with server, relayed("127.0.0.1", url) as front:
        answers = await asyncio.gather(*(ask(front, question) for _ in range(5)))

    assert set(answers) == {hashlib.sha256(question).hexdigest().encode() + ANSWER}


async def test_a_proxy_that_is_gone() -> None:
    """Without a proxy behind it a connection ends at once, and the relay goes on."""
    server = await asyncio.start_server(echo_digest, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    await server.wait_closed()
    async with relayed("127.0.0.1", url) as front:
        assert await ask(front, b"") == b""
        assert await ask(front, b"") == b""


async def test_the_end_of_the_relay() -> None:
    """When the cell ends its connections end, also those in which nothing moves."""
    ended = asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        ended.set()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        async with relayed("127.0.0.1", url) as front:
            host, _, port = front.removeprefix("http://").partition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"x")
            await writer.drain()
        with suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
        await ended.wait()


async def test_no_more_connections_than_it_has_room_for() -> None:
    """An agent that opens very many waits: it does not use up the descriptors of its runner."""
    served, held = asyncio.Semaphore(0), asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.release()
        await held.wait()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    most, more = relay.MOST_CONNECTIONS, 5
    async with server, relayed("127.0.0.1", url) as front:
        host, _, port = front.removeprefix("http://").partition(":")
        opened = [await asyncio.open_connection(host, int(port)) for _ in range(most + more)]
        for _ in range(most):
            await served.acquire()
        assert served.locked()  # none of the others has come through
        held.set()
        for _, writer in opened:
            writer.write_eof()
        assert {await reader.read() for reader, _ in opened} == {b""}
        for _, writer in opened:
            writer.close()
        for _ in range(more):
            await served.acquire()
