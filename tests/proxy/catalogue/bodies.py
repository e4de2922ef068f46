"""Faults 15 and 17: bodies that are compressed, broken, or carry an error."""

import gzip
import zlib
from collections.abc import Callable
from typing import Any

import brotli
import orjson
import zstandard

from tests.proxy.catalogue.table import OPENAI, World, case
from tests.tools.client import Seen
from tests.tools.dialects import named
from tests.tools.upstream import DONE, LAST_CHUNK, chunk, event, json_answer, sse_head

AS_SENT = "the bytes as they were sent"


async def compressed(world: World, coding: str, compress: Callable[[bytes], bytes]) -> Seen:
    """Answer in a coding that nobody asked for; it must pass unchanged and be metered."""
    packed = compress(world.expected_body)
    header = f"Content-Encoding: {coding}"
    if world.stream:
        half = len(packed) // 2
        script = [sse_head(header), chunk(packed[:half]), chunk(packed[half:]), LAST_CHUNK]
    else:
        script = [json_answer(packed, "200 OK", header)]
    seen = await world.call(script)
    assert seen.body == packed
    assert seen.header("Content-Encoding") == coding
    assert world.upstream.received[0].header("Accept-Encoding") == "identity"
    return seen


@case("15", "gzip", client=AS_SENT, end_reason="completed")
async def _gzip(world: World) -> Seen:
    return await compressed(world, "gzip", gzip.compress)


@case("15", "deflate", client=AS_SENT, end_reason="completed")
async def _deflate(world: World) -> Seen:
    return await compressed(world, "deflate", zlib.compress)


@case("15", "br", client=AS_SENT, end_reason="completed")
async def _br(world: World) -> Seen:
    return await compressed(world, "br", brotli.compress)


@case("15", "zstd", client=AS_SENT, end_reason="completed")
async def _zstd(world: World) -> Seen:
    return await compressed(world, "zstd", zstandard.compress)


@case(
    "15",
    "`Content-Encoding: utf-8`: a coding that is not known is none",
    client=AS_SENT,
    end_reason="completed",
)
async def _unknown_coding(world: World) -> Seen:
    seen = await world.call(world.whole("Content-Encoding: utf-8"))
    assert seen.body == world.expected_body
    assert seen.header("Content-Encoding") == "utf-8"
    return seen


@case("17", "an error object in mid-stream", client=AS_SENT, streaming=(True,), tokens="see the case",
      end_reason="upstream_error", status=200)  # fmt: skip
async def _error_in_mid_stream(world: World) -> Seen:
    error = {"message": "overloaded", "type": "server_error", "code": 503}
    if world.sample.endpoint in {"messages", "responses"}:
        broken = named("error", {"error": error, **error})
    else:
        broken = event({"error": error})
    events = [*world.sample.texts, broken]
    seen = await world.call([sse_head(), *(chunk(e) for e in events), LAST_CHUNK])
    assert seen.body == b"".join(events)
    assert world.rows[0]["error"]["message"] == "overloaded"
    return seen


@case("17", "a 200 with an error as its body", client=AS_SENT, tokens="see the case", end_reason="upstream_error",
      status=200)  # fmt: skip
async def _error_as_the_body(world: World) -> Seen:
    body = orjson.dumps({"error": {"message": "no", "type": "server_error", "code": "x"}})
    seen = await world.call([json_answer(body)])
    assert seen.body == body
    return seen


@case("17", "an HTML page", client=AS_SENT, tokens="none", end_reason="upstream_error", status=200)
async def _html(world: World) -> Seen:
    page = b"<!doctype html><title>Bad gateway</title>"
    seen = await world.call([json_answer(page).replace(b"application/json", b"text/html")])
    assert seen.body == page
    assert world.rows[0]["unmetered"]
    return seen


@case("17", "an empty body", client=AS_SENT, tokens="none", end_reason="upstream_error", status=200)
async def _empty(world: World) -> Seen:
    seen = await world.call([json_answer(b"")])
    assert seen.body == b""
    assert seen.complete
    return seen


@case("17", "malformed JSON", client=AS_SENT, tokens="see the case", streaming=(False,), end_reason="upstream_error",
      status=200)  # fmt: skip
async def _malformed(world: World) -> Seen:
    body = world.expected_body[:-1]
    seen = await world.call([json_answer(body)])
    assert seen.body == body
    assert world.rows[0]["unmetered"]
    return seen


@case(
    "17",
    "one malformed event in a good stream",
    client=AS_SENT,
    streaming=(True,),
    end_reason="completed",
)
async def _malformed_event(world: World) -> Seen:
    first, *rest = world.sample.events
    events = [first, b'data: {"choices": [{\n\n', *rest]
    seen = await world.call([sse_head(), *(chunk(e) for e in events), LAST_CHUNK])
    assert seen.body == b"".join(events)
    return seen


FAILED_BODIES: list[dict[str, Any]] = [
    {"object": "error", "message": "too long", "type": "BadRequestError", "code": 40303},
    {"error": True, "message": "no"},
    {"error": ["no"]},
    {"code": 500, "msg": "404 NOT_FOUND", "success": False},
    {"success": False},
    {"choices": None, "base_resp": {"status_code": 1008, "status_msg": "no balance"}},
    {"message": "no", "code": 500},
]


@case("17", "a 200 with a gateway's error: `object: error`, `error: true`, `success: false`, a code, `base_resp`",
      client=AS_SENT, tokens="none", rows=len(FAILED_BODIES), end_reason="upstream_error", status=200)  # fmt: skip
async def _gateway_errors(world: World) -> Seen:
    scripts = [
        [sse_head(), chunk(event(body)), LAST_CHUNK] if world.stream else [json_answer(body)]
        for body in FAILED_BODIES
    ]
    async with world.running(*scripts) as meter:
        for body in FAILED_BODIES:
            seen = await world.post(meter)
            assert orjson.loads(seen.body.removeprefix(b"data: ")) == body
    assert {row["error"]["type"] for row in world.rows} == {
        "BadRequestError",
        "error",
        "500",
        "1008",
    }
    return seen


@case("17", "a good answer with `error: {}`, code 0 and `base_resp` of success", client=AS_SENT,
      end_reason="completed", error=None)  # fmt: skip
async def _no_error(world: World) -> Seen:
    good = {
        "error": {},
        "code": 0,
        "message": "success",
        "base_resp": {"status_code": 0, "status_msg": ""},
    }
    if not world.stream:
        return await world.call([json_answer({**world.sample.answer, **good})])
    events = [_with(e, good) for e in world.sample.events]
    seen = await world.call([sse_head(), *(chunk(e) for e in events), LAST_CHUNK])
    assert seen.body == b"".join(events)
    return seen


def _with(raw: bytes, members: dict[str, Any]) -> bytes:
    head, mark, data = raw.rpartition(b"data: ")
    if not data.startswith(b"{"):
        return raw
    own = {"message"} & orjson.loads(data).keys()
    more = {name: value for name, value in members.items() if name not in own}
    return head + mark + orjson.dumps({**orjson.loads(data), **more}) + b"\n\n"


ERROR_EVENTS = [
    b"event: error\ndata: overloaded\n\n",
    b"data: [ERROR] overloaded\n\n",
    b"data: error: overloaded\n\n",
    b'event: error\ndata: {"message":"overloaded","type":"server_error"}\n\n',
    b'error: {"code":500,"message":"overloaded","type":"server_error"}\n\n',
    b"data: <html><body>502 Bad Gateway</body></html>\n\n",
]


@case("17", "an error in mid-stream as plain text, as an `error:` field (old llama.cpp), as HTML", client=AS_SENT,
      streaming=(True,), rows=len(ERROR_EVENTS), tokens="see the case", end_reason="upstream_error",
      status=200)  # fmt: skip
async def _error_texts(world: World) -> Seen:
    first = world.sample.texts[0]
    scripts = [[sse_head(), chunk(first), chunk(e), LAST_CHUNK] for e in ERROR_EVENTS]
    async with world.running(*scripts) as meter:
        for error in ERROR_EVENTS:
            seen = await world.post(meter)
            assert seen.body == first + error
    kinds = [row["error"]["type"] for row in world.rows]
    assert kinds == ["error", "error", "error", "server_error", "server_error", "html"]
    assert {row["error"]["message"] for row in world.rows[:5]} == {"overloaded"}
    return seen


@case("17", "the finish reason is `error`, `network_error` (Z.ai), a failed status", client=AS_SENT, rows=2,
      dialects=("chat.completions", "completions", "responses", "messages", "gemini.generateContent"),
      tokens="see the case", end_reason="upstream_error", status=200)  # fmt: skip
async def _finished_by_an_error(world: World) -> Seen:
    good = f'"{world.sample.finish_reason}"'.encode()
    reasons = ["failed", "error"] if good == b'"completed"' else ["error", "network_error"]
    async with world.running(*(_ending(world, good, reason) for reason in reasons)) as meter:
        seen = await world.post(meter)
        await world.post(meter)
    assert [row["finish_reason"] for row in world.rows] == reasons
    return seen


def _ending(world: World, good: bytes, reason: str) -> list[bytes | Any]:
    bad = f'"{reason}"'.encode()
    if not world.stream:
        return [json_answer(world.expected_body.replace(good, bad))]
    frames = [chunk(e.replace(good, bad)) for e in world.sample.events]
    return [sse_head(), *frames, LAST_CHUNK]


@case("17", "an error inside a choice", client=AS_SENT, dialects=OPENAI, tokens="see the case",
      end_reason="upstream_error", status=200)  # fmt: skip
async def _error_in_a_choice(world: World) -> Seen:
    error = {"code": 502, "message": "provider down"}
    choice = {"index": 0, "finish_reason": None, "text": "", "delta": {}, "error": error}
    body = {"id": "x", "choices": [choice]}
    script = [sse_head(), chunk(event(body)), chunk(DONE), LAST_CHUNK]
    seen = await world.call(script if world.stream else [json_answer(body)])
    assert world.rows[0]["error"] == {"type": "502", "message": "provider down"}
    return seen


@case("17", "an answer that holds nothing of its dialect, in order to its end", client=AS_SENT, streaming=(False,),
      tokens="none", end_reason="upstream_error", status=200)  # fmt: skip
async def _holds_nothing(world: World) -> Seen:
    body = {"id": "", "object": "", "choices": None, "usage": None}
    seen = await world.call([json_answer(body)])
    assert world.rows[0]["error"]["type"] == "not_understood"
    return seen


@case("17", "`[DONE]` alone", client=AS_SENT, dialects=OPENAI, streaming=(True,), tokens="none",
      end_reason="upstream_error", status=200)  # fmt: skip
async def _done_alone(world: World) -> Seen:
    seen = await world.call([sse_head(), chunk(DONE), LAST_CHUNK])
    assert seen.body == DONE
    assert world.rows[0]["error"]["type"] == "not_understood"
    return seen
