"""Large bodies and slow readers: what flows through the proxy does not pile up in it."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.tools.dialects import BY_ENDPOINT
from tests.tools.process import proxy_process
from tests.tools.proxy import metered
from tests.tools.raw import Line, connected, request
from tests.tools.upstream import (
    LAST_CHUNK,
    Step,
    chunk,
    event,
    json_answer,
    scripted_upstream,
    sse_head,
)

pytestmark = pytest.mark.slow
MB = 1 << 20
LARGE_MB = 100
SOCKETS_MB = 40
"""More than the kernel keeps for two loopback connections, far less than a large body."""
CHAT = BY_ENDPOINT["chat.completions"]
UNCOUNTED = {name: value for name, value in CHAT.answer.items() if name != "usage"}
"""An answer whose tokens are counted here, with an encoding that is loaded for it."""
FILE = request("/v1/responses/large", method="GET")
STREAM = request(CHAT.path, b'{"model":"m","stream":true,"messages":[]}')
WHOLE = request(CHAT.path, b'{"model":"m","messages":[]}')
EVENT = event({"choices": [{"index": 0, "delta": {}}], "padding": "x" * 3_900})
EVENTS = chunk(EVENT) * (MB // len(EVENT))


def sized() -> list[Step]:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return [head % (LARGE_MB * MB), b'{"choices":[],"padding":"'.ljust(MB, b"x"), *_megabytes()]


def _megabytes() -> Sequence[Step]:
    return [b"x" * MB] * (LARGE_MB - 1)


def streamed() -> list[Step]:
    return [sse_head(), *[EVENTS] * LARGE_MB, LAST_CHUNK]


@pytest.mark.parametrize(
    ("raw", "script", "most_mb"),
    [
        (FILE, sized(), 32),
        (STREAM, streamed(), 32),
        # A body that is one JSON text is kept up to 8 MB, to be read once it is whole.
        (WHOLE, sized(), 48),
    ],
    ids=["file", "stream", "json"],
)
async def test_100_mb_in_bounded_memory(
    raw: bytes, script: list[Step], most_mb: int, tmp_path: Path
) -> None:
    """A body of 100 MB goes through a process that grows by far less than that."""
    async with (
        scripted_upstream([json_answer(UNCOUNTED)], script) as upstream,
        proxy_process(upstream.url, tmp_path) as proxy,
    ):
        await swallowed(proxy.url, WHOLE)  # what a first call loads does not count as growth
        before = proxy.resident_bytes()
        got = await swallowed(proxy.url, raw)
        grown = proxy.resident_bytes("VmHWM") - before
    assert got >= (LARGE_MB - 2) * MB
    assert grown < most_mb * MB


async def swallowed(url: str, raw: bytes) -> int:
    """Send a request and read its answer without keeping it; return the body's size on the wire."""
    async with connected(url) as line:
        line.send(raw)
        head = (await line.reader.readuntil(b"\r\n\r\n")).decode().lower()
        _, announced, length = head.partition("content-length: ")
        size = int(length.partition("\r\n")[0]) if announced else None
        return await rest_of(line, size)


async def rest_of(line: Line, size: int | None = None) -> int:
    """Read a body of that size, or one in chunks, to its end; return how much it was."""
    got, last = 0, b""
    async with asyncio.timeout(60):
        while got != size and (size is not None or last != LAST_CHUNK):
            data = await line.reader.read(MB)
            assert data, "the answer broke off"
            got, last = got + len(data), (last + data)[-len(LAST_CHUNK) :]
    return got


async def test_a_slow_reader_slows_the_endpoint_down(tmp_path: Path) -> None:
    """While a client does not read, the endpoint cannot send: nothing is kept in between."""
    sent_mb = 0

    async def count() -> None:
        nonlocal sent_mb
        sent_mb += 1

    megabyte: list[Step] = [EVENTS, count]
    script: list[Step] = [sse_head(), *megabyte * LARGE_MB, LAST_CHUNK]
    async with (
        scripted_upstream(script) as upstream,
        metered(upstream.url, tmp_path) as meter,
        connected(meter.url) as line,
    ):
        line.send(STREAM)
        await line.reader.readuntil(b"\r\n\r\n")
        # Nothing tells when a sender is stuck: it has not moved for a while.
        before = -1
        while before != sent_mb:
            before = sent_mb
            await asyncio.sleep(0.3)
        assert sent_mb < SOCKETS_MB
        await rest_of(line)
        [row] = await meter.settled(1)
    assert sent_mb == LARGE_MB
    assert row["response_bytes"] == LARGE_MB * len(EVENT) * (MB // len(EVENT))
