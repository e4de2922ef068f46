"""A stop of the proxy while connections are open."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest

from tests.tools.proxy import metered
from tests.tools.websockets import (
    Peer,
    connected,
    created,
    delta,
    ended,
    websocket_endpoint,
)
from tests.tools.wires import DIRECT

WIRES = (DIRECT,)

CELL = "s/codex/m/f/t"


async def stopping(meter: Any) -> "asyncio.Task[None]":
    task: asyncio.Task[None] = asyncio.get_running_loop().create_task(meter.proxy._server.stop(20))
    while not meter.proxy._server.stopping:  # noqa: ASYNC110
        await asyncio.sleep(0)
    return task


async def test_a_stop_ends_an_idle_connection(tmp_path: Path) -> None:
    """Both sides get 1001, with which SDKs connect again."""

    async def play(peer: Peer) -> None:
        await peer.until_closed()

    async with (
        websocket_endpoint(play) as endpoint,
        metered(endpoint.url, tmp_path) as meter,
        connected(meter.client, meter.url) as client,
    ):
        stop = await stopping(meter)
        assert await client.closed() == (1001, "the proxy is stopping")
        await client.ws.close()
        await stop
        await endpoint.done.wait()
    assert endpoint.peers[0].closed_with == 1001


async def test_a_stop_waits_for_responses(tmp_path: Path) -> None:
    """What runs comes to its end within the grace time; a new create is answered with an event."""
    asked = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.frame()
        await peer.send(created("r"))
        await asked.wait()
        await peer.send(ended("r"))
        await peer.until_closed()

    async with (
        websocket_endpoint(play) as endpoint,
        metered(endpoint.url, tmp_path) as meter,
        connected(meter.client, meter.url) as client,
    ):
        await client.create()
        await client.until("response.created")
        stop = await stopping(meter)
        await client.create()
        event = await client.event()
        assert (event["status"], event["error"]["code"]) == (400, "stopping")
        asked.set()
        await client.response()
        assert (await client.closed())[0] == 1001
        await client.ws.close()
        await stop
        [end] = await meter.settled(1)
    assert end["end_reason"] == "completed"


async def test_a_stop_gives_up_after_the_grace_time(tmp_path: Path) -> None:
    """What is still running then is recorded as stopped, unknown, and the client sees 1001."""

    async def play(peer: Peer) -> None:
        await peer.frame()
        await peer.send(created("r"))
        await peer.until_closed()

    async with websocket_endpoint(play) as endpoint:
        async with (
            metered(endpoint.url, tmp_path, grace_s=0.05) as meter,
            connected(meter.client, meter.url) as client,
        ):
            await client.create(previous_response_id="r0")
            await client.until("response.created")
            await meter.proxy._server.stop(0.05)
            assert (await client.closed())[0] == 1001
        [end] = meter.ends()
    assert (end["end_reason"], end["error"]["type"]) == ("timeout", "proxy_stopped")
    assert end["total_tokens"] is None


@pytest.mark.parametrize("reads", ["client", "endpoint"])
async def test_a_stop_does_not_wait_for_who_reads_nothing(tmp_path: Path, reads: str) -> None:
    """Sending blocks towards a peer that reads nothing; the stop comes to its end all the same."""
    text, over, begun = "x" * (32 << 20), asyncio.Event(), asyncio.Event()

    async def play(peer: Peer) -> None:
        if reads == "client":
            await over.wait()
            return
        await peer.frame()
        begun.set()
        with contextlib.suppress(ConnectionError):
            await peer.send(created("r"), delta(text), delta(text))
            await over.wait()

    async with (
        websocket_endpoint(play) as endpoint,
        metered(endpoint.url, tmp_path) as meter,
        connected(meter.client, meter.url) as client,
    ):
        sending = asyncio.get_running_loop().create_task(
            client.create(input=text if reads == "client" else "hi")
        )
        if reads == "endpoint":
            await begun.wait()
        while not any(c.forwarded for c in meter.proxy._server._upgrades.calls.values()):  # noqa: ASYNC110
            await asyncio.sleep(0)
        async with asyncio.timeout(20):
            await meter.proxy._server.stop(0.05)
        [end] = meter.ends()
        over.set()
        client.drop()
        await asyncio.gather(sending, return_exceptions=True)
    assert (end["end_reason"], end["error"]["type"]) == ("timeout", "proxy_stopped")
