"""The npm `openai` package as a client, run by node: what it reports is what the ledger holds."""

import asyncio
from pathlib import Path

import pytest

from cab.adapters.tasks.loader import list_tasks
from tests.tools.dialects import BY_ENDPOINT
from tests.tools.node import run
from tests.tools.sdk import (
    BROKEN,
    CELL,
    TOO_MANY,
    answered,
    assert_account_agrees,
    behind,
    counts,
    demo_behind,
    seal,
)
from tests.tools.upstream import LAST_CHUNK, Fault, Step, chunk, json_answer, sse_head

CHAT, RESPONSES = BY_ENDPOINT["chat.completions"], BY_ENDPOINT["responses"]


async def test_chat_whole_and_streamed(node: str, tmp_path: Path) -> None:
    """Usage is the ledger's in all three ways, and hidden from the stream that did not ask."""
    async with demo_behind(tmp_path) as (demo, meter):
        chat, silent, streamed = await run(node, meter, "chat", "silent", "streamed")
        rows = await meter.settled(3)
    for row, told in ((rows[0], chat), (rows[2], streamed)):
        assert row["usage_raw"] == told["usage"]
    assert (rows[0]["upstream_id"], rows[0]["call_id"]) == (chat["id"], chat["call"])
    assert silent["usages"] == []
    assert silent["text"] == streamed["text"] != ""
    assert_account_agrees(demo, rows)


async def test_tools(node: str, tmp_path: Path) -> None:
    """Tool calls in a stream are put together by the SDK and counted here."""
    async with demo_behind(tmp_path) as (demo, meter):
        [told] = await run(node, meter, "tools", PROMPT=list_tasks()[0].prompt)
        rows = await meter.settled(1)
    assert told == {"calls": ["bash"]}
    assert (rows[0]["tool_calls"], rows[0]["finish_reason"]) == (1, "tool_calls")
    assert_account_agrees(demo, rows)


async def test_a_streamed_response(node: str, tmp_path: Path) -> None:
    """The Responses API's events arrive in order, with the usage that the ledger has."""
    async with behind(tmp_path, answered(RESPONSES, stream=True)) as (_, meter):
        [told] = await run(node, meter, "responses")
        [row] = await meter.settled(1)
    assert (told["kinds"][0], told["kinds"][-1]) == ("response.created", "response.completed")
    assert row["usage_raw"] == told["usage"]
    assert counts(row) == RESPONSES.figures


async def test_a_stream_that_is_aborted(node: str, tmp_path: Path) -> None:
    """An abort is noticed while the endpoint still writes, whose usage is read all the same."""
    rest = asyncio.Event()
    script: list[Step] = [sse_head(), *(chunk(e) for e in CHAT.texts[:3]), rest]
    script += [*(chunk(e) for e in CHAT.events[3:]), LAST_CHUNK]
    async with behind(tmp_path, script) as (_, meter):
        assert await run(node, meter, "abort") == [{"aborted": True}]
        await meter.noticed()
        rest.set()
        [row] = await meter.settled(1)
    assert row["end_reason"] == "client_gone"
    assert counts(row) == CHAT.figures


@pytest.mark.parametrize("step", ["chat", "streamed"])
async def test_the_sdks_own_retries_are_attempts_of_one_call(
    step: str, node: str, tmp_path: Path
) -> None:
    """429, then 500, then an answer: three rows, attempts 1, 2 and 3 of the first one."""
    good = answered(CHAT, stream=step == "streamed")
    async with behind(tmp_path, [TOO_MANY], [BROKEN], good, cell=CELL) as (_, meter):
        [told] = await run(node, meter, step, retries=2)
        rows = await meter.settled(3)
    assert told["usage"] == CHAT.answer["usage"]
    assert [row["status"] for row in rows] == [429, 500, 200]
    assert [row["attempt"] for row in rows] == [1, 2, 3]
    assert [row["retry_of"] for row in rows] == [None, rows[0]["call_id"], rows[0]["call_id"]]


@pytest.mark.parametrize(
    ("script", "error", "status", "code"),
    [
        ([TOO_MANY], "RateLimitError", 429, None),
        ([json_answer({"error": {"code": "x"}}, "400 Bad Request")], "BadRequestError", 400, "x"),
        ([Fault.RESET], "InternalServerError", 502, "upstream_reset"),
    ],
    ids=["429", "400", "reset"],
)
async def test_errors(
    script: list[Step], error: str, status: int, code: str | None, node: str, tmp_path: Path
) -> None:
    """Errors of the endpoint, and the proxy's own, raise the SDK's usual exceptions."""
    async with behind(tmp_path, script) as (_, meter):
        told = await run(node, meter, "chat")
        [row] = await meter.settled(1)
    assert told == [{"error": error, "status": status, "code": code}]
    assert row["status"] == status


async def test_a_bad_key_and_a_sealed_cell_end_the_agent_at_once(node: str, tmp_path: Path) -> None:
    """401 and 409 of the proxy are raised at the first request, however many retries are allowed."""
    good = answered(CHAT, stream=False)
    async with behind(tmp_path, good, auth="keys") as (upstream, meter):
        refused = await run(node, meter, "chat", retries=5)
        assert upstream.received == []
    async with behind(tmp_path / "2", good, cell=CELL) as (upstream, meter):
        await meter.proxy.open_cell(CELL, 60)
        await seal(meter)
        sealed = await run(node, meter, "chat", retries=5)
        rows = await meter.settled(1)
    assert refused == [{"error": "AuthenticationError", "status": 401, "code": "invalid_api_key"}]
    assert sealed == [{"error": "ConflictError", "status": 409, "code": "cell_sealed"}]
    assert [row["end_reason"] for row in rows] == ["rejected"]
    assert upstream.received == []
