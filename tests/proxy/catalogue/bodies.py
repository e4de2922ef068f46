"""Faults 15 and 17: bodies that are compressed, broken, or carry an error."""

import gzip
import zlib
from collections.abc import Callable

import brotli
import orjson
import zstandard

from tests.proxy.catalogue.table import World, case
from tests.tools.client import Seen
from tests.tools.dialects import named
from tests.tools.upstream import LAST_CHUNK, chunk, event, json_answer, sse_head

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
