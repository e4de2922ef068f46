"""The lines that a proxy logs of calls, and of requests that it refuses."""

import logging
from pathlib import Path
from typing import Any

import pytest

from cab.proxy.accounting.limits import KeyLimits
from cab.proxy.logs import LogEvent
from tests.tools.client import post
from tests.tools.ports import port_without_listener
from tests.tools.proxy import chat_body, metered
from tests.tools.upstream import Fault, json_answer, scripted_upstream

CHAT = "/v1/chat/completions"
WRONG = "sk-wrong-canary-0123456789abcdef"
ANSWER = {
    "id": "1",
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hey"}}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}


def lines(caplog: pytest.LogCaptureFixture, name: str) -> list[dict[str, Any]]:
    """Return the values of the lines of a name."""
    events = [each.msg for each in caplog.records if isinstance(each.msg, LogEvent)]
    return [dict(event.values) for event in events if event.name == name]


@pytest.fixture(autouse=True)
def at_info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "cab.proxy")


async def test_lines_of_calls(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A call's line says who called whom and how it went; a refused one has a warning with the reason."""
    async with (
        scripted_upstream([json_answer(ANSWER)], [Fault.CLOSE]) as upstream,
        metered(upstream.url, tmp_path, auth="keys") as meter,
    ):
        key = meter.proxy.mint_key("s/a/m/f/t", 60, KeyLimits(max_calls=2))
        statuses = [
            (await post(meter.url, CHAT, chat_body(), f"Authorization: Bearer {key}")).status
            for _ in range(3)
        ]
        ends = meter.ends()
    assert statuses == [200, 502, 400]
    said = lines(caplog, "call")
    for line, end in zip(said, ends, strict=True):
        same = ("call_id", "key_id", "upstream", "stream", "status", "ttft_ms", "end_reason")
        assert {name: line[name] for name in same} == {name: end[name] for name in same}
        assert (line["client"], line["cell"]) == ("127.0.0.1", "s/a/m/f/t")
    assert [line.get("error") for line in said] == [None, "upstream_reset", "cab_limit_reached"]
    [failed], [refused] = lines(caplog, "endpoint_failed"), lines(caplog, "call_refused")
    assert (failed["kind"], failed["status"]) == ("upstream_reset", 502)
    assert failed["call_id"] == ends[1]["call_id"]
    assert (refused["kind"], refused["status"]) == ("cab_limit_reached", 400)
    [started], [stopped] = lines(caplog, "started"), lines(caplog, "stopped")
    assert started == stopped
    assert key not in caplog.text


async def test_the_cause_of_a_502_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The client learns what failed, the log why: the first error below it."""
    with port_without_listener() as port:
        async with metered(f"http://127.0.0.1:{port}", tmp_path) as meter:
            assert (await post(meter.url, CHAT, chat_body())).status == 502
    [line] = lines(caplog, "endpoint_failed")
    assert (line["kind"], line["upstream"]) == ("upstream_refused", f"127.0.0.1:{port}")
    assert "ConnectionRefusedError" in line["cause"] or "refused" in line["cause"]


async def test_refusals_are_logged_without_their_key_and_thinned_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Under attack of whatever keys, twenty lines are written, and one that says how many were not."""
    async with metered("http://127.0.0.1:9", tmp_path, auth="keys") as meter:
        for number in range(27):
            sent = f"Authorization: Bearer {WRONG}{number}"
            assert (await post(meter.url, CHAT, chat_body(), sent)).status == 401
        assert (await post(meter.url, "/cab/cells", b"", method="GET")).status == 403
    refused = lines(caplog, "request_refused")
    assert [line["kind"] for line in refused] == ["invalid_api_key"] * 20 + ["no_admin_token"]
    assert {line["client"] for line in refused} == {"127.0.0.1"}
    assert [line["endpoint"] for line in refused[-2:]] == ["chat.completions", "control"]
    [left_out] = lines(caplog, "lines_left_out")
    assert (left_out["kind"], left_out["lines"]) == ("invalid_api_key", 7)
    assert WRONG not in caplog.text
