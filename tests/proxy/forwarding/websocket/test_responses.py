from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import WSMsgType

from cab.proxy.meter.request.canonical import request_hash
from tests.tools.proxy import REAL_KEY, metered
from tests.tools.websockets import (
    USAGE,
    Peer,
    connected,
    created,
    delta,
    ended,
    error,
    events,
    websocket_endpoint,
)
from tests.tools.wires import DIRECT

WIRES = (DIRECT,)

CELL = "s/codex/m/f/t"


async def test_a_response_passes_unchanged_and_is_recorded(tmp_path: Path) -> None:
    """Every message is the same text on both sides; START and END say what happened."""
    frame = '{"type": "response.create", "model": "gpt-x",  "input": "h\\u00e9"}'
    answer = [
        orjson.dumps(event, option=orjson.OPT_INDENT_2).decode() for event in events("resp_1")
    ]

    async def play(peer: Peer) -> None:
        await peer.frame()
        starts = meter.starts()
        assert len(starts) == 1, "START is on disk before the frame leaves"
        await peer.send(*answer)
        await peer.until_closed()

    async with (
        websocket_endpoint(play) as endpoint,
        metered(endpoint.url, tmp_path, cell=CELL) as meter,
        connected(meter.client, meter.url) as client,
    ):
        await client.send(frame)
        seen = [await client.raw(), await client.raw(), await client.raw()]
        [end] = meter.ends()  # before the last event
        assert seen == answer
        await client.ws.close()
        [start] = meter.starts()
    assert endpoint.peers[0].frames == [frame]
    expected = {
        "cell_id": CELL,
        "seq": 1,
        "endpoint": "responses",
        "stream": True,
        "model_requested": "gpt-x",
        "model_served": "gpt-x-1",
        "upstream_id": "resp_1",
        "status": 200,
        "end_reason": "completed",
        "finish_reason": "completed",
        "prompt_tokens": 11,
        "completion_tokens": 7,
        "total_tokens": 18,
        "usage_source": "upstream",
        "usage_status": "complete",
        "usage_raw": USAGE,
        "request_bytes": len(frame.encode()),
        "response_bytes": sum(len(text) for text in answer),
        "request_hash": request_hash(frame.encode()),
        "transport": "websocket",
        "stream_id": None,
        "steered_from": None,
        "warmup": False,
        "upstream_attempts": 1,
        "error": None,
    }
    assert {key: end[key] for key in expected} == expected
    assert end["latency_ms"] >= end["ttft_ms"] >= 0
    shared = ("call_id", "connection_id", "transport", "stream_id", "warmup")
    assert {key: end[key] for key in shared} == {key: start[key] for key in shared}


async def test_the_handshake_passes_end_to_end(tmp_path: Path) -> None:
    """Headers and the subprotocol pass both ways, the proxy's key in place of the client's."""

    async def play(peer: Peer) -> None:
        await peer.until_closed()

    sent = {
        "OpenAI-Beta": "responses_websockets=2026-02-06",
        "Authorization": "Bearer client-key-1",
    }
    answered = {"x-codex-turn-state": "abc", "openai-model": "gpt-x"}
    options = {"headers": sent, "protocols": ("a", "b")}
    async with (
        websocket_endpoint(play, headers=answered, protocols=("b",)) as endpoint,
        metered(endpoint.url, tmp_path) as meter,
        connected(meter.client, meter.url, "/v1/responses?x=1", **options) as client,
    ):
        got = client.ws._response.headers
        assert client.ws.protocol == "b"
        assert {name: got[name] for name in answered} == answered
        assert got["x-cab-connection-id"]
        assert len(got.getall("Server")) == 1, "the endpoint's own"
        await client.ws.close()
    assert meter.starts() == [] == meter.ends(), "a handshake alone is no call"
    [request] = endpoint.upgrades
    assert request.raw_path == "/v1/responses?x=1"
    assert request.headers["Authorization"] == f"Bearer {REAL_KEY}"
    assert request.headers["OpenAI-Beta"] == sent["OpenAI-Beta"]
    assert "Sec-WebSocket-Extensions" not in request.headers


@pytest.mark.parametrize("size", [100, 20 << 20])
async def test_large_messages_pass_uncompressed(tmp_path: Path, size: int) -> None:
    """Neither hop is compressed, although both ends would: a small message could unpack to any size."""
    text = "text " * (size // 5)

    async def play(peer: Peer) -> None:
        frame = await peer.frame()
        assert frame["input"] == text
        await peer.send(created("r"), delta(text), ended("r"))
        await peer.until_closed()

    async with (
        websocket_endpoint(play, compress=True) as endpoint,
        metered(endpoint.url, tmp_path) as meter,
        connected(meter.client, meter.url, compress=15) as client,
    ):
        await client.create(input=text)
        assert (await client.until("response.completed"))[1] == delta(text)
        await client.ws.close()
    assert not client.ws.compress
    assert not endpoint.peers[0].ws.compress


async def test_pings_and_binary_messages_pass_both_ways(tmp_path: Path) -> None:
    """Liveness is between client and endpoint: the proxy answers no ping itself."""

    async def play(peer: Peer) -> None:
        message = await peer.ws.receive(20)
        assert (message.type, message.data) == (WSMsgType.PING, b"from client")
        await peer.ws.pong(b"from client")
        await peer.ws.ping(b"from endpoint")
        message = await peer.ws.receive(20)
        assert (message.type, message.data) == (WSMsgType.PONG, b"from endpoint")
        assert (await peer.ws.receive_bytes(timeout=20)) == b'{"type":"response.other"}'
        await peer.ws.send_bytes(b"\x00\xff")
        await peer.until_closed()

    async with (
        websocket_endpoint(play) as endpoint,
        metered(endpoint.url, tmp_path) as meter,
        connected(meter.client, meter.url) as client,
    ):
        await client.ws.ping(b"from client")
        message = await client.ws.receive(20)
        assert (message.type, message.data) == (WSMsgType.PONG, b"from client")
        message = await client.ws.receive(20)
        assert (message.type, message.data) == (WSMsgType.PING, b"from endpoint")
        await client.ws.pong(b"from endpoint")
        await client.ws.send_bytes(b'{"type":"response.other"}')
        assert await client.ws.receive_bytes(timeout=20) == b"\x00\xff"
        await client.ws.close()
    assert meter.starts() == []


async def test_creates_of_one_lane_are_answered_in_their_order(tmp_path: Path) -> None:
    """Three creates before the first event: each has the usage of its own response."""

    async def play(peer: Peer) -> None:
        frames = [await peer.frame() for _ in range(3)]
        for frame in frames:
            tokens = int(frame["input"])
            usage = {"input_tokens": tokens, "output_tokens": 1, "total_tokens": tokens + 1}
            await peer.answer(f"resp_{tokens}", usage=usage)
        await peer.until_closed()

    async with (
        websocket_endpoint(play) as endpoint,
        metered(endpoint.url, tmp_path, cell=CELL) as meter,
        connected(meter.client, meter.url) as client,
    ):
        for tokens in (10, 20, 30):
            await client.create(input=str(tokens))
        for _ in range(3):
            await client.response()
        ends = await meter.settled(3)
        await client.ws.close()
    assert [(e["seq"], e["upstream_id"], e["prompt_tokens"]) for e in ends] == [
        (1, "resp_10", 10),
        (2, "resp_20", 20),
        (3, "resp_30", 30),
    ]


async def test_lanes_interleave(tmp_path: Path) -> None:
    """Events of two lanes and of the default one, mixed: no usage is swapped, no text misplaced."""

    def usage(tokens: int) -> dict[str, Any]:
        return {"input_tokens": tokens, "output_tokens": 1, "total_tokens": tokens + 1}

    async def play(peer: Peer) -> None:
        for _ in range(3):
            await peer.frame()
        await peer.send(created("rb", "b"), created("ra", "a"), delta("A", "a"), created("r0"))
        await peer.send(delta("B", "b"), ended("r0", output=[], usage=usage(1)))
        await peer.send(ended("ra", "a", usage=usage(2)), ended("rb", "b", usage=usage(3)))
        await peer.until_closed()

    async with (
        websocket_endpoint(play) as endpoint,
        metered(endpoint.url, tmp_path, cell=CELL) as meter,
        connected(meter.client, meter.url) as client,
    ):
        for lane in ("a", "b", None):
            await client.create(lane)
        for _ in range(3):
            await client.response()
        ends = await meter.settled(3)
        await client.ws.close()
    found = {
        e["stream_id"]: (e["upstream_id"], e["prompt_tokens"], e["ttft_ms"] is None) for e in ends
    }
    assert found == {None: ("r0", 1, True), "a": ("ra", 2, False), "b": ("rb", 3, False)}
    assert len({e["connection_id"] for e in ends}) == 1


async def test_a_warm_up_is_a_call_of_its_own(tmp_path: Path) -> None:
    """`generate: false` reads a prompt: the endpoint's usage counts, and 0 output is a measured 0."""
    usage = {"input_tokens": 11, "output_tokens": 0, "total_tokens": 11}

    async def play(peer: Peer) -> None:
        await peer.frame()
        await peer.send(created("r1"), ended("r1", output=[], usage=usage))
        await peer.frame()
        await peer.answer("r2")
        await peer.until_closed()

    async with (
        websocket_endpoint(play) as endpoint,
        metered(endpoint.url, tmp_path) as meter,
        connected(meter.client, meter.url) as client,
    ):
        await client.create(generate=False)
        await client.response()
        await client.create(previous_response_id="r1")
        await client.response()
        warmup, turn = await meter.settled(2)
        await client.ws.close()
    assert (warmup["warmup"], turn["warmup"]) == (True, False)
    counted = ("prompt_tokens", "completion_tokens", "usage_status", "end_reason")
    assert [warmup[name] for name in counted] == [11, 0, "complete", "completed"]


NO_USAGE: dict[str, Any] = {"usage": None}


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ([ended("r")], ("completed", "completed", 11, 7, "complete")),
        (
            [ended("r", status="incomplete", incomplete_details={"reason": "max_output_tokens"})],
            ("completed", "max_output_tokens", 11, 7, "complete"),
        ),
        (
            [ended("r", status="incomplete", incomplete_details={"reason": "interrupted"})],
            ("completed", "interrupted", 11, 7, "complete"),
        ),
        (
            [ended("r", status="failed", error={"code": "server_error", "message": "oops"})],
            ("upstream_error", "failed", 11, 7, "complete"),
        ),
        (
            [ended("r", usage={"input_tokens": "11", "output_tokens": "7"})],
            ("completed", "completed", 11, 7, "complete"),
        ),
        (
            [ended("r", usage={**USAGE, "total_tokens": 5})],
            ("completed", "completed", 11, 7, "inconsistent"),
        ),
        (
            [
                ended("r", **NO_USAGE),
                {"type": "response.done", "response": {"id": "r", "usage": USAGE}},
            ],
            ("completed", "completed", 11, 7, "complete"),
        ),
        (
            [error("server_error", 500), ended("r", status="failed")],
            ("upstream_error", "failed", 11, 7, "complete"),
        ),
        ([error("server_error", 500)], ("upstream_error", None, 8, 1, "partial")),
    ],
    ids=[
        "good",
        "length",
        "interrupted",
        "failed",
        "text",
        "contradicting",
        "late",
        "error+failed",
        "error",
    ],
)
async def test_ends_of_a_response(
    tmp_path: Path, last: list[dict[str, Any]], expected: tuple[Any, ...]
) -> None:
    """Usage is that of the last event of the response, wherever the endpoint puts it."""

    async def play(peer: Peer) -> None:
        await peer.frame()
        await peer.send(created("r"), delta(), *last)
        await peer.frame()
        await peer.answer("r2")
        await peer.until_closed()

    async with (
        websocket_endpoint(play) as endpoint,
        metered(endpoint.url, tmp_path) as meter,
        connected(meter.client, meter.url) as client,
    ):
        await client.create()
        assert [await client.event() for _ in range(2 + len(last))][2:] == last
        first = meter.ends()
        await client.create()
        await client.response()
        await client.ws.close()
    [end] = first
    names = ("end_reason", "finish_reason", "prompt_tokens", "completion_tokens", "usage_status")
    assert tuple(end[name] for name in names) == expected
    assert len(meter.ends()) == 2


async def test_without_usage_tokens_are_counted_here(tmp_path: Path) -> None:
    """A whole prompt is counted; one that goes on from an earlier response is not known here."""

    async def play(peer: Peer) -> None:
        for number in range(2):
            await peer.frame()
            await peer.answer(f"r{number}", usage=None)
        await peer.until_closed()

    async with (
        websocket_endpoint(play) as endpoint,
        metered(endpoint.url, tmp_path) as meter,
        connected(meter.client, meter.url) as client,
    ):
        await client.create()
        await client.response()
        await client.create(previous_response_id="r0")
        await client.response()
        whole, part = await meter.settled(2)
        await client.ws.close()
    assert (whole["usage_source"], whole["usage_status"]) == ("tokenizer", "complete")
    assert whole["prompt_tokens"] > 0
    assert (part["usage_source"], part["usage_status"]) == ("tokenizer", "partial")
    assert part["prompt_tokens"] is None is part["total_tokens"]
    assert part["completion_tokens"] == whole["completion_tokens"]
