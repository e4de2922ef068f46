"""Clients that end their own side and wait for the answer, and clients that hang up: TCP shows the same of both."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from cab.proxy.http import half_close
from tests.tools.dialects import SAMPLES
from tests.tools.proxy import Meter, metered
from tests.tools.raw import Line, connected, request
from tests.tools.upstream import (
    LAST_CHUNK,
    ScriptedUpstream,
    Step,
    chunk,
    json_answer,
    scripted_upstream,
    sse_head,
)
from tests.tools.wires import ALL

WIRES = ALL

[CHAT] = [sample for sample in SAMPLES if sample.endpoint == "chat.completions"]
WHOLE = json_answer(CHAT.answer)
EVENTS = [chunk(event) for event in CHAT.events]


@asynccontextmanager
async def asked(
    folder: Path, *script: Step, stream: bool = False, end: bool = True, **settings: Any
) -> AsyncIterator[tuple[Line, Meter, ScriptedUpstream]]:
    """Run a proxy whose client has sent a request that the endpoint has; with `end` its side is ended."""
    async with (
        asyncio.timeout(20),
        scripted_upstream(list(script)) as upstream,
        metered(upstream.url, folder, **settings) as meter,
        connected(meter.url) as line,
    ):
        line.send(request(CHAT.path, orjson.dumps(CHAT.body(stream=stream))))
        if end:
            line.writer.write_eof()
        await upstream.arrived.wait()
        yield line, meter, upstream


@pytest.mark.parametrize("on_disconnect", ["drain", "cancel"])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_ends_its_side_gets_its_answer(
    stream: bool, on_disconnect: str, tmp_path: Path
) -> None:
    """It sees a `100 Continue`, then its answer; the call is an ordinary one, and the connection ends behind it."""
    gate = asyncio.Event()
    streamed: list[Step] = [sse_head(), EVENTS[0], gate, *EVENTS[1:], LAST_CHUNK]
    steps: list[Step] = streamed if stream else [gate, WHOLE]
    async with asked(tmp_path, *steps, stream=stream, on_disconnect=on_disconnect) as (
        line,
        meter,
        _,
    ):
        gate.set()
        answer = await line.answer()
        assert await line.rest() == b""
        [row] = await meter.settled(1)
    assert (answer.status, answer.complete, set(answer.interim)) == (200, True, {100})
    assert answer.body == (b"".join(CHAT.events) if stream else WHOLE.partition(b"\r\n\r\n")[2])
    assert (row["end_reason"], row["total_tokens"]) == ("completed", 78)


async def test_it_may_end_its_side_while_it_waits(tmp_path: Path) -> None:
    """The end may come any time before the answer begins."""
    gate = asyncio.Event()
    async with asked(tmp_path, gate, WHOLE, end=False) as (line, meter, _):
        line.writer.write_eof()
        assert await line.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        gate.set()
        assert (await line.answer()).complete
        [row] = await meter.settled(1)
    assert row["end_reason"] == "completed"


async def test_one_that_hangs_up_after_that_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that has ended its side is asked again while the endpoint is silent."""
    monkeypatch.setattr(half_close, "FIRST_PAUSE_S", 0.01)
    async with asked(tmp_path, asyncio.Event(), on_disconnect="cancel") as (line, meter, upstream):
        await line.reader.readuntil(b"\r\n\r\n")
        line.writer.close()
        await upstream.received[0].hung_up.wait()
        [row] = await meter.settled(1)
    assert row["end_reason"] == "client_gone"


async def test_one_that_hangs_up_in_mid_stream_is_found_out_by_the_next_bytes(
    tmp_path: Path,
) -> None:
    """Its side has ended before: nothing but a write shows that it is gone."""
    gate, more = asyncio.Event(), [chunk(b": wait\n\n")] * 3
    steps: list[Step] = [sse_head(), EVENTS[0], gate, *more, asyncio.Event()]
    async with asked(tmp_path, *steps, stream=True, on_disconnect="cancel") as (line, meter, up):
        await line.reader.readuntil(CHAT.events[0])
        line.writer.close()
        await line.writer.wait_closed()
        gate.set()
        await up.received[0].hung_up.wait()
        [row] = await meter.settled(1)
    assert row["end_reason"] == "client_gone"


async def test_they_take_one_descriptor_together(tmp_path: Path) -> None:
    """Many such clients use no more descriptors than others, and none once they have their answers."""
    gate = asyncio.Event()
    script: list[Step] = [gate, WHOLE]
    async with asyncio.timeout(20), AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(scripted_upstream(*[script] * 4))
        meter = await stack.enter_async_context(metered(upstream.url, tmp_path))
        lines = [await stack.enter_async_context(connected(meter.url)) for _ in range(4)]
        for line in lines:
            line.send(request(CHAT.path, orjson.dumps(CHAT.request)))
        while len(upstream.received) < 4:
            await upstream.arrived.wait()
            await asyncio.sleep(0)
        before = open_descriptors()
        for line in lines:
            line.writer.write_eof()
            await line.reader.readuntil(b"\r\n\r\n")
        assert open_descriptors() == before + 1
        gate.set()
        for line in lines:
            assert (await line.answer()).complete
            assert await line.rest() == b""
        await meter.settled(4)
        assert open_descriptors() <= before - 4


def open_descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


async def test_an_end_in_mid_stream_is_taken_for_hanging_up(tmp_path: Path) -> None:
    """Nothing can be sent between the bytes of an answer that would show whether the client is there."""
    async with asked(
        tmp_path,
        sse_head(),
        EVENTS[0],
        asyncio.Event(),
        stream=True,
        end=False,
        on_disconnect="cancel",
    ) as (line, meter, upstream):
        await line.reader.readuntil(CHAT.events[0])
        line.writer.write_eof()
        await upstream.received[0].hung_up.wait()
        [row] = await meter.settled(1)
    assert row["end_reason"] == "client_gone"


async def test_a_client_of_http_1_0_cannot_be_asked(tmp_path: Path) -> None:
    """It knows no interim answers: its end is taken for hanging up, and its usage is exact all the same."""
    gate = asyncio.Event()
    async with (
        asyncio.timeout(20),
        scripted_upstream([gate, WHOLE]) as upstream,
        metered(upstream.url, tmp_path) as meter,
        connected(meter.url) as line,
    ):
        line.send(request(CHAT.path, orjson.dumps(CHAT.request), version="HTTP/1.0"))
        await upstream.arrived.wait()
        line.writer.write_eof()
        assert await line.rest() == b""
        gate.set()
        [row] = await meter.settled(1)
    assert (row["end_reason"], row["total_tokens"]) == ("client_gone", 78)


@pytest.mark.parametrize("length", [b"9", b"0"])
async def test_two_requests_or_half_a_one(length: bytes, tmp_path: Path) -> None:
    """Requests sent at once are all answered; half a body is no request."""
    body = b'{"model":"m","messages":[]}'
    async with (
        asyncio.timeout(20),
        scripted_upstream([WHOLE], [WHOLE]) as upstream,
        metered(upstream.url, tmp_path) as meter,
        connected(meter.url) as line,
    ):
        first = request(CHAT.path, body)
        second = first if length == b"0" else first[:-5]
        line.send(first, second)
        line.writer.write_eof()
        rest = await line.rest()
        await meter.settled(2 if length == b"0" else 1)
    assert rest.count(b"HTTP/1.1 200 OK") == (2 if length == b"0" else 1)


async def test_the_last_of_several_requests_may_be_of_another_kind(tmp_path: Path) -> None:
    """A connection ends behind the answers to all that came before its client's end."""
    async with (
        asyncio.timeout(5),
        scripted_upstream([WHOLE]) as upstream,
        metered(upstream.url, tmp_path) as meter,
        connected(meter.url) as line,
    ):
        line.send(request(CHAT.path, b'{"model":"m","messages":[]}'))
        line.send(request("/v1/models", method="GET"))
        line.writer.write_eof()
        rest = await line.rest()
        await meter.settled(2)
    assert rest.count(b"HTTP/1.1 200 OK") == 2
