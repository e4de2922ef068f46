import asyncio
import os
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from cab.scoring.ledger.records import parse_record
from tests.tools.client import post
from tests.tools.proxy import REAL_KEY, chat_body, metered, raw_exchange, records
from tests.tools.upstream import (
    DONE,
    LAST_CHUNK,
    Fault,
    Step,
    chunk,
    event,
    json_answer,
    scripted_upstream,
    sse_head,
)
from tests.tools.wires import BOTH

WIRES = BOTH

USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "m-2026",
    "system_fingerprint": "fp",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "hey"}, "finish_reason": "stop"}
    ],
    "usage": USAGE,
}


def delta(content: str | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": content} if content else {}, "finish_reason": finish}
    return {"id": "chatcmpl-1", "model": "m-2026", "choices": [choice], **more}


async def test_a_call_passes_unchanged_and_is_recorded(tmp_path: Path) -> None:
    """The answer is the endpoint's, byte for byte, and START and END say what happened."""
    raw = orjson.dumps(COMPLETION, option=orjson.OPT_INDENT_2)
    async with (
        scripted_upstream([json_answer(raw, "200 OK", "X-Odd: 1", "X-Odd: 2")]) as upstream,
        metered(upstream.url, tmp_path, cell="s/aider/m/f/t") as meter,
    ):
        answer = await meter.chat(temperature=0.5)
        assert await answer.read() == raw
        assert answer.headers.getall("X-Odd") == ["1", "2"]
        assert "Server" not in answer.headers
        [end] = meter.ends()
        [start] = meter.starts()
        assert answer.headers["x-cab-call-id"] == end["call_id"] == start["call_id"]

    assert upstream.received[0].json == chat_body(temperature=0.5)
    assert upstream.received[0].header("Authorization") == f"Bearer {REAL_KEY}"
    expected = {
        "schema": "cab.call/1",
        "kind": "end",
        "cell_id": "s/aider/m/f/t",
        "seq": 1,
        "endpoint": "chat.completions",
        "stream": False,
        "attempt": 1,
        "retry_of": None,
        "model_requested": "m",
        "model_served": "m-2026",
        "upstream_id": "chatcmpl-1",
        "system_fingerprint": "fp",
        "status": 200,
        "end_reason": "completed",
        "finish_reason": "stop",
        "prompt_tokens": 11,
        "completion_tokens": 7,
        "total_tokens": 18,
        "usage_source": "upstream",
        "usage_status": "complete",
        "usage_raw": USAGE,
        "response_bytes": len(raw),
        "error": None,
    }
    assert {key: end[key] for key in expected} == expected
    assert end["latency_ms"] >= end["upstream_ms"] >= 0
    assert end["request_hash"] == start["request_hash"]
    parse_record(orjson.dumps(end))


async def test_chunks_pass_before_the_next_one_comes(tmp_path: Path) -> None:
    """Each chunk is with the client before the endpoint sends the next; the end waits for END."""
    got = [asyncio.Event() for _ in range(3)]
    pieces = [event(delta(text)) for text in ("one", "two")]
    script: list[Step] = [sse_head(), chunk(pieces[0]), got[0], chunk(pieces[1]), got[1]]
    script += [chunk(event(delta(finish="stop", usage=USAGE)) + DONE), LAST_CHUNK]
    async with scripted_upstream(script) as upstream, metered(upstream.url, tmp_path) as meter:
        body = chat_body(stream=True, stream_options={"include_usage": True})
        seen = b""
        async with meter.client.post(f"{meter.url}/v1/chat/completions", json=body) as answer:
            async for data, _ in answer.content.iter_chunks():
                if pieces[0] in data:
                    got[0].set()
                if pieces[1] in data:
                    got[1].set()
                seen += data
                if DONE in seen:
                    assert len(meter.ends()) == 1
        [end] = meter.ends()
    assert seen == b"".join(pieces) + event(delta(finish="stop", usage=USAGE)) + DONE
    assert end["end_reason"] == "completed"
    assert (end["prompt_tokens"], end["completion_tokens"]) == (11, 7)
    assert end["stream"] is True
    assert end["ttft_ms"] <= end["latency_ms"]


async def test_usage_is_asked_for_and_kept_from_a_client_that_did_not(tmp_path: Path) -> None:
    """The usage chunk is asked for upstream, read here, and withheld from the client."""
    text = [event(delta("hey", usage=None)), event(delta(finish="stop", usage=None))]
    usage = event({"id": "chatcmpl-1", "choices": [], "usage": USAGE})
    script = [sse_head(), *(chunk(e) for e in [*text, usage, DONE]), LAST_CHUNK]
    async with scripted_upstream(script) as upstream, metered(upstream.url, tmp_path) as meter:
        answer = await meter.chat(stream=True)
        body = await answer.read()
        [end] = meter.ends()
    assert upstream.received[0].json["stream_options"] == {"include_usage": True}
    assert body == event(delta("hey")) + event(delta(finish="stop")) + DONE
    assert (end["prompt_tokens"], end["completion_tokens"]) == (11, 7)


async def test_the_agents_own_key_passes_where_the_proxy_has_none(tmp_path: Path) -> None:
    """Without CAB_KEY the agent's key goes upstream, and stays out of the ledger."""
    async with (
        scripted_upstream([json_answer(COMPLETION)]) as upstream,
        metered(upstream.url, tmp_path, key=None) as meter,
    ):
        meter.client.headers["Authorization"] = "Bearer own-key-canary"
        await meter.chat()
    assert upstream.received[0].header("Authorization") == "Bearer own-key-canary"
    assert b"canary" not in b"".join(f.read_bytes() for f in (tmp_path / "ledger").iterdir())


async def test_a_cell_key_attributes_and_never_reaches_the_endpoint(tmp_path: Path) -> None:
    """A cell's key names the cell, in a header or in the path, and is replaced upstream."""
    async with (
        scripted_upstream([json_answer(COMPLETION)]) as upstream,
        metered(upstream.url, tmp_path, auth="keys") as meter,
    ):
        key = meter.proxy.mint_key("s/a/m/f/t", 60)
        path = "/v1/chat/completions"
        await post(meter.url, path, chat_body(), f"Authorization: Bearer {key}")
        await post(meter.url, f"/cell/{key}{path}", chat_body(x=1))
        refused = await post(meter.url, path, chat_body())
        ends = meter.ends()
    assert [end["cell_id"] for end in ends] == ["s/a/m/f/t"] * 2
    assert [end["seq"] for end in ends] == [1, 2]
    assert refused.status == 401
    assert [r.target for r in upstream.received] == ["/v1/chat/completions"] * 2
    for request in upstream.received:
        assert key not in str(request.headers)
        assert request.header("Authorization") == f"Bearer {REAL_KEY}"


async def test_other_paths_pass_and_are_no_model_calls(tmp_path: Path) -> None:
    """An unknown path is forwarded with query and escapes as they are, and recorded as other."""
    async with (
        scripted_upstream([json_answer({"data": []})]) as upstream,
        metered(upstream.url, tmp_path) as meter,
    ):
        request = b"GET /v1/models/org%2Fx?a=%20b&c HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        answer = await raw_exchange(meter.url, request)
        [end] = meter.ends()
    assert answer.endswith(b'{"data":[]}')
    assert upstream.received[0].target == "/v1/models/org%2Fx?a=%20b&c"
    assert (end["endpoint"], end["prompt_tokens"], end["end_reason"]) == (
        "other",
        None,
        "completed",
    )


async def test_an_unreachable_endpoint_gives_502_in_the_dialects_shape(tmp_path: Path) -> None:
    """A refused connection is a 502 that SDKs understand, and a row."""
    async with metered("http://127.0.0.1:9", tmp_path) as meter:
        answer = await meter.chat()
        body = orjson.loads(await answer.read())
        [end] = meter.ends()
    assert answer.status == 502
    assert body["error"]["code"] == "upstream_refused"
    assert (end["end_reason"], end["status"]) == ("upstream_unreachable", 502)
    assert end["error"]["type"] == "upstream_refused"


async def test_nonsense_from_the_endpoint_passes_and_is_recorded(tmp_path: Path) -> None:
    """A 200 that is no JSON reaches the client as it is; the row says it could not be read."""
    async with (
        scripted_upstream([json_answer(b"<html>oops")]) as upstream,
        metered(upstream.url, tmp_path) as meter,
    ):
        answer = await meter.chat()
        assert await answer.read() == b"<html>oops"
        [end] = meter.ends()
    assert end["unmetered"] is not None
    assert end["usage_source"] in {"none", "tokenizer"}


async def test_a_sealed_cell_takes_no_more_calls(tmp_path: Path) -> None:
    """A seal states count, sums and digest; later calls get 409; the slice can be fetched."""
    async with (
        scripted_upstream([json_answer(COMPLETION)]) as upstream,
        metered(upstream.url, tmp_path) as meter,
    ):
        cell = "s/a/org/m/f/t#run2"
        keys = meter.proxy.mint_keys(cell, 60)
        bearer, to_seal = (f"Authorization: Bearer {key}" for key in keys)
        meter.client.headers["Authorization"] = bearer.partition(": ")[2]
        await meter.chat()
        base = "/cab/cells/s%2Fa%2Forg%2Fm%2Ff%2Ft%23run2"
        calls = (await post(meter.url, f"{base}/calls", b"", bearer, method="GET")).body
        seal = orjson.loads((await post(meter.url, f"{base}/seal", b"", to_seal)).body)
        again = await meter.chat()
        other = await post(meter.url, "/cab/cells/other/calls", b"", bearer, method="GET")
    assert [orjson.loads(line)["kind"] for line in calls.splitlines()] == ["start", "end"]
    assert (seal["calls"], seal["prompt_tokens"], seal["completion_tokens"]) == (1, 11, 7)
    assert again.status == 409
    assert again.headers["x-should-retry"] == "false"
    assert other.status == 403
    [record] = records(tmp_path / "ledger", "cell_seal")
    assert record["digest"] == seal["digest"]


async def test_a_call_whose_body_comes_during_the_seal_is_refused(tmp_path: Path) -> None:
    """A request that began before the seal and ends after it is refused, not slipped in."""
    body = orjson.dumps(chat_body())
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    async with (
        scripted_upstream([json_answer(COMPLETION)]) as upstream,
        metered(upstream.url, tmp_path, cell="c") as meter,
    ):
        host, _, port = meter.url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(head.encode() + body[:5])
        await writer.drain()
        seal_key = f"Authorization: Bearer {meter.proxy.mint_keys('c', 60).seal}"
        assert (await post(meter.url, "/cab/cells/c/open", b"", seal_key)).status == 201
        assert (await post(meter.url, "/cab/cells/c/seal", b"", seal_key)).status == 200
        writer.write(body[5:])
        answer = await reader.readuntil(b"\r\n")
        writer.close()
        assert [end["end_reason"] for end in meter.ends()] == ["rejected"]
    assert upstream.received == []
    assert answer.startswith(b"HTTP/1.1 409 ")


async def test_without_acknowledgement_nothing_waits_and_all_is_written(tmp_path: Path) -> None:
    """With ack = none calls do not wait for the disk; a proxy that stops has written them all."""
    async with (
        scripted_upstream([json_answer(COMPLETION)]) as upstream,
        metered(upstream.url, tmp_path, ack="none") as meter,
    ):
        for _ in range(5):
            assert (await meter.chat()).status == 200
    assert len(records(tmp_path / "ledger")) == len(records(tmp_path / "ledger", "start")) == 5


async def test_a_ledger_that_cannot_be_written_stops_calls_before_they_cost(tmp_path: Path) -> None:
    """When the disk refuses a START, the call gets 503, nothing goes upstream, and health says so."""
    async with (
        scripted_upstream([json_answer(COMPLETION)]) as upstream,
        metered(upstream.url, tmp_path) as meter,
    ):
        writer = meter.proxy._server._services.ledger._writer
        writer.file, closed = os.open("/dev/full", os.O_WRONLY), writer.file
        answers = [await meter.chat(), await meter.chat()]
        health = await post(meter.url, "/cab/health", b"", method="GET")
        os.close(closed)
    assert [answer.status for answer in answers] == [503, 503]
    assert upstream.received == []
    assert health.status == 503
    assert "No space left" in orjson.loads(health.body)["ledger_failure"]


async def test_an_answer_whose_end_cannot_be_written_is_cut(tmp_path: Path) -> None:
    """When the disk refuses an END, the client never gets what would make its answer complete."""
    arrived, go = asyncio.Event(), asyncio.Event()

    async def arrive() -> None:
        arrived.set()

    script: list[Step] = [arrive, go, json_answer(COMPLETION)]
    async with (
        scripted_upstream(script) as upstream,
        metered(upstream.url, tmp_path) as meter,
        asyncio.TaskGroup() as tasks,
    ):
        call = tasks.create_task(post(meter.url, "/v1/chat/completions", chat_body()))
        await arrived.wait()
        writer = meter.proxy._server._services.ledger._writer
        writer.file, closed = os.open("/dev/full", os.O_WRONLY), writer.file
        go.set()
        seen = await call
        os.close(closed)
    assert not seen.complete


@pytest.mark.parametrize("start_sync", ["before_answer", "before_forward"])
async def test_a_start_that_the_disk_refuses_once_it_is_written(
    start_sync: str, tmp_path: Path
) -> None:
    """Before the answer: the call is on its way, its client gets no answer, and both records are written once
    the disk works. Before forwarding: there is no call."""
    disk_works = False

    def sync(descriptor: int) -> None:
        if not disk_works:
            raise OSError(5, "Input/output error")
        os.fdatasync(descriptor)

    async with (
        scripted_upstream([json_answer(COMPLETION)]) as upstream,
        metered(upstream.url, tmp_path, start_sync=start_sync) as meter,
    ):
        ledger = meter.proxy._server._services.ledger
        ledger._writer._sync = sync
        seen = await post(meter.url, "/v1/chat/completions", chat_body())
        assert await meter.proxy.quiet(20)
        disk_works = True
        async with asyncio.timeout(20):
            while ledger.failure is not None:  # noqa: ASYNC110 - nothing tells when the disk is tried again
                await asyncio.sleep(0.01)
    if start_sync == "before_forward":
        assert (seen.status, upstream.received) == (503, [])
        assert (meter.starts(), meter.ends()) == ([], [])
        return
    assert seen.status == 0 or not seen.complete
    [end] = meter.ends()
    assert (end["end_reason"], end["total_tokens"]) == ("completed", 18)
    assert [start["call_id"] for start in meter.starts()] == [end["call_id"]]


async def test_health_and_unknown_control_paths(tmp_path: Path) -> None:
    """/cab/ is answered here: health says live and ready, anything else 404."""
    async with metered("http://127.0.0.1:9", tmp_path) as meter:
        health = await post(meter.url, "/cab/health", b"", method="GET")
        assert orjson.loads(health.body)["ready"] is True
        assert (await post(meter.url, "/cab/nothing", b"", method="GET")).status == 404
        assert meter.ends() == []


async def test_stopping_finishes_calls_in_flight(tmp_path: Path) -> None:
    """A call in flight when the proxy stops is finished and recorded before it is gone."""
    arrived, go = asyncio.Event(), asyncio.Event()

    async def arrive() -> None:
        arrived.set()

    script: list[Step] = [arrive, go, json_answer(COMPLETION)]
    async with (
        scripted_upstream(script) as upstream,
        aiohttp.ClientSession() as session,
        asyncio.TaskGroup() as tasks,
    ):
        async with metered(upstream.url, tmp_path) as meter:
            url = f"{meter.url}/v1/chat/completions"
            call = tasks.create_task(session.post(url, json=chat_body()))
            await arrived.wait()
            asyncio.get_running_loop().call_later(0.05, go.set)
        answer = await call
        assert (await answer.json())["usage"] == USAGE
    [end] = records(tmp_path / "ledger")
    assert end["end_reason"] == "completed"


async def test_a_call_that_outlasts_the_grace_time_is_ended_and_recorded(tmp_path: Path) -> None:
    """After the grace time a call is cut short, at the client and in the ledger."""
    arrived = asyncio.Event()

    async def arrive() -> None:
        arrived.set()

    script: list[Step] = [sse_head(), chunk(event(delta("a"))), arrive, asyncio.Event()]
    async with (
        scripted_upstream(script) as upstream,
        aiohttp.ClientSession() as session,
    ):
        async with metered(upstream.url, tmp_path, grace_s=0.05) as meter:
            url = f"{meter.url}/v1/chat/completions"
            answer = await session.post(url, json=chat_body(stream=True))
            await arrived.wait()
        try:
            await answer.read()
            complete = True
        except aiohttp.ClientPayloadError:
            complete = False
    [end] = records(tmp_path / "ledger")
    assert not complete
    assert (end["end_reason"], end["error"]["type"]) == ("timeout", "proxy_stopped")


async def test_a_cut_stream_is_passed_on_as_cut(tmp_path: Path) -> None:
    """When the endpoint dies in mid-stream the client sees the stream break, and no [DONE]."""
    script: list[Step] = [sse_head(), chunk(event(delta("half"))), Fault.CLOSE]
    async with scripted_upstream(script) as upstream, metered(upstream.url, tmp_path) as meter:
        body = orjson.dumps(chat_body(stream=True))
        head = (
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
        )
        answer = await raw_exchange(meter.url, head % len(body) + body)
        [end] = await meter.settled(1)
    assert b"half" in answer
    assert b"[DONE]" not in answer
    assert not answer.endswith(b"0\r\n\r\n")
    assert end["end_reason"] == "upstream_cut"
