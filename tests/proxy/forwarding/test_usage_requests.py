"""Asking an endpoint for usage: what refuses it, what is remembered of that, and for how long."""

import asyncio
import gzip
from collections.abc import Sequence
from pathlib import Path

import orjson
import pytest

from cab.proxy.forwarding.usage_requests import UsageRequests
from tests.tools.client import post
from tests.tools.dialects import BY_ENDPOINT
from tests.tools.proxy import metered
from tests.tools.upstream import (
    DONE,
    LAST_CHUNK,
    Received,
    Script,
    Step,
    chunk,
    event,
    json_answer,
    scripted_upstream,
    sse_head,
)

CHAT = BY_ENDPOINT["chat.completions"]
REFUSAL = {"error": {"message": "Unknown parameter: 'stream_options'.", "code": 400}}
UNNAMED = {"detail": "Extra inputs are not permitted"}
PACKED = gzip.compress(orjson.dumps(REFUSAL))
HEAD = b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n"


async def pause() -> None:
    """Let the first piece be read before the second is sent."""
    await asyncio.sleep(0.05)


def in_two_pieces() -> list[Step]:
    body = orjson.dumps(REFUSAL)
    return [HEAD + b"Content-Length: %d\r\n\r\n" % len(body), body[:20], pause, body[20:]]


REFUSALS: dict[str, list[Step]] = {
    "400": [json_answer(REFUSAL, "400 Bad Request")],
    "in two pieces": in_two_pieces(),
    "compressed": [json_answer(PACKED, "400 Bad Request", "Content-Encoding: gzip")],
    "500 that wraps a 400": [json_answer(REFUSAL, "500 Internal Server Error")],
    "event of a 200 stream": [sse_head(), chunk(event(REFUSAL)), LAST_CHUNK],
    "422 that names no field": [json_answer(UNNAMED, "422 Unprocessable Content")],
}


def asked(request: Received) -> bool:
    return "stream_options" in request.json


def refuses(refusal: Sequence[Step], *, always: bool = False) -> Script:
    """An endpoint that refuses those who ask, or every stream."""
    good = [sse_head(), *(chunk(e) for e in CHAT.texts), chunk(DONE), LAST_CHUNK]
    return lambda request: refusal if always or asked(request) else good


def body(model: str = "m") -> dict[str, object]:
    return {**CHAT.request, "model": model, "stream": True}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
async def test_every_form_of_a_refusal_is_found_and_remembered(
    refusal: list[Step], tmp_path: Path
) -> None:
    """The request goes again without the question, and the next one of the model is sent as it is."""
    async with (
        scripted_upstream(refuses(refusal)) as upstream,
        metered(upstream.url, tmp_path) as meter,
    ):
        seen = [await post(meter.url, CHAT.path, body(model)) for model in ("m", "m", "n")]
        rows = await meter.settled(3)
    assert {answer.body for answer in seen} == {b"".join(CHAT.texts) + DONE}
    assert [row["upstream_attempts"] for row in rows] == [2, 1, 2]
    assert [asked(request) for request in upstream.received] == [True, False, False, True, False]


@pytest.mark.parametrize("refusal", [REFUSALS["400"], REFUSALS["event of a 200 stream"]])
async def test_a_refusal_that_stays_is_not_remembered(refusal: list[Step], tmp_path: Path) -> None:
    """What the endpoint refuses without the question too says nothing about the question."""
    async with (
        scripted_upstream(refuses(refusal, always=True)) as upstream,
        metered(upstream.url, tmp_path) as meter,
    ):
        for _ in range(2):
            await post(meter.url, CHAT.path, body())
        rows = await meter.settled(2)
    assert [row["upstream_attempts"] for row in rows] == [2, 2]
    assert [row["end_reason"] for row in rows] == ["upstream_error"] * 2


async def test_an_echo_of_the_request_is_no_refusal(tmp_path: Path) -> None:
    """An unrelated 422 that repeats what was sent is the client's, and usage is asked for again."""

    def echo(request: Received) -> list[Step]:
        problem = {"loc": ["body", "messages"], "msg": "Field required", "input": request.json}
        return [json_answer({"detail": [problem]}, "422 Unprocessable Content")]

    async with (
        scripted_upstream(echo) as upstream,
        metered(upstream.url, tmp_path) as meter,
    ):
        seen = [await post(meter.url, CHAT.path, body()) for _ in range(2)]
        await meter.settled(2)
    assert [answer.status for answer in seen] == [422, 422]
    assert [asked(request) for request in upstream.received] == [True, True]


def test_what_was_shown_is_forgotten_after_a_while() -> None:
    """Each model has its own entry, for ten minutes; their number is bounded."""
    shown, minute_ns = UsageRequests(), 60 * 10**9
    assert shown.accepted("m", 0) is None
    shown.note("m", 0, accepted=False)
    shown.note("n", 0, accepted=True)
    assert (shown.accepted("m", 9 * minute_ns), shown.accepted("n", 9 * minute_ns)) == (False, True)
    assert shown.accepted("m", 10 * minute_ns) is None
    for number in range(2000):
        shown.note(f"m{number}", 0, accepted=False)
    assert shown.accepted("m0", 0) is None
    assert shown.accepted("m1999", 0) is False
