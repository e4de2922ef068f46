"""The client's trace is in the records of its call, on a WebSocket too, and after a crash."""

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import aiohttp

from cab.scoring.exports.otel import span
from cab.scoring.ledger.reading import iter_calls
from tests.proxy.cli.test_main import running
from tests.proxy.cli.test_service import url_in
from tests.tools.client import post
from tests.tools.dialects import BY_ENDPOINT
from tests.tools.proxy import metered, records
from tests.tools.upstream import scripted_upstream
from tests.tools.websockets import Peer, connected, websocket_endpoint
from tests.tools.wires import DIRECT

WIRES = (DIRECT,)

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
CHAT = BY_ENDPOINT["chat.completions"]


def places(ledger: Path) -> list[tuple[str, str | None]]:
    """Return the trace of each call's span, and the span that it is below."""
    spans = [span(call) for call in iter_calls(ledger)]
    return [(each["traceId"], each.get("parentSpanId")) for each in spans]


async def test_each_response_on_a_websocket_is_below_the_span_of_its_connection(
    tmp_path: Path,
) -> None:
    """The header of the upgrade counts for all calls on the connection, and reaches the endpoint."""

    async def play(peer: Peer) -> None:
        for name in ("r", "s"):
            await peer.frame()
            await peer.answer(name)
        await peer.until_closed()

    async with (
        websocket_endpoint(play) as endpoint,
        metered(endpoint.url, tmp_path, cell="s/a/m/f/t") as meter,
        connected(meter.client, meter.url, headers={"traceparent": TRACEPARENT}) as client,
    ):
        for _ in range(2):
            await client.create()
            await client.until("response.completed")
        await client.ws.close()
        ends = await meter.settled(2)
        starts, ledger = meter.starts(), meter.proxy.ledger_dir
        found = places(ledger)
    assert [each["traceparent"] for each in (*starts, *ends)] == [TRACEPARENT] * 4
    assert found == [(TRACE, PARENT)] * 2
    assert endpoint.upgrades[0].headers["traceparent"] == TRACEPARENT


@contextmanager
def killed(url: str, folder: Path) -> Generator[tuple[str, Callable[[], object]]]:
    """Run a proxy, give its address and what kills it; at the end another one recovers its ledger."""
    with running("--upstream", url, cwd=folder) as (process, printed):

        def kill() -> None:
            process.kill()
            process.wait(30)

        yield url_in(printed), kill
    with running("--upstream", url, cwd=folder):
        pass


def check_crashed(folder: Path) -> None:
    """Check that the one call was ended by a recovery, and is in its client's trace."""
    [end] = records(folder / "cab-ledger")
    assert (end["end_reason"], end["traceparent"]) == ("crash", TRACEPARENT)
    assert places(folder / "cab-ledger") == [(TRACE, PARENT)]


async def test_a_call_that_a_crash_cut_is_below_its_client_s_span(tmp_path: Path) -> None:
    """The END that the next start writes says what its START says."""
    async with scripted_upstream([asyncio.Event()]) as upstream:
        with killed(upstream.url, tmp_path) as (url, kill):
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(call(url))
                await asyncio.wait_for(upstream.arrived.wait(), 60)
                kill()
    check_crashed(tmp_path)


async def call(url: str) -> None:
    await post(url, CHAT.path, CHAT.request, f"traceparent: {TRACEPARENT}")


async def test_a_response_that_a_crash_cut_is_below_its_client_s_span(tmp_path: Path) -> None:
    """The same of a call on a WebSocket."""
    asked = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.frame()
        asked.set()
        await peer.until_closed()

    headers = {"traceparent": TRACEPARENT}
    async with websocket_endpoint(play) as endpoint, aiohttp.ClientSession() as session:
        with killed(endpoint.url, tmp_path) as (url, kill):
            async with connected(session, url, headers=headers) as client:
                await client.create()
                await asyncio.wait_for(asked.wait(), 60)
                kill()
    check_crashed(tmp_path)
