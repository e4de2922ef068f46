"""Faults 6 to 12: usage in streams, in odd places, or not at all."""

from typing import Any

import orjson

from tests.proxy.catalogue.table import OPENAI, World, case
from tests.tools.client import Seen, post
from tests.tools.dialects import named
from tests.tools.upstream import (
    DONE,
    LAST_CHUNK,
    Received,
    Script,
    Step,
    chunk,
    event,
    json_answer,
    sse_head,
)

WHOLE = "the whole answer, byte for byte"
OPTIONS: dict[str, Any] = {
    "null": None,
    "empty": {},
    "false": {"include_usage": False},
    "other sub-keys": {"include_obfuscation": False},
}


def like_openai(world: World) -> Script:
    """A script that sends usage as OpenAI does: only to those who ask, and null in other chunks."""

    def script(request: Received) -> list[Step]:
        asked = (request.json.get("stream_options") or {}).get("include_usage") is True
        events = [orjson.loads(e[6:]) for e in world.sample.events if e != DONE]
        if not asked:
            events = [e for e in events if "usage" not in e]
        else:
            events = [{"usage": None, **e} for e in events]
        frames = [*(event(e) for e in events), DONE]
        return [sse_head(), *(chunk(f) for f in frames), LAST_CHUNK]

    return script


async def asks_with(world: World, **options: Any) -> Seen:
    """Ask for a stream with some `stream_options`; the client must see what it would without us."""
    body = {**world.sample.request, "stream": True, **options}
    target = world.sample.path
    async with world.running(like_openai(world)) as meter:
        direct = await post(world.upstream.url, target, body)
        seen = await post(meter.url, target, body)
    assert seen.body == direct.body
    assert seen.complete
    through = world.upstream.received[1].json
    assert through["stream_options"]["include_usage"] is True
    kept = {k: v for k, v in through.items() if k != "stream_options"}
    assert kept == {k: v for k, v in body.items() if k != "stream_options"}
    return seen


@case("6", "`stream_options` absent", client=WHOLE + ", without usage", dialects=OPENAI, streaming=(True,),
      end_reason="completed", usage_status="complete")  # fmt: skip
async def _options_absent(world: World) -> Seen:
    return await asks_with(world)


@case("6", "`stream_options: null`", client=WHOLE + ", without usage", dialects=OPENAI, streaming=(True,),
      end_reason="completed", usage_status="complete")  # fmt: skip
async def _options_null(world: World) -> Seen:
    return await asks_with(world, stream_options=None)


@case("6", "`stream_options: {}`", client=WHOLE + ", without usage", dialects=OPENAI, streaming=(True,),
      end_reason="completed", usage_status="complete")  # fmt: skip
async def _options_empty(world: World) -> Seen:
    return await asks_with(world, stream_options={})


@case("6", "`include_usage: false`", client=WHOLE + ", without usage", dialects=OPENAI, streaming=(True,),
      end_reason="completed", usage_status="complete")  # fmt: skip
async def _options_false(world: World) -> Seen:
    return await asks_with(world, stream_options={"include_usage": False})


@case("6", "other sub-keys of `stream_options`", client=WHOLE + ", without usage", dialects=OPENAI,
      streaming=(True,), end_reason="completed", usage_status="complete")  # fmt: skip
async def _options_other(world: World) -> Seen:
    seen = await asks_with(world, stream_options={"include_obfuscation": False})
    assert world.upstream.received[1].json["stream_options"]["include_obfuscation"] is False
    return seen


@case("6", "`include_usage: true`", client=WHOLE + ", usage included", dialects=OPENAI, streaming=(True,),
      end_reason="completed", usage_status="complete")  # fmt: skip
async def _options_true(world: World) -> Seen:
    seen = await asks_with(world, stream_options={"include_usage": True})
    assert b'"usage":{' in seen.body
    return seen


async def streams(world: World, *events: bytes, ask: bool = False) -> Seen:
    """Stream some events to a client that asked for usage or not; it must see them all."""
    frames = [chunk(e) for e in events]
    options = {"stream_options": {"include_usage": True}} if ask else {}
    body = {**world.sample.request, "stream": True, **options}
    async with world.running([sse_head(), *frames, LAST_CHUNK]) as meter:
        seen = await post(meter.url, world.sample.path, body)
    assert seen.body == b"".join(events)
    return seen


def usage_of(world: World) -> dict[str, Any]:
    usage: dict[str, Any] = world.sample.answer["usage"]
    return usage


def with_usage(world: World, number: int, **fields: Any) -> bytes:
    """One of the sample's events with some members added."""
    return event({**orjson.loads(world.sample.events[number][6:]), **fields})


@case("7", "usage in a chunk that has text too", client=WHOLE, dialects=OPENAI, streaming=(True,),
      end_reason="completed")  # fmt: skip
async def _usage_beside_text(world: World) -> Seen:
    texts = world.sample.texts[:-1]
    last = with_usage(world, len(texts), usage=usage_of(world))
    return await streams(world, *texts, last, world.sample.ending[0], DONE)


@case("7", "usage in the chunk with the finish reason (Mistral)", client=WHOLE, dialects=OPENAI,
      streaming=(True,), end_reason="completed", usage_status="complete")  # fmt: skip
async def _usage_with_the_finish(world: World) -> Seen:
    texts = world.sample.texts
    return await streams(world, *texts, with_usage(world, len(texts), usage=usage_of(world)), DONE)


@case("7", "usage in `x_groq`", client=WHOLE, dialects=("chat.completions",), streaming=(True,),
      end_reason="completed", usage_status="complete")  # fmt: skip
async def _usage_in_x_groq(world: World) -> Seen:
    texts = world.sample.texts
    last = with_usage(world, len(texts), x_groq={"id": "req_1", "usage": usage_of(world)})
    return await streams(world, *texts, last, DONE)


@case("7", "usage in every chunk, cumulative: the last counts", client=WHOLE, dialects=OPENAI, streaming=(True,),
      end_reason="completed", usage_status="complete")  # fmt: skip
async def _usage_in_every_chunk(world: World) -> Seen:
    final = usage_of(world)
    partial = {**final, "completion_tokens": 1, "total_tokens": final["prompt_tokens"] + 1}
    count = len(world.sample.texts)
    texts = [with_usage(world, n, usage=partial) for n in range(count)]
    return await streams(world, *texts, with_usage(world, count, usage=final), DONE, ask=True)


@case("7", "`usage: null` everywhere but in the last chunk", client=WHOLE, dialects=OPENAI, streaming=(True,),
      end_reason="completed", usage_status="complete")  # fmt: skip
async def _usage_null_but_last(world: World) -> Seen:
    count = len(world.sample.events) - 2
    texts = [with_usage(world, n, usage=None) for n in range(count)]
    return await streams(world, *texts, world.sample.ending[-1], DONE, ask=True)


def no_options_please(world: World) -> Script:
    """An endpoint that knows no `stream_options`."""

    def script(request: Received) -> list[Step]:
        if "stream_options" in request.json:
            message = "Unknown parameter: 'stream_options'."
            return [json_answer({"error": {"message": message}}, "400 Bad Request")]
        return [sse_head(), *(chunk(e) for e in world.sample.texts), chunk(DONE), LAST_CHUNK]

    return script


@case("8", "the endpoint refuses `stream_options`: sent again without, once, and remembered", client=WHOLE,
      dialects=OPENAI, streaming=(True,), rows=2, tokens="counted here", end_reason="completed")  # fmt: skip
async def _stream_options_refused(world: World) -> Seen:
    body = {**world.sample.request, "stream": True}
    async with world.running(no_options_please(world)) as meter:
        await post(meter.url, world.sample.path, body)
        seen = await post(meter.url, world.sample.path, body)
    assert seen.body == b"".join(world.sample.texts) + DONE
    assert [row["upstream_attempts"] for row in world.rows] == [2, 1]
    assert ["stream_options" in r.json for r in world.upstream.received] == [True, False, False]
    return seen


@case("7", "`finish_reason: \"null\"` in every chunk, then cut: not finished", client="a broken stream",
      dialects=OPENAI, streaming=(True,), tokens="counted here", end_reason="upstream_cut", finish_reason=None,
      usage_status="partial")  # fmt: skip
async def _finish_reason_null(world: World) -> Seen:
    texts = [
        e.replace(b'"finish_reason":null', b'"finish_reason":"null"') for e in world.sample.texts
    ]
    assert texts[0] != world.sample.texts[0]
    return await world.call([sse_head(), *(chunk(e) for e in texts), LAST_CHUNK])


@case("7", "usage that was asked for here, beside an empty delta (LiteLLM)", client=WHOLE + ", without usage",
      dialects=OPENAI, streaming=(True,), end_reason="completed", usage_status="complete")  # fmt: skip
async def _usage_beside_an_empty_delta(world: World) -> Seen:
    sample = world.sample
    finish, usage = (
        sample.ending[0],
        event({"choices": [{"index": 0, "delta": {}}], "usage": usage_of(world)}),
    )
    frames = [*sample.texts, finish, usage, DONE]
    async with world.running([sse_head(), *(chunk(e) for e in frames), LAST_CHUNK]) as meter:
        seen = await post(meter.url, sample.path, {**sample.request, "stream": True})
    assert seen.body == b"".join([*sample.texts, finish, DONE])
    return seen


@case("8", "the refusal is an event of a 200 stream, or inside a 500", client=WHOLE, dialects=OPENAI,
      streaming=(True,), rows=2, tokens="counted here", end_reason="completed", upstream_attempts=2)  # fmt: skip
async def _stream_options_refused_otherwise(world: World) -> Seen:
    refusal = {"error": {"message": "Unknown parameter: 'stream_options'.", "code": 400}}
    first = [sse_head(), chunk(event(refusal)), LAST_CHUNK]
    second = [json_answer(refusal, "500 Internal Server Error")]
    good = [sse_head(), *(chunk(e) for e in world.sample.texts), chunk(DONE), LAST_CHUNK]
    body = {**world.sample.request, "stream": True}
    async with world.running(first, good, second, good) as meter:
        await post(meter.url, world.sample.path, body)
        seen = await post(meter.url, world.sample.path, {**body, "model": "other"})
    assert seen.body == b"".join(world.sample.texts) + DONE
    return seen


@case("8", "an unrelated 422 that repeats the request is no refusal: usage is asked for again", client="the 422",
      dialects=OPENAI, streaming=(True,), rows=2, tokens="nothing written", end_reason="upstream_error",
      status=422, upstream_attempts=1)  # fmt: skip
async def _stream_options_echoed(world: World) -> Seen:
    def echo(request: Received) -> list[Step]:
        problem = {"loc": ["body", "messages"], "msg": "Field required", "input": request.json}
        return [json_answer({"detail": [problem]}, "422 Unprocessable Content")]

    body = {**world.sample.request, "stream": True}
    async with world.running(echo) as meter:
        await post(meter.url, world.sample.path, body)
        seen = await post(meter.url, world.sample.path, body)
    assert all("stream_options" in request.json for request in world.upstream.received)
    return seen


@case("8", "the client's own `stream_options` refused: the 400 is the client's", client="the 400", dialects=OPENAI,
      streaming=(True,), tokens="nothing written", end_reason="upstream_error", status=400)  # fmt: skip
async def _own_stream_options_refused(world: World) -> Seen:
    async with world.running(no_options_please(world)) as meter:
        seen = await world.post(meter)
    assert seen.status == 400
    assert b"Unknown parameter" in seen.body
    return seen


@case("9", "no usage at all: counted here, and marked", client=WHOLE, tokens="counted here", end_reason="completed",
      usage_status="complete")  # fmt: skip
async def _no_usage(world: World) -> Seen:
    if not world.stream:
        body = {k: v for k, v in world.sample.answer.items() if k not in {"usage", "usageMetadata"}}
        return await world.call([json_answer(body)])
    events = [_without_usage(e) for e in world.sample.events]
    return await world.call([sse_head(), *(chunk(e) for e in events if e), LAST_CHUNK])


def _without_usage(raw: bytes) -> bytes:
    head, mark, data = raw.rpartition(b"data: ")
    if data.startswith(b"["):
        return raw
    content = orjson.loads(data)
    if content.get("choices") == []:
        return b""
    for holder in (content, content.get("response"), content.get("message")):
        if isinstance(holder, dict):
            holder.pop("usage", None)
            holder.pop("usageMetadata", None)
    return head + mark + orjson.dumps(content) + b"\n\n"


@case("9", "usage with explicit zeros stays zero", client=WHOLE, dialects=OPENAI, tokens="see the case",
      end_reason="completed", usage_status="inconsistent", prompt_tokens=0, completion_tokens=0, total_tokens=0, usage_source="upstream")  # fmt: skip
async def _usage_of_zero(world: World) -> Seen:
    zero = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    if not world.stream:
        return await world.call([json_answer({**world.sample.answer, "usage": zero})])
    texts = world.sample.texts
    return await streams(world, *texts, with_usage(world, len(texts), usage=zero), DONE, ask=True)


@case("10", "several cumulative `message_delta`: the last counts, cache fields stay", client=WHOLE,
      dialects=("messages",), streaming=(True,), end_reason="completed", usage_status="complete")  # fmt: skip
async def _several_message_deltas(world: World) -> Seen:
    sample = world.sample
    early = [named("message_delta", {"delta": {}, "usage": {"output_tokens": n}}) for n in (3, 9)]
    events = [*sample.texts, *early, *sample.ending, sample.terminal]
    return await world.call([sse_head(), *(chunk(e) for e in events), LAST_CHUNK])


@case("11", "`response.incomplete`", client=WHOLE, dialects=("responses",), end_reason="completed",
      finish_reason="max_output_tokens")  # fmt: skip
async def _response_incomplete(world: World) -> Seen:
    reason = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    response = {**world.sample.answer, **reason}
    if not world.stream:
        return await world.call([json_answer(response)])
    last = named("response.incomplete", {"response": response})
    return await world.call(
        [sse_head(), *(chunk(e) for e in [*world.sample.texts, last]), LAST_CHUNK]
    )


@case("11", "`response.failed`", client=WHOLE, dialects=("responses",), end_reason="upstream_error")
async def _response_failed(world: World) -> Seen:
    error = {"code": "server_error", "message": "it broke"}
    response = {**world.sample.answer, "status": "failed", "error": error}
    if not world.stream:
        return await world.call([json_answer(response)])
    last = named("response.failed", {"response": response})
    return await world.call(
        [sse_head(), *(chunk(e) for e in [*world.sample.texts, last]), LAST_CHUNK]
    )


@case("11", "`response.done` as the terminal event", client=WHOLE, dialects=("responses",), streaming=(True,),
      end_reason="completed", usage_status="complete", finish_reason="completed")  # fmt: skip
async def _response_done(world: World) -> Seen:
    last = named("response.done", {"response": world.sample.answer})
    events = [*world.sample.texts, last]
    seen = await world.call([sse_head(), *(chunk(e) for e in events), LAST_CHUNK])
    assert seen.body == b"".join(events)
    return seen


@case("11", "`background: true`: queued, its counts are unknown", client=WHOLE, dialects=("responses",),
      streaming=(False,), tokens="none", end_reason="completed", finish_reason="queued")  # fmt: skip
async def _response_queued(world: World) -> Seen:
    queued: dict[str, Any] = {
        "id": "resp_7",
        "object": "response",
        "status": "queued",
        "output": [],
        "usage": None,
    }
    return await world.call([json_answer(queued)])


@case("11", "a background stream that ends while it is queued: its counts are unknown", client=WHOLE,
      dialects=("responses",), streaming=(True,), tokens="none", end_reason="completed", usage_status=None)  # fmt: skip
async def _response_queued_stream(world: World) -> Seen:
    zeros = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    queued: dict[str, Any] = {
        "id": "resp_7",
        "status": "queued",
        "background": True,
        "usage": zeros,
    }
    events = [named(f"response.{name}", {"response": queued}) for name in ("created", "queued")]
    return await world.call([sse_head(), *map(chunk, events), LAST_CHUNK])


@case("11", "polling `GET responses/{id}` adds no tokens", client=WHOLE, dialects=("responses",), streaming=(False,),
      tokens="none", endpoint="other", end_reason="completed")  # fmt: skip
async def _response_poll(world: World) -> Seen:
    async with world.running([json_answer(world.sample.answer)]) as meter:
        return await post(meter.url, "/v1/responses/resp_7", b"", method="GET")


@case("11", "`messages/count_tokens` is not a completion", client=WHOLE, dialects=("messages",), streaming=(False,),
      tokens="none", endpoint="other", end_reason="completed")  # fmt: skip
async def _count_tokens(world: World) -> Seen:
    async with world.running([json_answer({"input_tokens": 60})]) as meter:
        return await post(meter.url, "/v1/messages/count_tokens", world.sample.request)


@case("12", "a new id with every fragment of a tool call, without or with the name: one call; two whole calls of one name at index 0: two",
      client=WHOLE, dialects=("chat.completions",), streaming=(True,), rows=3, end_reason="completed")  # fmt: skip
async def _tool_calls(world: World) -> Seen:
    first = {"index": 0, "id": "a0", "function": {"name": "f", "arguments": "{"}}
    more = [{"index": 0, "id": f"a{n}", "function": {"arguments": " "}} for n in range(1, 6)]
    twin = {"index": 0, "function": {"name": "f", "arguments": "{}"}}
    again = [
        {"index": 0, "id": f"b{n}", "function": {"name": "f", "arguments": piece}}
        for n, piece in enumerate(('{"a', '":', "1}"))
    ]
    scripts = [_calling(world, *calls) for calls in ((first, *more), (twin, twin), again)]
    async with world.running(*scripts) as meter:
        for _ in scripts[1:]:
            await world.post(meter)
        seen = await world.post(meter)
    assert [row["tool_calls"] for row in world.rows] == [1, 2, 1]
    return seen


def _calling(world: World, *calls: dict[str, Any]) -> Script:
    deltas = [event({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}) for call in calls]
    frames = [*deltas, *world.sample.ending, DONE]
    return [sse_head(), *(chunk(e) for e in frames), LAST_CHUNK]


@case("12", "the same call streamed and not gives the same token counts", client=WHOLE, end_reason="completed",
      usage_status="complete")  # fmt: skip
async def _undisturbed(world: World) -> Seen:
    seen = await world.call(world.whole())
    assert seen.body == world.expected_body
    assert world.rows[0]["finish_reason"] == world.sample.finish_reason
    return seen
