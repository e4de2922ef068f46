"""Calls to endpoints that are not metered: what they do to the sum of their cell."""

from pathlib import Path

import pytest

from cab.scoring.ledger.totals import CallTotals
from tests.tools.client import post
from tests.tools.proxy import chat_body, metered
from tests.tools.upstream import json_answer, scripted_upstream

CHAT = json_answer(
    {
        "model": "m",
        "choices": [{"index": 0, "message": {"content": "tea"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
    }
)
REFUSED = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}"


@pytest.mark.parametrize(
    ("method", "path", "answer", "total"),
    [
        ("POST", "/v1/videos", json_answer({"data": []}), None),
        ("POST", "/v1/videos", REFUSED, 4),
        ("POST", "/v1/messages/count_tokens", json_answer({"input_tokens": 9}), 4),
        ("GET", "/v1/models", json_answer({"data": []}), 4),
    ],
)
async def test_the_sum_is_unknown_and_not_smaller(
    method: str, path: str, answer: bytes, total: int | None, tmp_path: Path
) -> None:
    """What may have cost tokens that nobody counts makes the sum unknown; it is no model call."""
    async with (
        scripted_upstream([CHAT], [answer]) as endpoint,
        metered(endpoint.url, tmp_path, paths=["/v1/videos"]) as meter,
    ):
        await post(meter.url, "/v1/chat/completions", chat_body())
        await post(meter.url, path, {}, method=method)
        ends = await meter.settled(2)
    totals = CallTotals()
    for end in ends:
        totals.add(end)
    assert [end["endpoint"] for end in ends] == ["chat.completions", "other"]
    assert (totals.calls, totals.tokens.total.value, totals.tokens.total.known) == (1, total, 4)
