"""A recorded cell runs again without its endpoint, and gives the same records but for times."""

import asyncio
import re
from pathlib import Path
from typing import Any

import orjson
import pytest

from cab.proxy.config import parse_settings
from cab.proxy.errors import BadConfig
from tests.proxy.ledger.capture.captured import capturing
from tests.tools.client import post
from tests.tools.proxy import Meter, chat_body, metered
from tests.tools.upstream import (
    DONE,
    LAST_CHUNK,
    Fault,
    chunk,
    event,
    json_answer,
    scripted_upstream,
    sse_head,
)
from tests.tools.wires import BOTH

WIRES = BOTH

ANSWER = {
    "id": "a",
    "model": "m",
    "choices": [{"index": 0, "message": {"content": "hey"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8},
}
A = {"id": "s", "model": "m", "choices": [{"index": 0, "delta": {"content": "a"}}]}
B = {"id": "s", "model": "m", "choices": [{"index": 0, "delta": {"content": "b"}}]}
STOP = {"id": "s", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
USAGE = {
    "id": "s",
    "choices": [],
    "usage": {
        "prompt_tokens": 9,
        "completion_tokens": 2,
        "total_tokens": 11,
        "prompt_tokens_details": {"cached_tokens": 4},
    },
}
_OF_THE_RUN = {
    *("call_id", "retry_of", "started_at", "ended_at", "latency_ms", "ttft_ms", "upstream_ms"),
    *("proxy_ms", "queued_ms", "prev", "hash"),
}


def lasting(ends: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return records without what no two runs share: times, ids, places in a chain, ports."""
    lines = [{k: v for k, v in end.items() if k not in _OF_THE_RUN} for end in ends]
    kept = orjson.loads(re.sub(rb"127\.0\.0\.1:\d+", b"there", orjson.dumps(lines)))
    return sorted(kept, key=lambda end: end["seq"] or 0)


async def recorded(folder: Path, **body: Any) -> Path:
    """Record one call of cell `c`; return the ledger."""
    async with (
        scripted_upstream([json_answer(ANSWER)]) as endpoint,
        capturing(endpoint.url, folder, cell="c") as meter,
    ):
        await meter.chat(**body)
        await meter.settled(1)
        return meter.proxy.ledger_dir


async def a_run(meter: Meter) -> list[tuple[int, bytes]]:
    """Make the calls of a scripted agent; return what it got."""
    got: list[tuple[int, bytes]] = []
    for body in (
        chat_body(),
        chat_body(stream=True),
        chat_body(temperature=0),
        chat_body(temperature=0),
        chat_body(n=1),
        chat_body(stream=True, top_p=1),
    ):
        path, text = "/v1/chat/completions", orjson.dumps(body)
        try:
            async with meter.client.post(f"{meter.url}{path}", data=text) as answer:
                head = answer.headers.get("Retry-After", "").encode()
                got.append((answer.status, head + await answer.read()))
        except Exception as error:  # noqa: BLE001 - a cut answer, in whichever way it shows
            got.append((0, type(error).__name__.encode()))
    return got


async def test_a_cell_gives_the_same_records_without_its_endpoint(tmp_path: Path) -> None:
    """Streams with usage that the agent did not ask for, errors with their wait, cut answers; twice over."""
    error = {"error": {"message": "slow", "type": "rate_limit_error"}}
    upstream = scripted_upstream(
        [json_answer(ANSWER)],
        [
            sse_head(),
            *(chunk(event(each)) for each in (A, B, STOP, USAGE)),
            chunk(DONE),
            LAST_CHUNK,
        ],
        [json_answer(error, "429 Too Many Requests", "Retry-After: 3")],
        [json_answer(ANSWER)],
        [json_answer({"error": {"message": "broken"}}, "500 Internal Server Error")],
        [sse_head(), chunk(event(A)), Fault.CLOSE],
    )
    async with upstream as endpoint, capturing(endpoint.url, tmp_path / "1", cell="c") as meter:
        got = await a_run(meter)
        ends = await meter.settled(6)
    assert [status for status, _ in got[:5]] == [200, 200, 429, 200, 500]
    assert {end["end_reason"] for end in ends} == {"completed", "upstream_error", "upstream_cut"}
    for number, cell in ((2, "c"), (3, "another")):
        folder = tmp_path / str(number)
        source = tmp_path / "1" / "ledger"
        async with metered("replay", folder, replay=source, cell=cell, key=None) as meter:
            again = await a_run(meter)
            ends_again = await meter.settled(6)
        assert again == got
        expected = [{**end, "cell_id": cell} for end in lasting(ends)]
        for a, b in zip(lasting(ends_again), expected, strict=True):
            assert {
                k: (a.get(k), b.get(k)) for k in a.keys() | b.keys() if a.get(k) != b.get(k)
            } == {}


@pytest.mark.parametrize(
    ("path", "body", "member"),
    [
        ("/v1/chat/completions", chat_body(), ("error", "code")),
        ("/v1/responses", {"model": "m", "input": "hi"}, ("error", "code")),
        ("/v1/messages", {"model": "m", "messages": []}, ("type",)),
        ("/v1beta/models/m:generateContent", {"contents": []}, ("error", "status")),
    ],
)
async def test_what_was_never_recorded_is_named_in_its_dialect(
    tmp_path: Path, path: str, body: Any, member: tuple[str, ...]
) -> None:
    """The error has the request's hash, and says what to do."""
    source = (await recorded(tmp_path / "1", seed=1)) / "capture"
    async with metered("replay", tmp_path / "2", replay=source, cell="c") as meter:
        answer = await post(meter.url, path, orjson.dumps(body))
        (end,) = await meter.settled(1)
        assert answer.status == 404
        text = answer.body.decode()
        assert end["request_hash"] in text
        assert "was never recorded" in text
        found = orjson.loads(answer.body)
        for name in member:
            found = found[name]
        assert found in {"not_recorded", "error", "NOT_FOUND"}


async def test_each_recorded_call_answers_once_and_cells_keep_apart(tmp_path: Path) -> None:
    """Two cells with the same request get their own answers, whoever comes first; then it is used up."""
    answers = [[json_answer({**ANSWER, "id": name})] for name in ("one", "two")]
    async with (
        scripted_upstream(*answers, [json_answer({"data": []})]) as endpoint,
        capturing(endpoint.url, tmp_path / "1", open_attribution=True) as meter,
    ):
        for cell in ("one", "two"):
            await in_cell(meter, cell)
        await post(meter.url, "/v1/models", b"", method="GET")
        await meter.settled(3)
    source = tmp_path / "1" / "ledger"
    async with metered("replay", tmp_path / "2", replay=source, open_attribution=True) as meter:
        found = await asyncio.gather(*(in_cell(meter, cell) for cell in ("two", "one")))
        assert [each["id"] for each in found] == ["two", "one"]
        again = await in_cell(meter, "one")
        assert "was recorded once, and all of that is used up" in again["error"]["message"]
        looked = [await post(meter.url, "/v1/models", b"", method="GET") for _ in range(3)]
        assert {each.body for each in looked} == {b'{"data":[]}'}


async def in_cell(meter: Meter, cell: str) -> Any:
    """Make the one call as a cell; return its answer."""
    url = f"{meter.url}/v1/chat/completions"
    async with meter.client.post(url, json=chat_body(), headers={"X-Cab-Cell": cell}) as answer:
        return orjson.loads(await answer.read())


async def test_an_answer_that_cannot_be_given_is_named(tmp_path: Path) -> None:
    """Its parts were deleted, or it was too large to be kept: no call is answered with half of it."""
    source = await recorded(tmp_path / "1")
    for file in source.rglob("*.parts"):
        file.write_bytes(b"")
    async with metered("replay", tmp_path / "2", replay=source, cell="c") as meter:
        answer = await meter.chat()
        assert answer.status == 404
        assert "cannot be given" in (await answer.read()).decode()


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"status": 0}, 404),
        ({"status": 101}, 404),
        ({"headers": {"retry-after": "1\r\nSet-Cookie: a=b", "content-encoding": "gzip"}}, 200),
        ({"headers": {"transfer-encoding": "chunked", "set-cookie": "a=b", "b\r\n": "c"}}, 200),
    ],
    ids=["no status", "no last status", "two headers in one", "other headers"],
)
async def test_a_head_is_as_a_proxy_would_have_kept_it(
    tmp_path: Path, change: dict[str, Any], status: int
) -> None:
    """Anybody may have written a capture: what cannot be an answer's head never gets to an agent."""
    source = await recorded(tmp_path / "1")
    for file in source.glob("capture/*/*.jsonl"):
        line = orjson.loads(file.read_bytes())
        line["response"] |= change
        file.write_bytes(orjson.dumps(line) + b"\n")
    async with metered("replay", tmp_path / "2", replay=source, cell="c") as meter:
        answer = await meter.chat()
        assert answer.status == status
        assert orjson.loads(await answer.read())
        assert not {"retry-after", "content-encoding", "set-cookie"} & {*map(str.lower, answer.headers)}  # fmt: skip


async def test_only_the_proxy_is_answered(tmp_path: Path) -> None:
    """Agents live on loopback too: whoever finds the port gets nothing, and uses nothing up."""
    source = await recorded(tmp_path / "1")
    async with metered("replay", tmp_path / "2", replay=source, cell="c") as meter:
        replay = meter.proxy._server._services.replay
        assert replay is not None
        body = orjson.dumps(chat_body())
        assert (await post(replay.url, "/v1/chat/completions", body)).status == 404
        assert (await meter.chat()).status == 200


async def test_a_folder_without_capture_is_refused(tmp_path: Path) -> None:
    """So is a second process, which would have an order of its own, and a replay of nothing."""
    with pytest.raises(BadConfig, match="holds no capture"):
        async with metered("replay", tmp_path, replay=tmp_path):
            pass
    settings = parse_settings({"replay": "x"}, "here")
    assert settings.upstream == "replay"
    with pytest.raises(BadConfig, match="one process"):
        parse_settings({"replay": "x", "workers": 2}, "here")
    for replayed in ("l", "./l/capture"):
        with pytest.raises(BadConfig, match="this is what is replayed"):
            parse_settings({"replay": replayed, "ledger": "l"}, "here")
    with pytest.raises(BadConfig, match="give the recorded calls"):
        parse_settings({"upstream": "replay"}, "here")
