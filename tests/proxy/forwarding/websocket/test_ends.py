"""How a connection ends, and what becomes of the responses on it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSMsgType

from cab.proxy.accounting.limits import KeyLimits
from tests.tools.proxy import metered
from tests.tools.websockets import (
    Peer,
    connected,
    created,
    delta,
    ended,
    error,
    websocket_endpoint,
)
from tests.tools.wires import DIRECT

WIRES = (DIRECT,)

CELL = "s/codex/m/f/t"
WHERE = {
    "before it begins": [],
    "before its text": [created("r")],
    "after its text": [created("r"), delta()],
    "after its end": [created("r"), delta(), ended("r")],
}


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("code", [None, 0, 1000, 1001, 1009, 1011, 4001])
async def test_the_endpoint_ends_the_connection(
    tmp_path: Path, where: str, code: int | None
) -> None:
    """The client sees the same end; a response that was under way is recorded as cut before."""

    async def play(peer: Peer) -> None:
        await peer.frame()
        await peer.send(*WHERE[where])
        if code is None:
            peer.drop()
        elif code == 0:
            await peer.ws.send_frame(b"", WSMsgType.CLOSE)
            await peer.until_closed()
        else:
            await peer.ws.close(code=code, message=b"because")

    async with (
        websocket_endpoint(play) as endpoint,
        metered(endpoint.url, tmp_path, cell=CELL) as meter,
        connected(meter.client, meter.url) as client,
    ):
        await client.create()
        for _ in WHERE[where]:
            await client.event()
        assert await client.closed() == (code, "because" if code else "")
        [end] = meter.ends()
        await client.ws.close()
        await meter.settled(1)
    if where == "after its end":
        assert (end["end_reason"], end["total_tokens"]) == ("completed", 18)
        return
    assert (end["end_reason"], end["error"]["type"]) == ("upstream_cut", "cut")
    assert (end["status"] is None) is (where == "before it begins")
    if where == "before it begins":
        assert end["usage_source"] == "none", "it may be running: unknown, not 0"
    else:
        assert (end["usage_source"], end["usage_status"]) == ("tokenizer", "partial")


async def test_several_responses_at_a_cut(tmp_path: Path) -> None:
    """Running and waiting ones: each has its own END, none is 0."""

    async def play(peer: Peer) -> None:
        for _ in range(3):
            await peer.frame()
        await peer.send(created("r", "a"), created("s"))
        peer.drop()

    async with (
        websocket_endpoint(play) as endpoint,
        metered(endpoint.url, tmp_path, cell=CELL) as meter,
        connected(meter.client, meter.url) as client,
    ):
        for lane in ("a", "a", None):
            await client.create(lane)
        await client.until("response.created")
        await client.until("response.created")
        assert await client.closed() == (None, "")
        ends = await meter.settled(3)
        totals = await meter.proxy.totals(CELL)
    assert {e["end_reason"] for e in ends} == {"upstream_cut"}
    assert totals["total_tokens"] is None


@pytest.mark.parametrize("code", [None, 1000, 4002])
async def test_the_client_leaves_idle(tmp_path: Path, code: int | None) -> None:
    """codex just drops the connection at its normal end: nothing is recorded, the endpoint sees the same."""
    seen: list[int | None] = []

    async def play(peer: Peer) -> None:
        await peer.frame()
        await peer.answer("r")
        await peer.until_closed()
        seen.append(peer.closed_with)

    async with (
        websocket_endpoint(play) as endpoint,
        metered(endpoint.url, tmp_path) as meter,
        connected(meter.client, meter.url) as client,
    ):
        await client.create()
        await client.response()
        if code is None:
            client.drop()
        else:
            await client.ws.close(code=code)
        await endpoint.done.wait()
        [end] = await meter.settled(1)
    assert seen == [code]
    assert end["end_reason"] == "completed"


@pytest.mark.parametrize("code", [None, 1000])
async def test_the_client_leaves_in_mid_response(tmp_path: Path, code: int | None) -> None:
    """The response is read on to its end for the exact usage; the seal waits for it."""
    left = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.frame()
        await peer.frame()
        await peer.send(created("r", "a"), created("s"))
        await left.wait()
        await peer.send(delta("x", "a"), ended("r", "a"), delta(), ended("s"))
        await peer.until_closed()

    async with (
        websocket_endpoint(play) as endpoint,
        metered(endpoint.url, tmp_path, cell=CELL) as meter,
        connected(meter.client, meter.url) as client,
    ):
        await client.create("a")
        await client.create()
        await client.until("response.created")
        await client.until("response.created")
        if code is None:
            client.drop()
        else:
            await client.ws.close(code=code)
        while not all(c.client_gone for c in meter.proxy._server._upgrades.calls.values()):  # noqa: ASYNC110
            await asyncio.sleep(0)
        left.set()
        ends = await meter.settled(2)
        await endpoint.done.wait()
    assert {(e["end_reason"], e["total_tokens"], e["usage_source"]) for e in ends} == {
        ("client_gone", 18, "upstream")
    }
    assert endpoint.peers[0].closed_with == code


@pytest.mark.parametrize(
    "settings", [{"drain_max_s": 0.05}, {"drain_max_bytes": 10}, {"on_disconnect": "cancel"}]
)
async def test_draining_has_limits(tmp_path: Path, settings: dict[str, Any]) -> None:
    """Past them the response is given up, and what it costs is not known."""
    left = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.frame()
        await peer.send(created("r"))
        await left.wait()
        await peer.send(delta("a long text"))
        await peer.until_closed()

    async with (
        websocket_endpoint(play) as endpoint,
        metered(endpoint.url, tmp_path, **settings) as meter,
        connected(meter.client, meter.url) as client,
    ):
        await client.create(previous_response_id="earlier")
        await client.until("response.created")
        client.drop()
        while not all(c.client_gone for c in meter.proxy._server._upgrades.calls.values()):  # noqa: ASYNC110
            await asyncio.sleep(0)
        left.set()
        [end] = await meter.settled(1)
        await endpoint.done.wait()
    assert (end["end_reason"], end["total_tokens"]) == ("client_gone", None)


async def test_a_create_that_waits_when_the_client_leaves_is_not_forwarded(tmp_path: Path) -> None:
    """It waits for a slot of its key; nobody would read its answer."""
    left = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.frame()
        await peer.send(created("r"))
        await left.wait()
        await peer.send(ended("r"))
        await peer.until_closed()

    async with (
        websocket_endpoint(play) as endpoint,
        metered(endpoint.url, tmp_path) as meter,
    ):
        key = meter.proxy.mint_key(CELL, 60, KeyLimits(max_concurrency=1))
        async with connected(meter.client, meter.url, f"/cell/{key}/v1/responses") as client:
            await client.create()
            await client.until("response.created")
            await client.create()
            while len(meter.proxy._server._upgrades.calls) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0)
            client.drop()
            while len(meter.proxy._server._upgrades.calls) == 2:  # noqa: ASYNC110
                await asyncio.sleep(0)
            left.set()
            ends = await meter.settled(2)
    assert [e["end_reason"] for e in ends] == ["rejected", "client_gone"]
    assert len(endpoint.peers[0].frames) == 1


@pytest.mark.parametrize("in_flight", [0, 1, 2])
async def test_the_endpoints_limit_of_a_connection_passes_unchanged(
    tmp_path: Path, in_flight: int
) -> None:
    """The event and the Close are the endpoint's; what waits never began, what runs is cut."""
    limit = error("websocket_connection_limit_reached")

    async def play(peer: Peer) -> None:
        for _ in range(in_flight):
            await peer.frame()
        if in_flight == 2:
            await peer.send(created("r"))
        if in_flight == 0:
            await peer.frame()
            await peer.answer("r")
        await peer.send(limit)
        await peer.ws.close(code=1000, message=b"60 minutes")

    async with (
        websocket_endpoint(play) as endpoint,
        metered(endpoint.url, tmp_path) as meter,
        connected(meter.client, meter.url) as client,
    ):
        for _ in range(max(1, in_flight)):
            await client.create()
        events = await client.until("error")
        assert events[-1] == limit
        assert await client.closed() == (1000, "60 minutes")
        await client.ws.close()
        ends = await meter.settled(max(1, in_flight))
    found = [(e["end_reason"], e["status"], e["usage_source"]) for e in ends]
    waiting = ("upstream_error", 400, "none")
    expected: dict[int, list[Any]] = {
        0: [("completed", 200, "upstream")],
        1: [waiting],
        2: [waiting, ("upstream_cut", 200, "tokenizer")],
    }
    assert found == expected[in_flight]


async def test_a_message_over_the_limit_ends_the_connection(tmp_path: Path) -> None:
    """1009 to whoever sent it, and nothing of it is forwarded."""

    async def play(peer: Peer) -> None:
        await peer.until_closed()

    async with (
        websocket_endpoint(play) as endpoint,
        metered(endpoint.url, tmp_path, max_request_bytes=1000) as meter,
        connected(meter.client, meter.url) as client,
    ):
        await client.create(input="x" * 2000)
        assert (await client.closed())[0] == 1009
        await client.ws.close()
        await endpoint.done.wait()
        await meter.settled(0)
    assert endpoint.peers[0].frames == []


async def test_an_event_over_the_limit_ends_the_connection(tmp_path: Path) -> None:
    async def play(peer: Peer) -> None:
        await peer.frame()
        await peer.send(created("r"), delta("x" * 2000))
        await peer.until_closed()

    async with (
        websocket_endpoint(play) as endpoint,
        metered(endpoint.url, tmp_path, max_request_bytes=1000) as meter,
        connected(meter.client, meter.url) as client,
    ):
        await client.create()
        await client.event()
        assert (await client.closed())[0] == 1009
        await client.ws.close()
        [end] = await meter.settled(1)
        await endpoint.done.wait()
    assert end["end_reason"] == "upstream_cut"
    assert endpoint.peers[0].closed_with == 1009


async def test_an_end_that_cannot_be_written_ends_the_connection(tmp_path: Path) -> None:
    """The client must not take an answer for complete whose record is not on disk."""

    async def play(peer: Peer) -> None:
        await peer.frame()
        await peer.send(created("r"))
        await go.wait()
        await peer.send(ended("r"))
        await peer.until_closed()

    go = asyncio.Event()
    async with (
        websocket_endpoint(play) as endpoint,
        metered(endpoint.url, tmp_path) as meter,
        connected(meter.client, meter.url) as client,
    ):
        await client.create()
        await client.until("response.created")
        writer = meter.proxy._server._services.ledger._writer
        put, writer.put = writer.put, _full  # type: ignore[method-assign, assignment]
        go.set()
        assert await client.closed() == (None, "")
        assert await meter.proxy.quiet(20)
        writer.put = put  # type: ignore[method-assign]


def _full(_: Any) -> Any:
    raise OSError(28, "No space left on device")


async def test_what_is_known_of_ended_responses_stays_small(tmp_path: Path) -> None:
    """A connection lives for an hour: it keeps no frame and no text of a response that is over."""

    async def play(peer: Peer) -> None:
        for number in range(300):
            await peer.frame()
            await peer.answer(f"r{number}")
        await peer.until_closed()

    async with (
        websocket_endpoint(play) as endpoint,
        metered(endpoint.url, tmp_path) as meter,
        connected(meter.client, meter.url) as client,
    ):
        for _ in range(300):
            await client.create(input="x" * 1000)
            await client.response()
        await meter.settled(300)
        [(connection, _)] = meter.proxy._server._upgrades._connections.values()
        known = connection._calls.lanes._ended.values()
        assert len(known) == 256
        assert {call.meter._frame for call in known} == {b""}
        assert not connection._calls.live
        await client.ws.close()
