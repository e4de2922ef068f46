"""Steering: a response that no create asked for, and steers that lead to none."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cab.proxy.accounting.limits import KeyLimits
from cab.proxy.meter.request.canonical import request_hash
from tests.tools.proxy import Meter, metered
from tests.tools.websockets import (
    Client,
    Peer,
    connected,
    created,
    delta,
    ended,
    in_lane,
    websocket_endpoint,
)
from tests.tools.wires import DIRECT

WIRES = (DIRECT,)

CELL = "s/codex/m/f/t"
STEERED: dict[str, Any] = {"status": "incomplete", "incomplete_details": {"reason": "steered"}}


def steer(target: str = "r1", text: str = "smaller") -> dict[str, Any]:
    return {"type": "response.steer", "previous_response_id": target, "input": text}


def accepted(target: str = "r1", steer_id: str = "st_1", lane: str | None = None) -> dict[str, Any]:
    stated = {"id": steer_id, "previous_response_id": target}
    return in_lane({"type": "response.steer.accepted", "steer": stated}, lane)


def pending(target: str = "r1", steer_id: str = "st_1") -> dict[str, Any]:
    stated = {"id": steer_id, "previous_response_id": target}
    reason = {"reason": "waiting_for_required_input", "required_input": []}
    return {"type": "response.steer.pending", "steer": stated, **reason}


def failed(code: str, target: str = "r1", **named: str) -> dict[str, Any]:
    stated = {"input": "smaller", "previous_response_id": target, **named}
    fault = {"type": "invalid_request_error", "code": code, "message": "m"}
    return {"type": "response.steer.failed", "steer": stated, "error": fault}


@asynccontextmanager
async def steering(
    tmp_path: Path, play: Callable[[Peer], Awaitable[None]], limits: KeyLimits | None = None
) -> AsyncGenerator[tuple[Meter, Client]]:
    """Run an endpoint and a proxy; the client has begun the response r1 in lane a."""

    async def whole(peer: Peer) -> None:
        await peer.frame()
        await peer.send(created("r1", "a"))
        await play(peer)
        await peer.until_closed()

    async with websocket_endpoint(whole) as endpoint, metered(endpoint.url, tmp_path) as meter:
        path = f"/cell/{meter.proxy.mint_key(CELL, 60, limits)}/v1/responses"
        async with connected(meter.client, meter.url, path) as client:
            await client.create("a")
            await client.until("response.created")
            yield meter, client
            await client.ws.close()


@pytest.mark.parametrize("end", [STEERED, {}], ids=["cut short", "whole"])
@pytest.mark.parametrize("names_parent", [True, False])
@pytest.mark.parametrize("limits", [None, KeyLimits(max_concurrency=1, max_calls=2)])
async def test_a_successor_is_a_call_of_its_own(
    tmp_path: Path, end: dict[str, Any], names_parent: bool, limits: KeyLimits | None
) -> None:
    """Its START is on disk before its first event; it has the model of the response that was steered."""
    parent = {"previous_response_id": "r1"} if names_parent else {}

    async def play(peer: Peer) -> None:
        await peer.frame()
        await peer.send(accepted(lane="a"), ended("r1", "a", **end), created("r2", "a", **parent))
        await peer.send(delta("x", "a"), ended("r2", "a"))

    async with steering(tmp_path, play, limits) as (meter, client):
        await client.send(steer())
        await client.until("response.created")
        assert len(meter.starts()) == 2
        await client.response()
        first, second = await meter.settled(2)
    assert first["end_reason"] == second["end_reason"] == "completed"
    assert first["finish_reason"] == ("steered" if end else "completed")
    assert first["total_tokens"] == second["total_tokens"] == 18
    expected = {
        "seq": 2,
        "steered_from": first["call_id"],
        "stream_id": "a",
        "model_requested": "gpt-x",
        "upstream_id": "r2",
        "attempt": 1,
    }
    assert {name: second[name] for name in expected} == expected
    assert first["steered_from"] is None
    assert second["request_hash"] != first["request_hash"]
    assert str(second["request_hash"]).startswith("sha256:")


async def test_a_successor_does_not_take_a_waiting_create(tmp_path: Path) -> None:
    """A create waits in the lane while its running response is steered: both are matched."""

    async def play(peer: Peer) -> None:
        await peer.frame()
        await peer.frame()
        await peer.send(accepted(lane="a"), ended("r1", "a", **STEERED))
        await peer.send(created("r2", "a", previous_response_id="r1"), ended("r2", "a"))
        await peer.send(created("r3", "a", previous_response_id=None), ended("r3", "a"))

    async with steering(tmp_path, play) as (meter, client):
        await client.create("a", input="next")
        await client.send(steer())
        for _ in range(2):
            await client.response()
        ends = await meter.settled(3)
    steered = {e["upstream_id"]: e["steered_from"] is not None for e in ends}
    assert steered == {"r1": False, "r2": True, "r3": False}


@pytest.mark.parametrize("waits", [True, False])
async def test_a_steer_that_waits_for_a_create_is_no_call(tmp_path: Path, waits: bool) -> None:
    """The client's create carries it along, with or without waiting to be asked for it."""

    async def play(peer: Peer) -> None:
        await peer.frame()
        await peer.send(accepted(lane="a"), ended("r1", "a"))
        if waits:
            await peer.send(pending())
        await peer.frame()
        if not waits:
            await peer.send(pending())
        await peer.send(created("r2", "a", previous_response_id="r1"), ended("r2", "a"))

    async with steering(tmp_path, play) as (meter, client):
        await client.send(steer())
        await client.until("response.steer.pending" if waits else "response.completed")
        await client.create("a", previous_response_id="r1")
        await client.until("response.created")
        await client.response()
        ends = await meter.settled(2)
    assert [e["steered_from"] for e in ends] == [None, None]


@pytest.mark.parametrize("after", [True, False], ids=["accepted", "at once"])
async def test_a_steer_that_failed_is_no_call(tmp_path: Path, after: bool) -> None:
    """No response, no record, and the cell can be sealed."""

    async def play(peer: Peer) -> None:
        await peer.frame()
        if after:
            await peer.send(accepted(), failed("successor_creation_failed", id="st_1"))
        else:
            await peer.send(failed("response_not_active"))
        await peer.send(ended("r1", "a"))

    async with steering(tmp_path, play) as (meter, client):
        await client.send(steer())
        await client.response()
        await meter.settled(1)
        assert (await meter.proxy.seal(CELL)).seal["calls"] == 1


async def test_two_steers_share_a_successor(tmp_path: Path) -> None:
    async def play(peer: Peer) -> None:
        await peer.frame()
        await peer.frame()
        await peer.send(accepted(), accepted(steer_id="st_2"), ended("r1", "a", **STEERED))
        await peer.send(created("r2", "a", previous_response_id="r1"), ended("r2", "a"))

    async with steering(tmp_path, play) as (meter, client):
        await client.send(steer())
        await client.send(steer(text="and faster"))
        await client.response()
        ends = await meter.settled(2)
        assert (await meter.proxy.seal(CELL)).seal["calls"] == 2
    assert [e["steered_from"] is None for e in ends] == [True, False]


async def test_a_steer_at_a_limit_is_refused(tmp_path: Path) -> None:
    """It may start a response, so it is asked about as a create is; the steered response goes on."""

    async def play(peer: Peer) -> None:
        await peer.frame()
        await peer.send(ended("r1", "a"))

    async with steering(tmp_path, play, KeyLimits(max_calls=1)) as (meter, client):
        await client.send(steer())
        event = await client.event()
        assert (event["status"], event["error"]["code"]) == (400, "cab_limit_reached")
        assert event["stream_id"] == "a"
        await client.send({"type": "response.interrupt", "response_id": "r1"})
        await client.response()
        ends = await meter.settled(2)
    assert [e["end_reason"] for e in ends] == ["rejected", "completed"]


async def test_a_cut_leaves_the_outcome_of_a_steer_unknown(tmp_path: Path) -> None:
    """Between its acceptance and its successor: the endpoint may have begun it."""

    async def play(peer: Peer) -> None:
        await peer.frame()
        await peer.send(accepted(), ended("r1", "a", **STEERED))
        peer.drop()

    async with steering(tmp_path, play) as (meter, client):
        await client.send(steer())
        await client.until("response.incomplete")
        assert await client.closed() == (None, "")
        first, second = await meter.settled(2)
    assert first["total_tokens"] == 18
    assert (second["end_reason"], second["total_tokens"]) == ("upstream_cut", None)
    assert second["steered_from"] == first["call_id"]


async def test_the_hash_of_a_successor_is_that_of_its_steer(tmp_path: Path) -> None:
    frame = '{"type":"response.steer","previous_response_id":"r1","input":"x"}'

    async def play(peer: Peer) -> None:
        await peer.frame()
        await peer.send(accepted(), ended("r1", "a", **STEERED))
        await peer.send(created("r2", "a", previous_response_id="r1"), ended("r2", "a"))

    async with steering(tmp_path, play) as (meter, client):
        await client.send(frame)
        await client.response()
        _, second = await meter.settled(2)
    assert second["request_hash"] == request_hash(frame.encode())
    assert second["request_bytes"] == len(frame)
