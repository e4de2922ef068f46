"""Events that are no usual answer to a create: errors, late ones, those that nobody asked for, many at once."""

from pathlib import Path

import orjson

from tests.tools.proxy import metered
from tests.tools.websockets import (
    USAGE,
    Client,
    Peer,
    connected,
    create,
    created,
    delta,
    ended,
    error,
    in_lane,
    websocket_endpoint,
)
from tests.tools.wires import DIRECT

WIRES = (DIRECT,)

CELL = "s/codex/m/f/t"


async def test_errors_find_the_create_that_they_are_about(tmp_path: Path) -> None:
    """A create that gets no response costs nothing; others are not touched by its error."""
    lost = error("previous_response_not_found")

    async def play(peer: Peer) -> None:
        for _ in range(5):
            await peer.frame()
        await peer.send(created("r0"), error("invalid_stream_id"), lost)
        await peer.send(in_lane(error("websocket_stream_limit_reached"), "33rd"))
        await peer.send(delta(), ended("r0"), {"type": "error", "code": "flat", "message": "m"})
        await peer.until_closed()

    async with (
        websocket_endpoint(play) as endpoint,
        metered(endpoint.url, tmp_path, cell=CELL) as meter,
        connected(meter.client, meter.url) as client,
    ):
        await client.create()
        await client.create("not valid!")
        await client.create(previous_response_id="gone")
        await client.create("33rd")
        await client.create(input="last")
        for _ in range(7):
            await client.event()
        ends = await meter.settled(5)
        await client.ws.close()
    by_seq = {e["seq"]: (e["end_reason"], e["status"], e["total_tokens"]) for e in ends}
    assert by_seq[1] == ("completed", 200, 18)
    refused = ("upstream_error", 400, None)
    assert [by_seq[seq] for seq in (2, 3, 4)] == [refused] * 3
    assert by_seq[5] == ("upstream_error", None, None), "without a status its cost is not known"
    assert [e["completion_tokens"] for e in ends if e["status"] == 400] == [0, 0, 0]


async def test_unknown_events_and_late_ones_are_passed_over(tmp_path: Path) -> None:
    """Events of other kinds, text that is no JSON, events of a response that is over."""
    others = [
        {"type": "codex.rate_limits"},
        "not JSON",
        ended("r1", status="done"),
        {"type": 5},
        [],
    ]

    async def play(peer: Peer) -> None:
        await peer.frame()
        await peer.answer("r1")
        await peer.frame()
        await peer.send(*others)
        await peer.answer("r2")
        await peer.until_closed()

    async with (
        websocket_endpoint(play) as endpoint,
        metered(endpoint.url, tmp_path) as meter,
        connected(meter.client, meter.url) as client,
    ):
        await client.create()
        await client.response()
        await client.create()
        for other in others:
            raw = await client.raw()
            assert raw == (other if isinstance(other, str) else orjson.dumps(other).decode())
        await client.response()
        ends = await meter.settled(2)
        await client.ws.close()
    assert [e["upstream_id"] for e in ends] == ["r1", "r2"]


async def test_a_response_that_nobody_asked_for_is_recorded(tmp_path: Path) -> None:
    """A client may ask in a way that is not known here: what the endpoint makes of it counts."""

    async def play(peer: Peer) -> None:
        await peer.frame()
        await peer.answer("r1")
        await peer.until_closed()

    async with (
        websocket_endpoint(play) as endpoint,
        metered(endpoint.url, tmp_path, cell=CELL) as meter,
        connected(meter.client, meter.url) as client,
    ):
        await client.send({"type": "response.future"})
        await client.response()
        [end] = await meter.settled(1)
        await client.ws.close()
    assert (end["seq"], end["total_tokens"], end["request_hash"]) == (1, 18, None)


async def test_a_flood_of_creates_waits_at_the_client(tmp_path: Path) -> None:
    """No more than 256 calls of one connection are under way; the rest goes when they end."""
    count = 300

    async def play(peer: Peer) -> None:
        for _ in range(256):
            await peer.frame()
        assert len(meter.proxy._server._upgrades.calls) == 256
        for number in range(256):
            await peer.send(created(f"r{number}"), ended(f"r{number}"))
        for number in range(256, count):
            await peer.frame()
            await peer.send(created(f"r{number}"), ended(f"r{number}"))
        await peer.until_closed()

    async with (
        websocket_endpoint(play) as endpoint,
        metered(endpoint.url, tmp_path) as meter,
        connected(meter.client, meter.url) as client,
    ):
        for _ in range(count):
            await client.create()
        for _ in range(count):
            await client.response()
        await meter.settled(count)
        await client.ws.close()


async def test_ids_of_two_connections_do_not_meet(tmp_path: Path) -> None:
    """The same response id on two connections: each is the call of its own."""

    async def play(peer: Peer) -> None:
        frame = await peer.frame()
        await peer.answer(
            "r", usage={**USAGE, "input_tokens": frame["seed"], "total_tokens": 7 + frame["seed"]}
        )
        await peer.until_closed()

    async with (
        websocket_endpoint(play) as endpoint,
        metered(endpoint.url, tmp_path) as meter,
        connected(meter.client, meter.url) as one,
        connected(meter.client, meter.url) as two,
    ):
        clients: list[Client] = [one, two]
        for seed, client in enumerate(clients, 1):
            await client.send(create(seed=seed))
        for client in clients:
            await client.response()
            await client.ws.close()
        ends = await meter.settled(2)
    assert {e["prompt_tokens"] for e in ends} == {1, 2}
    assert len({e["connection_id"] for e in ends}) == 2
