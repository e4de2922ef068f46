"""Heads of answers that repeat one length."""

import asyncio
from functools import partial
from pathlib import Path

import aiohttp
import orjson
import pytest
from yarl import URL

from cab.proxy.forwarding.answers import read_odd
from cab.proxy.http.wire.response_heads import with_one_length
from tests.tools.client import post
from tests.tools.dialects import BY_ENDPOINT
from tests.tools.proxy import metered
from tests.tools.raw import connected, request
from tests.tools.upstream import Fault, Step, chunk, json_answer, scripted_upstream, sse_head

CHAT = BY_ENDPOINT["chat.completions"]
WHOLE = json_answer(CHAT.answer)
LENGTH = WHOLE[WHOLE.index(b"\r\nContent-Length") : WHOLE.index(b"\r\n\r\n")]
REPEATED = WHOLE.replace(LENGTH, LENGTH + LENGTH.lower(), 1)
CONTINUE = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "one"),
    [
        (b"A: 1\r\nContent-Length: 5\r\nB: 2", b"A: 1\r\nContent-Length: 5\r\nB: 2"),
        (b"H\r\nContent-Length: 5\r\nB: 2\r\ncontent-length:5", b"H\r\nContent-Length: 5\r\nB: 2"),
        (b"H\r\nContent-Length: 5, 5", b"H\r\nContent-Length: 5"),
        (b"H\r\nContent-Length: 5\r\nContent-Length: 6", None),
        (b"H\r\nContent-Length: 5, 6", None),
        (b"H\r\nX-Content-Length: 5\r\nX-Content-Length: 5", None),
    ],
)
def test_equal_lengths_become_one(head: bytes, one: bytes | None) -> None:
    """Different lengths stay, for the parser to refuse."""
    assert with_one_length(head) == (head if one is None else one)


@pytest.mark.parametrize(
    "script",
    [
        [REPEATED],
        [REPEATED[:30], REPEATED[30:60], REPEATED[60:]],
        [REPEATED[:2], partial(asyncio.sleep, 0.01), REPEATED[2:]],
        [CONTINUE + REPEATED],
        [CONTINUE, REPEATED],
    ],
)
async def test_an_answer_that_repeats_its_length_passes(script: list[Step], tmp_path: Path) -> None:
    """The client gets the answer with one length, on a first connection and on a kept one."""
    async with (
        scripted_upstream(script) as upstream,
        metered(upstream.url, tmp_path) as meter,
    ):
        seen = [await post(meter.url, CHAT.path, CHAT.request) for _ in range(2)]
        rows = await meter.settled(2)
    body = WHOLE.partition(b"\r\n\r\n")[2]
    assert [(answer.status, answer.body) for answer in seen] == [(200, body)] * 2
    assert [answer.header("Content-Length") for answer in seen] == [str(len(body))] * 2
    assert [row["end_reason"] for row in rows] == ["completed"] * 2


async def test_different_lengths_are_not_http(tmp_path: Path) -> None:
    """Nobody can know where such an answer ends."""
    script: list[Step] = [WHOLE.replace(LENGTH, LENGTH + b"\r\nContent-Length: 3", 1)]
    async with (
        scripted_upstream(script) as upstream,
        metered(upstream.url, tmp_path) as meter,
    ):
        seen = await post(meter.url, CHAT.path, CHAT.request)
        [row] = await meter.settled(1)
    assert (seen.status, row["error"]["type"]) == (502, "upstream_bad_http")


async def test_an_odd_answer_whose_connection_is_gone() -> None:
    """The end of a connection that its reader was not told of is an end all the same."""
    loop, url = asyncio.get_running_loop(), URL("http://127.0.0.1/")
    async with await asyncio.start_server(
        lambda _, writer: writer.close(), "127.0.0.1", 0
    ) as server:
        port = server.sockets[0].getsockname()[1]
        transport, _ = await loop.create_connection(asyncio.Protocol, "127.0.0.1", port)
        transport.abort()
        await asyncio.sleep(0)  # its end is told
        await asyncio.sleep(0)
        with pytest.raises(aiohttp.ClientError):
            async with asyncio.timeout(5):
                await read_odd("POST", url, transport, b"HTTP/1.0 200 OK\r\nContent-")


@pytest.mark.parametrize("before", [b"", CONTINUE], ids=["plain", "odd"])
async def test_a_body_with_bad_chunks_ends(before: bytes, tmp_path: Path) -> None:
    """The call ends where the body cannot be read any further, and what came before that is read."""
    go = asyncio.Event()
    first, second = (chunk(event) for event in CHAT.events[:2])
    async with (
        asyncio.timeout(5),
        scripted_upstream(
            [before + sse_head() + first, go, second + b"zz\r\n", Fault.CLOSE]
        ) as upstream,
        metered(upstream.url, tmp_path) as meter,
        connected(meter.url) as line,
    ):
        line.send(request(CHAT.path, orjson.dumps(CHAT.body(stream=True))))
        await line.reader.readuntil(first)
        go.set()
        rest = await line.rest()
        [end] = await meter.settled(1)
    assert end["end_reason"] == "upstream_cut"
    assert end["response_bytes"] == len(b"".join(CHAT.events[:2]))
    assert not rest.endswith(b"\r\n0\r\n\r\n")
