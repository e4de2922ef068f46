"""The npm `openai` package over a WebSocket: what it is told is what the ledger and the endpoint hold."""

from pathlib import Path
from typing import Any

from cab.proxy.demo import WebSocketFault
from tests.tools.node import run
from tests.tools.sdk import assert_account_agrees, demo_behind

SCRIPT = "socket.mjs"


def figures(told: list[dict[str, Any]]) -> list[tuple[str, int, int]]:
    """Return ids and counts of what the package was told."""
    usages = [(each["id"], each["usage"]) for each in told]
    return [(name, usage["input_tokens"], usage["output_tokens"]) for name, usage in usages]


async def test_a_conversation_that_forks(node: str, tmp_path: Path) -> None:
    """A response, and another lane's that builds on it: two rows with the counts that node was told."""
    async with demo_behind(tmp_path) as (demo, meter):
        [told] = await run(node, meter, "fork", script=SCRIPT)
        rows = await meter.settled(2)
    assert_account_agrees(demo, rows)
    assert figures(told) == [
        (row["upstream_id"], row["prompt_tokens"], row["completion_tokens"]) for row in rows
    ]
    assert [row["stream_id"] for row in rows] == [None, "fork"]


async def test_steering(node: str, tmp_path: Path) -> None:
    """A response that node steers, and the one that follows by itself, are two rows."""
    async with demo_behind(tmp_path) as (demo, meter):
        demo.set_websocket_faults(WebSocketFault("hold", calls=1))
        [told] = await run(node, meter, "steer", script=SCRIPT)
        rows = await meter.settled(2)
    assert_account_agrees(demo, rows)
    assert [name for name, *_ in figures(told)] == [row["upstream_id"] for row in rows]
    assert rows[1]["steered_from"] == rows[0]["call_id"]


async def test_an_endpoint_without_websockets(node: str, tmp_path: Path) -> None:
    """Node is told 426, and nothing is written."""
    async with demo_behind(tmp_path) as (demo, meter):
        demo.set_websocket_faults(WebSocketFault("upgrade_status", 404))
        [told] = await run(node, meter, "fork", script=SCRIPT)
        await meter.settled(0)
    assert "426" in told["error"]
