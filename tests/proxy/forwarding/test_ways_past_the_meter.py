"""Requests that endpoints serve and a meter could miss: each is counted, or refused and recorded."""

import gzip
from pathlib import Path
from typing import Any

import orjson
import pytest
import zstandard

from cab.proxy.accounting.limits import KeyLimits
from tests.tools.cases import case
from tests.tools.client import post
from tests.tools.proxy import Meter, chat_body, metered
from tests.tools.upstream import json_answer, scripted_upstream

CELL = "s/aider/m/f/t"
CHAT = "/v1/chat/completions"
ANSWER = json_answer(
    {
        "model": "m",
        "choices": [{"index": 0, "message": {"content": "tea"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 90, "completion_tokens": 20, "total_tokens": 110},
    }
)
BODY = orjson.dumps(chat_body())


def bearer(meter: Meter, **limits: Any) -> str:
    key = meter.proxy.mint_key(CELL, 60, KeyLimits(**limits))
    return f"Authorization: Bearer {key}"


@pytest.mark.parametrize(
    ("method", "path", "body", "headers"),
    [
        ("POST", "/v1/chat/completions/.", BODY, []),
        ("POST", "/v1/chat//completions", BODY, []),
        ("POST", "/v1/%63hat/completions", BODY, []),
        ("GET", CHAT, BODY, []),
        ("PUT", CHAT, BODY, []),
        ("QUERY", CHAT, BODY, []),
        ("POST", CHAT, b"\xef\xbb\xbf" + BODY, []),
        ("POST", CHAT, gzip.compress(BODY, mtime=0), ["Content-Encoding: gzip"]),
        ("POST", CHAT, zstandard.compress(BODY), ["Content-Encoding: zstd"]),
    ],
)
async def test_it_is_counted_and_forwarded_as_it_came(
    method: str, path: str, body: bytes, headers: list[str], tmp_path: Path
) -> None:
    """The call is booked as what it is, so that the next one finds the limit reached."""
    async with (
        scripted_upstream([ANSWER], [ANSWER]) as endpoint,
        metered(endpoint.url, tmp_path, auth="keys") as meter,
    ):
        key = bearer(meter, max_tokens=100)
        first = await post(meter.url, path, body, key, *headers, method=method)
        second = await post(meter.url, path, body, key, *headers, method=method)
        call, refused = await meter.settled(2)
    assert (first.status, second.status) == (200, 400)
    assert (call["endpoint"], call["total_tokens"]) == ("chat.completions", 110)
    assert call["model_requested"] == "m"
    assert refused["error"]["type"] == "cab_limit_reached"
    [sent] = endpoint.received
    assert (sent.method, sent.target, sent.body) == (method, path, body)


AT_STAKE: list[tuple[str, bytes, list[str], str]] = [
    (CHAT, BODY.decode().encode("utf-16"), [], "unclear_body"),
    (CHAT, b'{"stream":"true"}', [], "unclear_body"),
    (CHAT, b'{"stream":1}', [], "unclear_body"),
    (CHAT, b'{"stream":false,"stream":true}', [], "unclear_body"),
    (CHAT, b'{"stream":true,"stream_options":{"include_usage":0}}', [], "unclear_body"),
    ("/v1/messages", b'{"model":"a","model":"b"}', [], "unclear_body"),
    ("/v1beta/models/g:generateContent", b"\xff", [], "unclear_body"),
    (CHAT, BODY, ["Content-Encoding: compress"], "unclear_body"),
    (CHAT, BODY, ["Content-Type: application/json; charset=utf-7"], "unclear_body"),
    ("/invocations", BODY, [], "unmetered_path"),
    ("/completion", BODY, [], "unmetered_path"),
    ("/api/chat", BODY, [], "unmetered_path"),
]


@pytest.mark.parametrize("held", [True, False])
async def test_it_is_refused_and_recorded_where_a_key_is_at_stake(
    held: bool, tmp_path: Path
) -> None:
    """With a cell's key, nothing that could be read otherwise reaches the endpoint."""
    async with (
        scripted_upstream([ANSWER]) as endpoint,
        metered(endpoint.url, tmp_path, auth="keys", key="real-key-1" if held else None) as meter,
    ):
        key = bearer(meter, max_tokens=100)
        for calls, (path, body, headers, code) in enumerate(AT_STAKE, 1):
            seen = await post(meter.url, path, body, key, *headers)
            row = (await meter.settled(calls))[-1]
            with case((path, body, headers)):
                assert seen.status == (404 if code == "unmetered_path" else 400)
                assert (row["end_reason"], row["error"]["type"]) == ("rejected", code)
                assert row["cell_id"] == CELL
                assert endpoint.received == []


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completions/x/..",
        "/v1/chat/completions/%2e",
        "/v1/chat\\completions",
        "/v1/chat%2Fcompletions",
    ],
)
async def test_a_path_that_endpoints_read_differently_is_refused(path: str, tmp_path: Path) -> None:
    """It is refused in the dialect's shape before anything else, with the character named."""
    async with (
        scripted_upstream([ANSWER]) as endpoint,
        metered(endpoint.url, tmp_path) as meter,
    ):
        seen = await post(meter.url, path, BODY)
        assert await meter.settled(0) == []
    assert (seen.status, endpoint.received) == (400, [])
    assert orjson.loads(seen.body)["error"]["code"] == "bad_target"


async def test_without_a_key_an_unclear_body_passes_and_is_noted(tmp_path: Path) -> None:
    """Where there is nothing to spend the endpoint's own answer is the better one."""
    async with (
        scripted_upstream([ANSWER]) as endpoint,
        metered(endpoint.url, tmp_path, key=None) as meter,
    ):
        seen = await post(meter.url, CHAT, b'{"stream":1}')
        [row] = await meter.settled(1)
    assert seen.status == 200
    assert row["end_reason"] == "completed"


async def test_a_compressed_body_goes_to_its_models_endpoint(tmp_path: Path) -> None:
    """The model is read in the body that the encoding hides."""
    async with (
        scripted_upstream([ANSWER]) as default,
        scripted_upstream([ANSWER]) as other,
    ):
        routes = [{"models": ["m"], "upstream": other.url, "key_env": "OTHER_KEY"}]
        keys = {"OTHER_KEY": "sk-other"}
        async with metered(default.url, tmp_path, routes=routes, route_keys=keys) as meter:
            await post(meter.url, CHAT, zstandard.compress(BODY), "Content-Encoding: zstd")
            await meter.settled(1)
    assert (len(default.received), len(other.received)) == (0, 1)


async def test_a_stream_in_a_compressed_body_says_why_usage_was_not_asked_for(
    tmp_path: Path,
) -> None:
    """A compressed body is forwarded as it came."""
    body = zstandard.compress(orjson.dumps(chat_body(stream=True)))
    async with (
        scripted_upstream([ANSWER]) as endpoint,
        metered(endpoint.url, tmp_path) as meter,
    ):
        await post(meter.url, CHAT, body, "Content-Encoding: zstd")
        [row] = await meter.settled(1)
    assert endpoint.received[0].body == body
    assert row["stream"] is True
