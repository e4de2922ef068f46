"""The `anthropic` package as a client: its figures are the ledger's, and it fails as ever."""

import asyncio
from pathlib import Path
from typing import Any

import anthropic
import pytest

from tests.tools.dialects import BY_ENDPOINT, named
from tests.tools.proxy import REAL_KEY, Meter, metered
from tests.tools.sdk import BROKEN, CELL, TOO_MANY, Sdk, answered, behind, counts, seal
from tests.tools.upstream import LAST_CHUNK, Fault, Step, chunk, json_answer, sse_head

MESSAGES = BY_ENDPOINT["messages"]
OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}


def client(meter: Meter, retries: int = 0, key: str = "own-key") -> Sdk:
    return anthropic.AsyncAnthropic(base_url=meter.url, api_key=key, max_retries=retries)


async def ask(sdk: Sdk, text: str = "look", **more: Any) -> Any:
    messages = [{"role": "user", "content": text}]
    return await sdk.messages.create(model="m", max_tokens=99, messages=messages, **more)


def parts(usage: Any) -> dict[str, int | None]:
    """Return what the SDK says of a usage, as a record has it: the prompt includes cached tokens."""
    read, written = usage.cache_read_input_tokens, usage.cache_creation_input_tokens
    prompt = usage.input_tokens + read + written
    return {
        "prompt_tokens": prompt,
        "completion_tokens": usage.output_tokens,
        "total_tokens": prompt + usage.output_tokens,
        "cache_read_tokens": read,
        "cache_write_tokens": written,
        "reasoning_tokens": None,
    }


async def test_a_message(tmp_path: Path) -> None:
    """A message's usage, as the SDK reads it, is the ledger's; the real key goes where its own was."""
    script = answered(MESSAGES, stream=False)
    async with behind(tmp_path, script, cell=CELL) as (upstream, meter), client(meter) as sdk:
        answer = await ask(sdk)
        [row] = await meter.settled(1)
    assert counts(row) == parts(answer.usage) == MESSAGES.figures
    assert (row["upstream_id"], row["model_served"]) == (answer.id, answer.model)
    assert row["finish_reason"] == answer.stop_reason
    [sent] = upstream.received
    # Which of the two headers the SDK uses depends on its version.
    keys = [sent.header("x-api-key"), sent.header("Authorization")]
    assert [key for key in keys if key] in ([REAL_KEY], [f"Bearer {REAL_KEY}"])
    assert sent.header("anthropic-version")


async def test_a_message_by_the_synchronous_client(tmp_path: Path) -> None:
    """The blocking client, with a bearer token instead of a key, is metered alike."""

    def script(url: str) -> Any:
        sdk: Any = anthropic.Anthropic(base_url=url, auth_token="own", api_key=None, max_retries=0)
        with sdk:
            return sdk.messages.create(**MESSAGES.request)

    async with behind(tmp_path, answered(MESSAGES, stream=False)) as (upstream, meter):
        answer = await asyncio.to_thread(script, meter.url)
        [row] = await meter.settled(1)
    assert counts(row) == parts(answer.usage)
    assert upstream.received[0].header("Authorization") == f"Bearer {REAL_KEY}"


async def test_a_streamed_message(tmp_path: Path) -> None:
    """The SDK puts the stream together to the same message and the same figures as the ledger."""
    async with (
        behind(tmp_path, answered(MESSAGES, stream=True)) as (_, meter),
        client(meter) as sdk,
        sdk.messages.stream(**MESSAGES.request) as stream,
    ):
        texts = [text async for text in stream.text_stream]
        final = await stream.get_final_message()
        [row] = await meter.settled(1)
    assert texts == ["Let", " me", " look", "."]
    assert counts(row) == parts(final.usage) == MESSAGES.figures
    assert (row["end_reason"], row["finish_reason"]) == ("completed", "end_turn")


async def test_events_of_a_stream(tmp_path: Path) -> None:
    """The plain event iterator sees every event that the endpoint sent, pings among them."""
    async with behind(tmp_path, answered(MESSAGES, stream=True)) as (upstream, meter):
        kinds: list[list[str]] = []
        for url in (upstream.url, meter.url):
            async with client(meter).with_options(base_url=url) as sdk:
                stream = await ask(sdk, stream=True)
                kinds.append([event.type async for event in stream])
        await meter.settled(1)
    assert kinds[0] == kinds[1]
    assert kinds[1][0] == "message_start"
    assert kinds[1][-1] == "message_stop"


async def test_tools(tmp_path: Path) -> None:
    """A tool call in a stream reaches the SDK whole and is counted."""
    block: dict[str, Any] = {"type": "tool_use", "id": "toolu_1", "name": "bash", "input": {}}
    delta = {"type": "input_json_delta", "partial_json": '{"command": "ls"}'}
    events = [
        MESSAGES.texts[0],
        named("content_block_start", {"index": 0, "content_block": block}),
        named("content_block_delta", {"index": 0, "delta": delta}),
        *MESSAGES.ending,
        MESSAGES.terminal,
    ]
    script: list[Step] = [sse_head(), *(chunk(e) for e in events), LAST_CHUNK]
    async with (
        behind(tmp_path, script) as (_, meter),
        client(meter) as sdk,
        sdk.messages.stream(**MESSAGES.request) as stream,
    ):
        final = await stream.get_final_message()
        [row] = await meter.settled(1)
    assert final.content[0].input == {"command": "ls"}
    assert row["tool_calls"] == 1


async def test_counting_tokens_is_no_model_call(tmp_path: Path) -> None:
    """`count_tokens` passes, and adds nothing to the figures."""
    async with (
        behind(tmp_path, [json_answer({"input_tokens": 60})]) as (_, meter),
        client(meter) as sdk,
    ):
        counted = await sdk.messages.count_tokens(
            model="m", messages=[{"role": "user", "content": "look"}]
        )
        [row] = await meter.settled(1)
    assert counted.input_tokens == 60
    assert (row["endpoint"], row["prompt_tokens"]) == ("other", None)


async def test_the_sdks_own_retries_are_attempts_of_one_call(tmp_path: Path) -> None:
    """429, then 500, then an answer: three rows, attempts 1, 2 and 3 of the first one."""
    scripts = ([TOO_MANY], [BROKEN], answered(MESSAGES, stream=False))
    async with behind(tmp_path, *scripts, cell=CELL) as (upstream, meter):
        async with client(meter, retries=2) as sdk:
            await ask(sdk)
        rows = await meter.settled(3)
    assert [row["status"] for row in rows] == [429, 500, 200]
    assert [row["attempt"] for row in rows] == [1, 2, 3]
    assert [row["retry_of"] for row in rows] == [None, rows[0]["call_id"], rows[0]["call_id"]]
    sent = [request.header("x-stainless-retry-count") for request in upstream.received]
    assert sent == ["0", "1", "2"]


ERRORS: list[tuple[str, str, type[anthropic.APIStatusError]]] = [
    ("400 Bad Request", "invalid_request_error", anthropic.BadRequestError),
    ("401 Unauthorized", "authentication_error", anthropic.AuthenticationError),
    ("403 Forbidden", "permission_error", anthropic.PermissionDeniedError),
    ("404 Not Found", "not_found_error", anthropic.NotFoundError),
    ("429 Too Many Requests", "rate_limit_error", anthropic.RateLimitError),
    ("500 Internal Server Error", "api_error", anthropic.InternalServerError),
    ("529 Overloaded", "overloaded_error", anthropic.APIStatusError),
]


@pytest.mark.parametrize(("status", "kind", "raises"), ERRORS, ids=[e[0][:3] for e in ERRORS])
async def test_the_endpoints_errors(
    status: str, kind: str, raises: type[anthropic.APIStatusError], tmp_path: Path
) -> None:
    """The endpoint's errors raise what they always raise, with body and request id."""
    error = {"type": "error", "error": {"type": kind, "message": "it is so"}}
    script = [json_answer(error, status, "request-id: req_9")]
    async with behind(tmp_path, script) as (_, meter), client(meter) as sdk:
        with pytest.raises(raises, match="it is so") as raised:
            await ask(sdk)
        [row] = await meter.settled(1)
    assert raised.value.body == error
    assert (raised.value.request_id, raised.value.status_code) == ("req_9", row["status"])
    assert row["error"] == {"type": kind, "message": "it is so"}


async def test_an_error_in_the_middle_of_a_stream(tmp_path: Path) -> None:
    """An `error` event raises in the SDK, as it does at the endpoint itself, and is in the row."""
    broken = named("error", {"error": OVERLOADED["error"]})
    script: list[Step] = [sse_head(), *(chunk(e) for e in [*MESSAGES.texts, broken]), LAST_CHUNK]
    raised: list[Exception] = []
    async with behind(tmp_path, script) as (upstream, meter):
        for url in (upstream.url, meter.url):
            async with client(meter).with_options(base_url=url) as sdk:
                with pytest.raises(anthropic.APIStatusError) as caught:
                    [event async for event in await ask(sdk, stream=True)]
            raised.append(caught.value)
        [row] = await meter.settled(1)
    assert [type(error) for error in raised] == [type(raised[0])] * 2
    assert str(raised[0]) == str(raised[1])
    assert row["end_reason"] == "upstream_error"
    assert row["error"] == {"type": "overloaded_error", "message": "busy"}


async def test_a_stream_that_is_left_early(tmp_path: Path) -> None:
    """A client that closes the stream leaves the proxy to read the endpoint's usage."""
    rest = asyncio.Event()
    script: list[Step] = [sse_head(), *(chunk(e) for e in MESSAGES.texts[:4]), rest]
    script += [*(chunk(e) for e in MESSAGES.events[4:]), LAST_CHUNK]
    async with behind(tmp_path, script) as (_, meter), client(meter) as sdk:
        async with sdk.messages.stream(**MESSAGES.request) as stream:
            async for _text in stream.text_stream:
                break
        await meter.noticed()
        rest.set()
        [row] = await meter.settled(1)
    assert row["end_reason"] == "client_gone"
    assert counts(row) == MESSAGES.figures


async def test_a_stream_that_is_cut(tmp_path: Path) -> None:
    """A stream that breaks raises what a broken stream raises at the endpoint itself."""
    script: list[Step] = [sse_head(), *(chunk(e) for e in MESSAGES.texts), Fault.CLOSE]
    raised: list[type[BaseException]] = []
    async with behind(tmp_path, script) as (upstream, meter):
        for url in (upstream.url, meter.url):
            async with client(meter).with_options(base_url=url) as sdk:
                stream = await ask(sdk, stream=True)
                try:
                    [event async for event in stream]
                except Exception as error:  # noqa: BLE001 - which one it is, is the question
                    raised.append(type(error))
        [row] = await meter.settled(1)
    assert len(raised) == 2
    assert raised[0] == raised[1]
    assert row["end_reason"] == "upstream_cut"


async def test_a_key_that_is_none(tmp_path: Path) -> None:
    """A key that is no cell's raises the SDK's error for bad keys; a cell's key works."""
    script = answered(MESSAGES, stream=False)
    async with behind(tmp_path, script, auth="keys") as (upstream, meter):
        async with client(meter, retries=2) as sdk:
            with pytest.raises(anthropic.AuthenticationError) as raised:
                await ask(sdk)
        assert upstream.received == []
        async with client(meter, key=meter.proxy.mint_key(CELL, 60)) as sdk:
            await ask(sdk)
        [row] = await meter.settled(1)
    assert raised.value.body["error"]["type"] == "authentication_error"  # type: ignore[index]
    assert row["cell_id"] == CELL


async def test_an_endpoint_that_is_not_there(tmp_path: Path) -> None:
    """502 is a server's error, in Anthropic's shape."""
    async with metered("http://127.0.0.1:9", tmp_path) as meter, client(meter) as sdk:
        with pytest.raises(anthropic.InternalServerError) as raised:
            await ask(sdk)
        [row] = await meter.settled(1)
    assert raised.value.status_code == 502
    assert raised.value.body["error"]["type"] == "api_error"  # type: ignore[index]
    assert row["end_reason"] == "upstream_unreachable"


async def test_a_sealed_cell_ends_the_agent_at_once(tmp_path: Path) -> None:
    """409 is retried by the SDK unless the proxy says otherwise, and it does: one request."""
    script = answered(MESSAGES, stream=False)
    async with behind(tmp_path, script, cell=CELL) as (upstream, meter):
        async with client(meter, retries=5) as sdk:
            await ask(sdk)
            await seal(meter)
            with pytest.raises(anthropic.ConflictError):
                await ask(sdk, "again")
        rows = await meter.settled(2)
    assert [row["end_reason"] for row in rows] == ["completed", "rejected"]
    assert len(upstream.received) == 1
