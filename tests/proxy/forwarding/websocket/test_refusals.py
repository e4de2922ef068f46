"""What a cell may do is asked at every create; a refusal is an event, and the socket stays open."""

import asyncio
import os
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSMsgType

from cab.proxy.accounting.limits import KeyLimits
from cab.proxy.auth.revocations import Revocations
from cab.proxy.clock import Clock
from cab.proxy.config import state_beside
from tests.tools.proxy import Meter, metered
from tests.tools.websockets import (
    Client,
    Peer,
    WebSocketEndpoint,
    connected,
    create,
    created,
    ended,
    websocket_endpoint,
)
from tests.tools.wires import DIRECT

WIRES = (DIRECT,)

CELL = "s/codex/m/f/t"


async def answering(peer: Peer) -> None:
    """Answer every create at once."""
    while (message := await peer.next()).type in {WSMsgType.TEXT, WSMsgType.BINARY}:
        await peer.answer(f"r{len(peer.frames)}", message.json().get("stream_id"))


@asynccontextmanager
async def keyed(
    tmp_path: Path,
    play: Any = answering,
    limits: KeyLimits | None = None,
    clock: Clock | None = None,
    **settings: Any,
) -> AsyncGenerator[tuple[WebSocketEndpoint, Meter, Client]]:
    """Run an endpoint and a proxy with keys; the client is connected with one of them."""
    async with (
        websocket_endpoint(play) as endpoint,
        metered(endpoint.url, tmp_path, auth="keys", clock=clock, **settings) as meter,
    ):
        path = f"/cell/{meter.proxy.mint_key(CELL, 60, limits)}/v1/responses"
        async with connected(meter.client, meter.url, path) as client:
            yield endpoint, meter, client
            await client.ws.close()


def code_of(event: dict[str, Any], lane: str | None = None) -> str:
    """Return the code of a refusal; with another status than 400 codex would try again."""
    assert (event["type"], event["status"], event.get("stream_id")) == ("error", 400, lane)
    assert event["error"]["message"]
    return str(event["error"]["code"])


async def test_a_limit_is_checked_at_each_create(tmp_path: Path) -> None:
    """The second create of one call's key: an event, a rejected record, and nothing forwarded."""
    async with keyed(tmp_path, limits=KeyLimits(max_calls=1)) as (endpoint, meter, client):
        await client.create("a")
        await client.response()
        await client.create("b")
        assert code_of(await client.event(), "b") == "cab_limit_reached"
        good, bad = await meter.settled(2)
    assert len(endpoint.peers[0].frames) == 1
    assert (good["cell_id"], good["end_reason"]) == (CELL, "completed")
    assert (bad["end_reason"], bad["status"], bad["upstream_attempts"]) == ("rejected", 400, 0)
    assert bad["error"]["type"] == "cab_limit_reached"
    assert bad["stream_id"] == "b"


async def test_a_refusal_leaves_other_lanes_running(tmp_path: Path) -> None:
    """Lane b is at the limit while lane a is under way."""
    asked = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.frame()
        await peer.send(created("r", "a"))
        await asked.wait()
        await peer.send(ended("r", "a"))
        await peer.until_closed()

    async with keyed(tmp_path, play, KeyLimits(max_calls=1)) as (_, meter, client):
        await client.create("a")
        await client.until("response.created")
        await client.create("b")
        assert code_of(await client.event(), "b") == "cab_limit_reached"
        asked.set()
        await client.response()
        await meter.settled(2)


async def test_a_wait_for_a_slot_holds_up_nobody_else(tmp_path: Path) -> None:
    """Creates wait in their lanes, in order; events of the running response and pings pass."""

    async def play(peer: Peer) -> None:
        for number in range(3):
            frame = await peer.frame()
            assert frame["input"] == str(number)
            if number == 0:
                await peer.send(created("r0", "a"))
                message = await peer.ws.receive(20)
                assert message.type is WSMsgType.PING
                await peer.ws.pong(message.data)
            await peer.send(created(f"r{number}", "a"), ended(f"r{number}", "a"))
        await peer.until_closed()

    async with keyed(tmp_path, play, KeyLimits(max_concurrency=1)) as (_, meter, client):
        for number in range(3):
            await client.create("a", input=str(number))
        await client.until("response.created")
        await client.ws.ping(b"x")
        assert (await client.ws.receive(20)).type is WSMsgType.PONG
        for _ in range(3):
            await client.response()
        ends = await meter.settled(3)
    assert [e["upstream_id"] for e in ends] == ["r0", "r1", "r2"]


async def test_no_slot_comes_free(tmp_path: Path) -> None:
    """A create that waited too long is refused; the response under way is not touched."""
    refused = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.frame()
        await peer.send(created("r"))
        await refused.wait()
        await peer.send(ended("r"))
        await peer.until_closed()

    limits = KeyLimits(max_concurrency=1)
    async with keyed(tmp_path, play, limits, slot_wait_s=0.05) as (_, meter, client):
        await client.create()
        await client.create("b")
        events = await client.until("error")
        assert code_of(events[-1], "b") == "cab_limit_reached"
        refused.set()
        await client.response()
        await meter.settled(2)


async def test_a_key_that_is_revoked_meanwhile(tmp_path: Path) -> None:
    """As for POST: refused before anything is recorded; steers and all other messages as well."""
    async with keyed(tmp_path) as (endpoint, meter, client):
        await client.create()
        await client.response()
        Revocations(state_beside(meter.proxy.ledger_dir)).revoke_cell(CELL, int(time.time()) + 1)
        steer = {"type": "response.steer", "previous_response_id": "r1", "input": "x"}
        for frame in (create(), steer, {"type": "response.interrupt", "response_id": "r1"}):
            await client.send(frame)
            event = await client.event()
            assert code_of(event) == "invalid_api_key"
            assert "revoked" in event["error"]["message"]
        await meter.settled(1)
    assert len(endpoint.peers[0].frames) == 1


async def test_a_key_that_expires_meanwhile(tmp_path: Path) -> None:
    """A connection lives longer than its key; the next create is refused."""
    late_ns = 0
    clock = Clock(wall_ns=lambda: time.time_ns() + late_ns)
    async with keyed(tmp_path, clock=clock) as (_, meter, client):
        await client.create()
        await client.response()
        late_ns = 61 * 10**9
        await client.create()
        event = await client.event()
        assert code_of(event) == "invalid_api_key"
        assert "expired" in event["error"]["message"]
        await meter.settled(1)


async def test_a_seal_waits_for_responses_and_closes_the_cell(tmp_path: Path) -> None:
    """The seal holds the response under way; after it a create is refused and the socket is open."""
    sealing = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.frame()
        await peer.send(created("r"))
        await sealing.wait()
        await peer.send(ended("r"))
        await peer.until_closed()

    async with keyed(tmp_path, play) as (_, meter, client):
        await client.create()
        await client.until("response.created")
        seal = asyncio.get_running_loop().create_task(meter.proxy.seal(CELL))
        while not (await meter.proxy._server._services.registry.totals(CELL))[0].sealed:  # noqa: ASYNC110
            await asyncio.sleep(0)
        sealing.set()
        await client.response()
        assert (await seal).seal["calls"] == 1
        await client.create()
        assert code_of(await client.event()) == "cell_sealed"
        await meter.settled(2)


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ('{"type":"response.create","model":"m","model":"other","input":"hi"}', "invalid_json"),
        ('{"type":"response.future","type":"response.create"}', "invalid_json"),
        ('{"type":"response.create","input":{"a":1,"a":2}}', "invalid_json"),
        ("not JSON", "invalid_json"),
        ('{"type":"response.create","temperature":NaN}', "invalid_json"),
        ("[]", "invalid_json"),
        ('{"input":"hi"}', "invalid_type"),
    ],
)
async def test_a_message_that_can_be_read_in_two_ways(
    tmp_path: Path, frame: str, code: str
) -> None:
    """What an endpoint could take for another message than the proxy does not pass, as text or bytes."""
    async with keyed(tmp_path) as (endpoint, meter, client):
        await client.send(frame)
        assert code_of(await client.event()) == code
        await client.ws.send_bytes(frame.encode())
        assert code_of(await client.event()) == code
        await client.create()
        await client.response()
        ends = await meter.settled(3)
    assert len(endpoint.peers[0].frames) == 1
    for end in ends[:2]:  # as a POST that is refused
        assert (end["cell_id"], end["end_reason"], end["error"]["type"]) == (CELL, "rejected", code)
        assert (end["status"], end["upstream_attempts"], end["request_bytes"]) == (
            400,
            0,
            len(frame),
        )


async def test_a_model_that_the_key_does_not_name(tmp_path: Path) -> None:
    """Refused at its create, with the record that a POST leaves."""
    async with keyed(tmp_path, limits=KeyLimits(models=("gpt-*",))) as (endpoint, meter, client):
        await client.create("a", model="other")
        assert code_of(await client.event(), "a") == "model_not_allowed"
        [end] = await meter.settled(1)
    assert (end["cell_id"], end["model_requested"], end["stream_id"]) == (CELL, "other", "a")
    assert (end["end_reason"], end["error"]["type"]) == ("rejected", "model_not_allowed")
    assert endpoint.peers[0].frames == []


async def test_a_binary_create_is_a_create(tmp_path: Path) -> None:
    """An endpoint may read one, so it is metered, and passes as it came."""
    async with keyed(tmp_path) as (endpoint, meter, client):
        await client.ws.send_bytes(b'{"type":"response.create","model":"m"}')
        await client.response()
        await meter.settled(1)
    assert endpoint.peers[0].frames == [b'{"type":"response.create","model":"m"}']


async def test_a_ledger_that_cannot_write_refuses_creates(tmp_path: Path) -> None:
    """No call without its record: the create is answered with an event."""
    async with keyed(tmp_path) as (endpoint, meter, client):
        await client.create()
        await client.response()
        meter.proxy._server._services.ledger._low_space = "no space"
        await client.create()
        assert code_of(await client.event()) == "ledger_failed"
        meter.proxy._server._services.ledger._low_space = None
        await client.create()
        await client.response()
        await meter.settled(2)
    assert len(endpoint.peers[0].frames) == 2


async def test_a_start_that_the_disk_refuses_leaves_no_call(tmp_path: Path) -> None:
    """The frame has not left, so there is neither a START nor an END once the disk works again."""
    disk_works = True

    def sync(descriptor: int) -> None:
        if not disk_works:
            raise OSError(5, "Input/output error")
        os.fdatasync(descriptor)

    async with keyed(tmp_path) as (endpoint, meter, client):
        ledger = meter.proxy._server._services.ledger
        ledger._writer._sync = sync
        disk_works = False
        await client.create()
        assert code_of(await client.event()) == "ledger_failed"
        disk_works = True
        async with asyncio.timeout(20):
            while ledger.failure is not None:  # noqa: ASYNC110 - nothing tells when the disk is tried again
                await asyncio.sleep(0.01)
        await client.create()
        await client.response()
        await meter.settled(1)
    assert len(endpoint.peers[0].frames) == 1


async def test_a_model_of_another_endpoint_is_refused(tmp_path: Path) -> None:
    """A connection has one endpoint; with routes it must be named in the upgrade."""
    async with (
        websocket_endpoint(answering) as endpoint,
        websocket_endpoint(answering) as other,
        metered(
            endpoint.url, tmp_path, routes=[{"models": ["big-*"], "upstream": other.url}]
        ) as meter,
    ):
        async with meter.client.get(f"{meter.url}/v1/responses", headers=UPGRADE) as answer:
            assert answer.status == 426
        async with connected(meter.client, meter.url, "/v1/responses?model=big-1") as client:
            await client.create(model="big-2")
            await client.response()
            await client.create(model="small")
            assert code_of(await client.event()) == "model_elsewhere"
            await client.ws.close()
        assert [e["end_reason"] for e in await meter.settled(2)] == ["completed", "rejected"]
    assert [len(e.peers) for e in (endpoint, other)] == [0, 1]


UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
