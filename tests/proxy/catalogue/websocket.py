"""Fault 21, over WebSocket: one connection, and a call for each response on it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from cab.proxy.accounting.limits import KeyLimits
from tests.proxy.catalogue.table import World, case
from tests.tools.client import Seen, post
from tests.tools.proxy import Meter, metered
from tests.tools.websockets import (
    Client,
    Peer,
    connected,
    created,
    delta,
    ended,
    error,
    events,
    websocket_endpoint,
)

CELL = "s/a/m/f/t"
OVER = "WebSocket: "
UNCHANGED = "every message, as it came"


@asynccontextmanager
async def running(
    world: World, play: Callable[[Peer], Awaitable[None]], limits: KeyLimits | None = None
) -> AsyncIterator[tuple[Meter, Client]]:
    """Run an endpoint, a proxy and a client; on leaving, all calls have ended and are in the rows."""
    async with websocket_endpoint(play) as endpoint, metered(endpoint.url, world.folder) as meter:
        path = f"/cell/{meter.proxy.mint_key(CELL, 60, limits)}/v1/responses"
        async with connected(meter.client, meter.url, path) as client:
            yield meter, client
            await client.ws.close()
        assert await meter.proxy.quiet(20)
        world.rows = meter.ends()
        assert {row["transport"] for row in world.rows} <= {"websocket"}


def stated(world: World) -> Any:
    return world.sample.answer["usage"]


@case("21", OVER + "a response", client=UNCHANGED, streaming=(True,), end_reason="completed",
      dialects=("responses",))  # fmt: skip
async def _response(world: World) -> Seen:
    sent = events("r", usage=stated(world))

    async def play(peer: Peer) -> None:
        await peer.frame()
        await peer.send(*sent)
        await peer.until_closed()

    async with running(world, play) as (_, client):
        await client.create()
        assert await client.until("response.completed") == sent
    return Seen()


@case("21", OVER + "a warm-up (`generate: false`)", client=UNCHANGED, streaming=(True,), end_reason="completed",
      dialects=("responses",), tokens="see the case", warmup=True, completion_tokens=0)  # fmt: skip
async def _warmup(world: World) -> Seen:
    async def play(peer: Peer) -> None:
        await peer.frame()
        usage = {"input_tokens": 5, "output_tokens": 0, "total_tokens": 5}
        await peer.send(created("r"), ended("r", output=[], usage=usage))
        await peer.until_closed()

    async with running(world, play) as (_, client):
        await client.create(generate=False)
        await client.response()
    assert world.rows[0]["usage_status"] == "complete"
    return Seen()


@case("21", OVER + "events of two lanes, mixed", client=UNCHANGED, streaming=(True,), end_reason="completed",
      dialects=("responses",), rows=2)  # fmt: skip
async def _lanes(world: World) -> Seen:
    async def play(peer: Peer) -> None:
        await peer.frame()
        await peer.frame()
        await peer.send(created("b", "b"), created("a", "a"), delta("x", "b"))
        await peer.send(ended("a", "a", usage=stated(world)), ended("b", "b", usage=stated(world)))
        await peer.until_closed()

    async with running(world, play) as (_, client):
        await client.create("a")
        await client.create("b")
        await client.response()
        await client.response()
    assert {(r["stream_id"], r["upstream_id"]) for r in world.rows} == {("a", "a"), ("b", "b")}
    return Seen()


@case("21", OVER + "a steered response, and the one that follows without a create", client=UNCHANGED, streaming=(True,),
      end_reason="completed", dialects=("responses",), rows=2)  # fmt: skip
async def _steered(world: World) -> Seen:
    async def play(peer: Peer) -> None:
        await peer.frame()
        await peer.send(created("r1"))
        await peer.frame()
        cut: dict[str, Any] = {"status": "incomplete", "incomplete_details": {"reason": "steered"}}
        await peer.send(ended("r1", usage=stated(world), **cut))
        await peer.send(created("r2", previous_response_id="r1"), ended("r2", usage=stated(world)))
        await peer.until_closed()

    async with running(world, play) as (_, client):
        await client.create()
        await client.event()
        await client.send({"type": "response.steer", "previous_response_id": "r1", "input": "x"})
        await client.response()
    assert [row["steered_from"] for row in world.rows] == [None, world.rows[0]["call_id"]]
    return Seen()


@case("21", OVER + "usage only in a `response.done` behind the last event", client=UNCHANGED, streaming=(True,),
      end_reason="completed", dialects=("responses",))  # fmt: skip
async def _late_usage(world: World) -> Seen:
    done = {"type": "response.done", "response": {"id": "r", "usage": stated(world)}}

    async def play(peer: Peer) -> None:
        await peer.frame()
        await peer.send(created("r"), delta(), ended("r", usage=None), done)
        await peer.until_closed()

    async with running(world, play) as (_, client):
        await client.create()
        await client.until("response.done")
    return Seen()


@case("21", OVER + "the endpoint refuses a create", client="the endpoint's error event", streaming=(True,),
      end_reason="upstream_error", status=400, dialects=("responses",), tokens="nothing written")  # fmt: skip
async def _refused(world: World) -> Seen:
    async def play(peer: Peer) -> None:
        await peer.frame()
        await peer.send(error("previous_response_not_found"))
        await peer.until_closed()

    async with running(world, play) as (_, client):
        await client.create(previous_response_id="gone")
        assert await client.event() == error("previous_response_not_found")
    return Seen()


@case("21", OVER + "a limit of the cell's key is reached at a create", client="an error event with status 400; the socket stays open",
      streaming=(True,), rows=2, dialects=("responses",), tokens="see the case")  # fmt: skip
async def _limit(world: World) -> Seen:
    async def play(peer: Peer) -> None:
        await peer.frame()
        await peer.answer("r")
        await peer.until_closed()

    async with running(world, play, KeyLimits(max_calls=1)) as (_, client):
        await client.create()
        await client.response()
        await client.create()
        event = await client.event()
        assert (event["status"], event["error"]["code"]) == (400, "cab_limit_reached")
    assert [row["end_reason"] for row in world.rows] == ["completed", "rejected"]
    return Seen()


@case("21", OVER + "the endpoint ends the connection in mid-response", client="the same end", streaming=(True,),
      end_reason="upstream_cut", status=200, dialects=("responses",), tokens="counted here")  # fmt: skip
async def _cut(world: World) -> Seen:
    async def play(peer: Peer) -> None:
        await peer.frame()
        await peer.send(created("r"), delta())
        await peer.ws.close(code=1011)

    async with running(world, play) as (_, client):
        await client.create()
        await client.event()
        await client.event()
        assert (await client.closed())[0] == 1011
    return Seen()


@case("21", OVER + "the endpoint ends the connection before the response begins", client="the same end", streaming=(True,),
      end_reason="upstream_cut", status=None, dialects=("responses",), tokens="none")  # fmt: skip
async def _cut_before(world: World) -> Seen:
    async def play(peer: Peer) -> None:
        await peer.frame()
        peer.drop()

    async with running(world, play) as (_, client):
        await client.create()
        assert await client.closed() == (None, "")
    return Seen()


@case("21", OVER + "the client leaves in mid-response", client="nothing more", streaming=(True,),
      end_reason="client_gone", dialects=("responses",))  # fmt: skip
async def _client_gone(world: World) -> Seen:
    left = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.frame()
        await peer.send(created("r"))
        await left.wait()
        await peer.send(ended("r", usage=stated(world)))
        await peer.until_closed()

    async with running(world, play) as (meter, client):
        await client.create()
        await client.event()
        client.drop()
        while not all(c.client_gone for c in meter.proxy._server._upgrades.calls.values()):  # noqa: ASYNC110
            await asyncio.sleep(0)
        left.set()
    return Seen()


@case("21", OVER + "the endpoint does not speak it, or the path is not `responses`", client="426 at once",
      streaming=(False,), rows=0, tokens="none", dialects=("responses", "chat.completions"))  # fmt: skip
async def _no_websocket(world: World) -> Seen:
    upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    async with world.running(world.whole()) as meter:
        seen = await post(meter.url, world.sample.path, b"", *upgrade, key, method="GET")
    assert seen.status == 426
    return seen
