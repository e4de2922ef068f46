"""The proxy's ledger against the demo's account over WebSockets: in every fault mode, and with many lanes."""

import asyncio
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from cab.proxy.demo import Demo, WebSocketFault
from cab.proxy.demo.fault_modes import NAMES, read_fault_mode
from tests.proxy.demo.test_ledger_agrees import OUTCOMES
from tests.tools.responses_socket import responses_socket
from tests.tools.sdk import demo_behind

ATTEMPTS = 3
CONNECTIONS, LANES, TURNS = 3, 5, 4


async def try_create(url: str) -> None:
    """Ask for a response on a connection of its own, as a client would that ignores failures."""
    async with responses_socket(url) as socket:
        await socket.create()
        try:
            await socket.ended()
        except ConnectionClosed:
            return


def entries(demo: Demo) -> list[tuple[str | None, int | None, int | None]]:
    """Return what the account has of each call."""
    rows = demo.account()["by_call"]
    return [(e["id"], e["prompt_tokens"], e["completion_tokens"]) for e in rows]


@pytest.mark.parametrize("name", NAMES)
async def test_every_attempt_is_in_ledger_and_account(name: str, tmp_path: Path) -> None:
    """Each attempt has its status and end in the ledger as in the account, and the numbers agree."""
    async with demo_behind(tmp_path) as (demo, meter):
        demo.set_fault_mode(read_fault_mode(name, pause_s=0.001))
        for _ in range(ATTEMPTS):
            await try_create(meter.url)
        rows = await meter.settled(ATTEMPTS)
        account = demo.account()["by_call"]
    assert [row["status"] for row in rows] == [entry["status"] for entry in account]
    assert [row["end_reason"] for row in rows] == [OUTCOMES[entry["outcome"]] for entry in account]
    served = [entry for entry in account if entry["outcome"] == "served"]
    assert [
        (row["upstream_id"], row["prompt_tokens"], row["completion_tokens"])
        for row in rows
        if row["end_reason"] == "completed"
    ] == [(each["id"], each["prompt_tokens"], each["completion_tokens"]) for each in served]


async def test_usage_that_comes_late_or_of_a_failure(tmp_path: Path) -> None:
    """Usage in a later `response.done`, and that of a failed response, is the ledger's all the same."""
    async with demo_behind(tmp_path) as (demo, meter):
        demo.set_websocket_faults(
            WebSocketFault("late_usage", calls=1), WebSocketFault("failed", calls=1)
        )
        async with responses_socket(meter.url) as socket:
            await socket.answer()
            await socket.until("response.done")
            await socket.answer()
        rows = await meter.settled(2)
        account = entries(demo)
    figures = [(r["upstream_id"], r["prompt_tokens"], r["completion_tokens"]) for r in rows]
    assert figures == account


@pytest.mark.parametrize("name", ["binary", "not_json", "huge", "ping"])
async def test_messages_that_are_no_events(name: str, tmp_path: Path) -> None:
    """What is between the events changes nothing in the account that is kept here."""
    async with demo_behind(tmp_path) as (demo, meter):
        demo.set_websocket_faults(WebSocketFault(name, 5 << 20))  # type: ignore[arg-type]
        async with responses_socket(meter.url) as socket:
            await socket.create()
            await socket.created()
            if name != "ping":
                await socket.line.recv()
            await socket.ended()
        [row] = await meter.settled(1)
        account = entries(demo)
    assert [(row["upstream_id"], row["prompt_tokens"], row["completion_tokens"])] == account


async def test_many_lanes_of_many_connections(tmp_path: Path) -> None:
    """Conversations on lanes of several connections at once: each row is an entry, and none is missing."""

    async def talk(url: str, connection: int) -> None:
        async with responses_socket(url) as socket:
            for lane in range(LANES):
                await socket.create(f"{connection} {lane}", stream_id=str(lane))
            for _ in range(LANES * TURNS):
                end = await socket.ended()
                turn, lane_name = end["response"]["id"], end["stream_id"]
                await socket.create(
                    f"on {lane_name}", stream_id=lane_name, previous_response_id=turn
                )
            for _ in range(LANES):
                await socket.ended()

    async with demo_behind(tmp_path) as (demo, meter):
        async with asyncio.TaskGroup() as tasks:
            for connection in range(CONNECTIONS):
                tasks.create_task(talk(meter.url, connection))
        rows = await meter.settled(CONNECTIONS * LANES * (TURNS + 1))
        account = entries(demo)
    figures = [(r["upstream_id"], r["prompt_tokens"], r["completion_tokens"]) for r in rows]
    assert sorted(figures) == sorted(account)
    assert len({row["connection_id"] for row in rows}) == CONNECTIONS
