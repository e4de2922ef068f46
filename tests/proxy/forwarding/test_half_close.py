"""Clients that end their own side and wait for the answer: TCP shows the same of a client that hangs up."""

import asyncio
from pathlib import Path

from tests.tools.proxy import metered
from tests.tools.raw import connected, request
from tests.tools.upstream import json_answer, scripted_upstream

BODY = b'{"model":"m","messages":[]}'
ANSWER = json_answer(
    {
        "choices": [{"message": {"content": "tea"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 1},
    }
)


async def test_a_client_that_half_closes_is_taken_for_one_that_left(tmp_path: Path) -> None:
    """It gets no answer; the call is read to its end all the same, and its usage is exact."""
    gate = asyncio.Event()
    async with (
        scripted_upstream([gate, ANSWER]) as upstream,
        metered(upstream.url, tmp_path) as meter,
        connected(meter.url) as line,
    ):
        line.send(request("/v1/chat/completions", BODY))
        await upstream.arrived.wait()
        line.writer.write_eof()
        assert await line.rest() == b""
        gate.set()
        [row] = await meter.settled(1)
    assert (row["end_reason"], row["usage_source"], row["total_tokens"]) == (
        "client_gone",
        "upstream",
        6,
    )
