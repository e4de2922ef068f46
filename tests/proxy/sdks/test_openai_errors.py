"""The `openai` package where something fails: it raises and repeats as it does at the endpoint itself."""

import asyncio
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.proxy.sdks.test_openai import ask, client
from tests.tools.dialects import BY_ENDPOINT
from tests.tools.proxy import metered
from tests.tools.sdk import BROKEN, CELL, TOO_MANY, answered, behind, seal
from tests.tools.upstream import Fault, Step, chunk, json_answer, sse_head

CHAT = BY_ENDPOINT["chat.completions"]
FAILS_TWICE = ([TOO_MANY], [BROKEN])


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_the_sdks_own_retries_are_attempts_of_one_call(stream: bool, tmp_path: Path) -> None:
    """429, then 500, then an answer: three rows, attempts 1, 2 and 3 of the first one."""
    async with (
        behind(tmp_path, *FAILS_TWICE, answered(CHAT, stream=stream), cell=CELL) as (
            upstream,
            meter,
        ),
        client(meter, retries=2) as sdk,
    ):
        create: Any = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
        if stream:
            answer = await sdk.chat.completions.create(**create, stream=True)
            assert [piece async for piece in answer]
        else:
            await sdk.chat.completions.create(**create)
        rows = await meter.settled(3)
    assert [row["status"] for row in rows] == [429, 500, 200]
    assert [row["attempt"] for row in rows] == [1, 2, 3]
    assert [row["retry_of"] for row in rows] == [None, rows[0]["call_id"], rows[0]["call_id"]]
    sent = [request.header("x-stainless-retry-count") for request in upstream.received]
    assert sent == ["0", "1", "2"]
    assert [row["completion_tokens"] for row in rows] == [0, None, 21]


async def test_a_retry_after_the_proxys_own_error(tmp_path: Path) -> None:
    """A connection that breaks upstream is a 502, which the SDK tries again by itself: attempt 2."""
    async with (
        behind(tmp_path, [Fault.RESET], answered(CHAT, stream=False)) as (_, meter),
        client(meter, retries=2) as sdk,
    ):
        await ask(sdk)
        rows = await meter.settled(2)
    assert [row["end_reason"] for row in rows] == ["upstream_cut", "completed"]
    assert [row["attempt"] for row in rows] == [1, 2]


async def test_no_retry_where_the_sdk_is_told_not_to(tmp_path: Path) -> None:
    """With max_retries = 0 an error is one request and one row."""
    async with behind(tmp_path, *FAILS_TWICE) as (_, meter), client(meter) as sdk:
        with pytest.raises(openai.RateLimitError):
            await ask(sdk)
        assert len(await meter.settled(1)) == 1


ERRORS: list[tuple[str, type[openai.APIStatusError]]] = [
    ("400 Bad Request", openai.BadRequestError),
    ("401 Unauthorized", openai.AuthenticationError),
    ("403 Forbidden", openai.PermissionDeniedError),
    ("404 Not Found", openai.NotFoundError),
    ("409 Conflict", openai.ConflictError),
    ("422 Unprocessable Content", openai.UnprocessableEntityError),
    ("429 Too Many Requests", openai.RateLimitError),
    ("500 Internal Server Error", openai.InternalServerError),
    ("503 Service Unavailable", openai.InternalServerError),
]


@pytest.mark.parametrize(("status", "kind"), ERRORS, ids=[status[:3] for status, _ in ERRORS])
async def test_the_endpoints_errors(
    status: str, kind: type[openai.APIStatusError], tmp_path: Path
) -> None:
    """The endpoint's errors raise what they always raise, with code, type, words and request id."""
    error = {"message": "it is so", "type": "some_error", "param": "model", "code": "some_code"}
    script = [json_answer({"error": error}, status, "x-request-id: req_9")]
    async with behind(tmp_path, script) as (_, meter), client(meter) as sdk:
        with pytest.raises(kind, match="it is so") as raised:
            await ask(sdk)
        [row] = await meter.settled(1)
    told = raised.value
    assert (told.code, told.type, told.param) == ("some_code", "some_error", "model")
    assert (told.request_id, told.status_code) == ("req_9", row["status"])
    assert row["error"]["message"] == "it is so"


async def test_a_key_that_is_none(tmp_path: Path) -> None:
    """Without a cell's key the SDK raises its error for bad keys, and nothing goes upstream."""
    async with (
        behind(tmp_path, [json_answer(CHAT.answer)], auth="keys") as (upstream, meter),
        client(meter, retries=2) as sdk,
    ):
        with pytest.raises(openai.AuthenticationError) as raised:
            await ask(sdk)
        assert raised.value.code == "invalid_api_key"
        assert upstream.received == []
        await ask(sdk.with_options(api_key=meter.proxy.mint_key(CELL, 60)))
        [row] = await meter.settled(1)
    assert row["cell_id"] == CELL


async def test_an_endpoint_that_is_not_there(tmp_path: Path) -> None:
    """502 is a server's error, to be tried again; a proxy that is not there is a connection's."""
    async with metered("http://127.0.0.1:9", tmp_path) as meter, client(meter) as sdk:
        with pytest.raises(openai.InternalServerError) as raised:
            await ask(sdk)
        assert (raised.value.status_code, raised.value.code) == (502, "upstream_refused")
        [row] = await meter.settled(1)
        nobody = sdk.with_options(base_url="http://127.0.0.1:9/v1")
        with pytest.raises(openai.APIConnectionError):
            await ask(nobody)
    assert row["end_reason"] == "upstream_unreachable"


async def test_an_endpoint_that_does_not_answer(tmp_path: Path) -> None:
    """504 is a server's error too; the SDK's own time-out is its own."""
    async with (
        behind(tmp_path, [asyncio.Event()], headers_timeout_s=0.1) as (_, meter),
        client(meter) as sdk,
    ):
        with pytest.raises(openai.InternalServerError) as raised:
            await ask(sdk)
        [row] = await meter.settled(1)
    assert (raised.value.status_code, raised.value.code) == (504, "upstream_headers_timeout")
    assert row["end_reason"] == "timeout"


async def test_the_sdks_own_time_out(tmp_path: Path) -> None:
    """A client that waits no longer raises its time-out, and its call is a row."""
    async with (
        behind(tmp_path, [asyncio.Event()], on_disconnect="cancel") as (_, meter),
        client(meter) as sdk,
    ):
        with pytest.raises(openai.APITimeoutError):
            await ask(sdk.with_options(timeout=0.1))
        [row] = await meter.settled(1)
    assert row["end_reason"] == "client_gone"


async def test_a_stream_that_is_cut(tmp_path: Path) -> None:
    """A stream that breaks raises what a broken stream raises at the endpoint itself."""
    script: list[Step] = [sse_head(), *(chunk(e) for e in CHAT.texts), Fault.CLOSE]
    raised: list[type[BaseException]] = []
    async with behind(tmp_path, script) as (upstream, meter), client(meter) as sdk:
        for url in (upstream.url, meter.url):
            stream = await sdk.with_options(base_url=f"{url}/v1").chat.completions.create(
                model="m", messages=[{"role": "user", "content": "hi"}], stream=True
            )
            try:
                [piece async for piece in stream]
            except Exception as error:  # noqa: BLE001 - which one it is, is the question
                raised.append(type(error))
            await stream.close()
        [row] = await meter.settled(1)
    assert len(raised) == 2
    assert raised[0] == raised[1]
    assert row["end_reason"] == "upstream_cut"


async def test_a_sealed_cell_ends_the_agent_at_once(tmp_path: Path) -> None:
    """409 is retried by the SDK unless the proxy says otherwise, and it does: one request."""
    async with behind(tmp_path, [json_answer(CHAT.answer)], cell=CELL) as (upstream, meter):
        async with client(meter, retries=5) as sdk:
            await ask(sdk)
            await seal(meter)
            with pytest.raises(openai.ConflictError) as raised:
                await ask(sdk, "again")
        rows = await meter.settled(2)
    assert raised.value.code == "cell_sealed"
    assert [row["end_reason"] for row in rows] == ["completed", "rejected"]
    assert len(upstream.received) == 1
