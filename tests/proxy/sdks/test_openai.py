"""The `openai` package as a client: what it reports is what the ledger holds, and it fails as ever."""

import asyncio
from pathlib import Path
from typing import Any

import openai
import pytest

from cab.adapters.tasks.loader import list_tasks
from tests.tools.dialects import BY_ENDPOINT, Sample
from tests.tools.proxy import Meter
from tests.tools.sdk import (
    Sdk,
    answered,
    assert_account_agrees,
    behind,
    counts,
    demo_behind,
    without_nulls,
)
from tests.tools.upstream import LAST_CHUNK, Step, chunk, json_answer, sse_head

CHAT, COMPLETIONS = BY_ENDPOINT["chat.completions"], BY_ENDPOINT["completions"]
RESPONSES, EMBEDDINGS = BY_ENDPOINT["responses"], BY_ENDPOINT["embeddings"]
BASH = {
    "type": "function",
    "function": {
        "name": "bash",
        "parameters": {
            "type": "object",
            "properties": {"command": {"type": "string"}},
            "required": ["command"],
        },
    },
}


def client(meter: Meter, key: str = "own-key", retries: int = 0) -> Sdk:
    return openai.AsyncOpenAI(base_url=f"{meter.url}/v1", api_key=key, max_retries=retries)


async def ask(sdk: Sdk, text: str = "hi") -> Any:
    return await sdk.chat.completions.create(
        model="m", messages=[{"role": "user", "content": text}]
    )


def parts(usage: Any) -> dict[str, int | None]:
    """Return what the SDK says of a usage, as a record has it."""
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "cache_read_tokens": prompt.cached_tokens if prompt else None,
        "cache_write_tokens": None,
        "reasoning_tokens": completion.reasoning_tokens if completion else None,
    }


async def test_chat_and_its_usage(tmp_path: Path) -> None:
    """A chat completion's usage, as the SDK reads it, is the ledger's, field by field."""
    async with demo_behind(tmp_path) as (demo, meter), client(meter) as sdk:
        answer = await ask(sdk)
        rows = await meter.settled(1)
    assert counts(rows[0]) == parts(answer.usage)
    assert rows[0]["upstream_id"] == answer.id
    assert (rows[0]["attempt"], rows[0]["stream"]) == (1, False)
    assert_account_agrees(demo, rows)


async def test_the_synchronous_client(tmp_path: Path) -> None:
    """The blocking client, in a thread as in a script, works and is metered alike."""

    def script(url: str) -> list[Any]:
        sdk: Any
        with openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as sdk:
            first = sdk.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "one"}]
            )
            with sdk.chat.completions.create(
                model="m",
                messages=[{"role": "user", "content": "two"}],
                stream=True,
                stream_options={"include_usage": True},
            ) as stream:
                last = list(stream)[-1]
        return [first.usage, last.usage]

    async with demo_behind(tmp_path) as (demo, meter):
        usages = await asyncio.to_thread(script, meter.url)
        rows = await meter.settled(2)
    assert [counts(row) for row in rows] == [parts(usage) for usage in usages]
    assert [row["stream"] for row in rows] == [False, True]
    assert_account_agrees(demo, rows)


@pytest.mark.parametrize("asked", [False, True], ids=["silent", "asked"])
async def test_a_streamed_chat(asked: bool, tmp_path: Path) -> None:
    """A stream shows usage only to a client that asked for it; the ledger has it in any case."""
    options: Any = {"stream_options": {"include_usage": True}} if asked else {}
    async with demo_behind(tmp_path) as (demo, meter), client(meter) as sdk:
        stream = await sdk.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "hi"}], stream=True, **options
        )
        chunks = [piece async for piece in stream]
        rows = await meter.settled(1)
    usages = [piece.usage for piece in chunks if piece.usage is not None]
    assert [parts(usage) for usage in usages] == ([counts(rows[0])] if asked else [])
    assert all(piece.choices for piece in chunks[: -1 if asked else None])
    assert rows[0]["end_reason"] == "completed"
    assert rows[0]["finish_reason"] == "stop"
    assert_account_agrees(demo, rows)


async def test_raw_answers(tmp_path: Path) -> None:
    """The SDK's raw and streaming views show the call's id and the endpoint's own bytes."""
    script = [json_answer(CHAT.answer, "200 OK", "x-request-id: req_7")]
    async with behind(tmp_path, script) as (_, meter), client(meter) as sdk:
        create: Any = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
        raw = await sdk.chat.completions.with_raw_response.create(**create)
        async with sdk.chat.completions.with_streaming_response.create(**create) as lazy:
            body = b"".join([piece async for piece in lazy.iter_bytes()])
        rows = await meter.settled(2)
    ids = [raw.headers["x-cab-call-id"], lazy.headers["x-cab-call-id"]]
    assert ids == [row["call_id"] for row in rows]
    assert raw.headers["x-request-id"] == "req_7"
    assert json_answer(CHAT.answer, "200 OK").endswith(b"\r\n\r\n" + body)
    assert counts(rows[0]) == CHAT.figures == parts(raw.parse().usage)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_tools(stream: bool, tmp_path: Path) -> None:
    """Tool calls arrive in the SDK as the model server made them, and are counted."""
    create: Any = {
        "model": "m",
        "messages": [{"role": "user", "content": list_tasks()[0].prompt}],
        "tools": [BASH],
    }
    async with demo_behind(tmp_path) as (demo, meter), client(meter) as sdk:
        if stream:
            async with sdk.chat.completions.stream(**create) as events:
                message = (await events.get_final_completion()).choices[0].message
        else:
            message = (await sdk.chat.completions.create(**create)).choices[0].message
        rows = await meter.settled(1)
    assert message.tool_calls
    assert [call.function.name for call in message.tool_calls if call.type == "function"] == [
        "bash"
    ]
    assert rows[0]["tool_calls"] == len(message.tool_calls)
    assert rows[0]["finish_reason"] == "tool_calls"
    assert_account_agrees(demo, rows)


@pytest.mark.parametrize("sample", [CHAT, COMPLETIONS, RESPONSES, EMBEDDINGS],
                         ids=lambda s: str(s.endpoint))  # fmt: skip
async def test_every_dialect_of_the_sdk(sample: Sample, tmp_path: Path) -> None:
    """Each of the SDK's ways to call a model gives the endpoint's figures to both, SDK and ledger."""
    async with behind(tmp_path, [json_answer(sample.answer)]) as (upstream, meter):
        async with client(meter) as sdk:
            answer = await call(sdk, sample)
        [row] = await meter.settled(1)
    assert without_nulls(answer.usage.model_dump()) == sample.answer["usage"]
    assert row["usage_raw"] == sample.answer["usage"]
    assert counts(row) == sample.figures
    assert row["endpoint"] == sample.endpoint
    assert upstream.received[0].target == sample.path


async def call(sdk: Sdk, sample: Sample) -> Any:
    kinds: dict[str, Any] = {
        "chat.completions": sdk.chat.completions,
        "completions": sdk.completions,
        "responses": sdk.responses,
        "embeddings": sdk.embeddings,
    }
    return await kinds[sample.endpoint].create(**sample.request)


async def test_a_streamed_response(tmp_path: Path) -> None:
    """The events of the Responses API arrive in order, and the last one's usage is the ledger's."""
    async with (
        behind(tmp_path, answered(RESPONSES, stream=True)) as (_, meter),
        client(meter) as sdk,
    ):
        stream = await sdk.responses.create(**RESPONSES.request, stream=True)
        events = [event async for event in stream]
        [row] = await meter.settled(1)
    kinds = [event.type for event in events]
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
    assert kinds.count("response.output_text.delta") == 4
    final = events[-1].response
    told = [final.usage.input_tokens, final.usage.output_tokens, final.usage.total_tokens]
    assert [row["prompt_tokens"], row["completion_tokens"], row["total_tokens"]] == told
    assert counts(row) == RESPONSES.figures
    assert row["upstream_id"] == final.id


async def test_a_stream_that_is_left_early(tmp_path: Path) -> None:
    """`break` in the loop closes the stream; the endpoint's usage is read all the same."""
    rest = asyncio.Event()
    script: list[Step] = [sse_head(), *(chunk(e) for e in CHAT.texts[:3]), rest]
    script += [*(chunk(e) for e in CHAT.events[3:]), LAST_CHUNK]
    async with behind(tmp_path, script) as (_, meter), client(meter) as sdk:
        async with await sdk.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "hi"}], stream=True
        ) as stream:
            async for piece in stream:
                if piece.choices[0].delta.content:
                    break
        await meter.noticed()
        rest.set()
        [row] = await meter.settled(1)
    assert row["end_reason"] == "client_gone"
    assert counts(row) == CHAT.figures


async def test_many_calls_at_once(tmp_path: Path) -> None:
    """Forty calls at once, streamed and not: the ledger's sum is the model server's own account."""

    async def one(sdk: Sdk, number: int) -> None:
        create: Any = {"model": "m", "messages": [{"role": "user", "content": f"n {number}"}]}
        if number % 2:
            stream = await sdk.chat.completions.create(**create, stream=True)
            assert [piece async for piece in stream]
        else:
            await sdk.chat.completions.create(**create)

    async with demo_behind(tmp_path) as (demo, meter), client(meter) as sdk:
        async with asyncio.TaskGroup() as tasks:
            for number in range(40):
                tasks.create_task(one(sdk, number))
        rows = await meter.settled(40)
    account = demo.account()
    assert sum(row["prompt_tokens"] for row in rows) == account["prompt_tokens"]
    assert sum(row["completion_tokens"] for row in rows) == account["completion_tokens"]
    assert sorted(row["seq"] for row in rows) == list(range(1, 41))
