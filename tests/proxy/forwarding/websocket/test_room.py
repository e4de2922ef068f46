"""Messages of clients have the budget of the bodies of HTTP calls."""

import asyncio
from pathlib import Path

import orjson
import pytest
from aiohttp import WSMsgType

from cab.proxy.forwarding.body_budget import BodyBudget, BodyShare
from cab.proxy.forwarding.websocket.frame_gate import FrameGate
from tests.tools import raw
from tests.tools.dialects import BY_ENDPOINT
from tests.tools.proxy import metered
from tests.tools.websockets import Peer, connected, websocket_endpoint
from tests.tools.wires import DIRECT

WIRES = (DIRECT,)

CHAT = BY_ENDPOINT["chat.completions"]
KB = 1 << 10
BUDGET = 64 * KB


async def answering(peer: Peer) -> None:
    while (message := await peer.next()).type in {WSMsgType.TEXT, WSMsgType.BINARY}:
        await peer.answer(f"r{len(peer.frames)}", message.json().get("stream_id"))


async def test_a_message_without_room_is_refused_with_a_record(tmp_path: Path) -> None:
    """While a body has the budget a create waits unread, is refused by an event, and later passes."""
    async with (
        websocket_endpoint(answering) as endpoint,
        metered(
            endpoint.url, tmp_path, cell="s/a/m/f/t", body_budget_bytes=BUDGET, slot_wait_s=0.2
        ) as meter,
        connected(meter.client, meter.url) as client,
    ):
        async with raw.connected(meter.url) as unfinished:
            body = raw.request(CHAT.path, b"x" * BUDGET)
            asking = body.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n", 1)
            unfinished.send(asking[:-1])
            assert b" 100 " in await unfinished.reader.readline()
            await client.create(input="x" * KB)
            event = await client.event()
        assert (event["type"], event["status"], event["error"]["code"]) == (
            "error",
            400,
            "overload",
        )
        await client.create(input="y" * KB)
        await client.response()
        await client.ws.close()
        refused, served = await meter.settled(2)
    assert (refused["end_reason"], refused["error"]["type"]) == ("rejected", "overload")
    assert (refused["request_bytes"], refused["endpoint"]) == (0, "responses")
    assert 0 == served["queued_ms"] < refused["queued_ms"]
    assert served["end_reason"] == "completed"
    assert [orjson.loads(frame)["input"][0] for frame in endpoint.peers[0].frames] == ["y"]


async def test_a_create_has_its_room_until_its_response_is_over(tmp_path: Path) -> None:
    """A second connection waits for the response of the first; that is time in the queue."""
    go_on = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.frame()
        await go_on.wait()
        await peer.answer("r")
        await peer.until_closed()

    async with (
        websocket_endpoint(play) as endpoint,
        metered(endpoint.url, tmp_path, body_budget_bytes=BUDGET) as meter,
        connected(meter.client, meter.url) as first,
        connected(meter.client, meter.url) as second,
    ):
        budget = meter.proxy._server._bodies
        await first.create(input="x" * (BUDGET - KB))
        while len(endpoint.peers[0].frames) < 1:  # noqa: ASYNC110 - nothing tells a test
            await asyncio.sleep(0)
        await second.create(input="x" * (BUDGET - KB))
        while not budget._waiting:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)
        assert endpoint.peers[1].frames == []
        go_on.set()
        for client in (first, second):
            await client.response()
            await client.ws.close()
        ends = await meter.settled(2)
    assert 0 == ends[0]["queued_ms"] < ends[1]["queued_ms"]
    assert budget._used_bytes == 0


async def test_a_message_that_does_not_go_on_ends_its_connection(tmp_path: Path) -> None:
    """It would have its room for ever."""
    async with (
        websocket_endpoint(answering) as endpoint,
        metered(endpoint.url, tmp_path, body_progress_timeout_s=0.05) as meter,
        connected(meter.client, meter.url) as client,
    ):
        assert client.ws._writer is not None
        client.ws._writer.transport.write(head(1, 60 * KB) + b"only this")
        assert await client.closed() == (None, "")
        assert meter.proxy._server._bodies._used_bytes == 0


class Reader:
    """Takes what a gate passes on."""

    def __init__(self) -> None:
        self.data = b""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.data += data
        return False, b""

    def feed_eof(self) -> None:
        pass


class Line:
    """A connection that is read or not."""

    is_held_up = paused = False

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def close(self) -> None:
        raise AssertionError("it goes on")


def head(opcode: int, size: int, *, last: bool = True) -> bytes:
    """Return the head of a masked frame."""
    first = bytes([opcode | (0x80 if last else 0)])
    if size < 126:
        return first + bytes([0x80 | size]) + b"mask"
    length = (126, 2) if size < 1 << 16 else (127, 8)
    return first + bytes([0x80 | length[0]]) + size.to_bytes(length[1], "big") + b"mask"


def frame(opcode: int, payload: bytes, *, last: bool = True) -> bytes:
    return head(opcode, len(payload), last=last) + payload


FRAMES = [
    frame(1, b"first"),
    frame(1, b"a", last=False) + frame(9, b"ping") + frame(0, b"b" * 300),
    frame(2, b"c" * 70_000),
    frame(1, b""),
]


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
async def test_frames_pass_unchanged_in_any_slicing(step: int) -> None:
    """With room for all, the reader gets each byte, and each message holds its payload's size."""
    reader, budget, stream = Reader(), BodyBudget(1 << 20, 1), b"".join(FRAMES)
    gate = FrameGate(reader, Line(), lambda: BodyShare(budget), 1 << 20, 60)
    for start in range(0, len(stream), step):
        gate.feed_data(stream[start : start + step])
    shares = [gate.take() for _ in FRAMES]
    assert reader.data == stream
    assert [share.held_bytes for share in shares] == [5, 301, 70_000, 0]
    gate.close()


@pytest.mark.parametrize("first", [b"", frame(1, b"begun", last=False)], ids=["whole", "in parts"])
async def test_a_message_without_room_is_passed_over(first: bytes) -> None:
    """In its place comes an empty end; what is around it passes."""
    reader, line, budget = Reader(), Line(), BodyBudget(20, 0.01)
    gate = FrameGate(reader, line, lambda: BodyShare(budget), 1 << 20, 60)
    before, large = frame(1, b"before"), frame(0 if first else 1, b"x" * 5000)
    gate.feed_data(before + first + large[:100])
    assert line.paused
    assert gate._waiting is not None
    await gate._waiting
    assert not line.paused
    gate.feed_data(large[100:] + frame(9, b"ping"))
    held, none = gate.take(), gate.take()
    assert (held.held_bytes, held.given_up) == (6, False)
    assert (none.held_bytes, none.given_up) == (0, True)
    end = b"\x80\x80\0\0\0\0" if first else b"\x81\x80\0\0\0\0"
    assert reader.data == before + first + end + frame(9, b"ping")
    gate.close()
