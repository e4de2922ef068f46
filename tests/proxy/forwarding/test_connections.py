"""Connections to an endpoint that closes them: no call fails for it, and nothing is sent twice unseen."""

import asyncio
import contextlib
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from cab.proxy.config import ProxySettings, Route
from cab.proxy.forwarding.connections import STALE_LIMIT_S
from cab.proxy.forwarding.upstream import Upstream
from cab.proxy.http.headers import Headers
from cab.scoring.ledger.totals import CallTotals
from tests.tools.client import post
from tests.tools.proxy import Meter, chat_body, metered
from tests.tools.tap import strictly, tapped
from tests.tools.upstream import Fault, Script, ScriptedUpstream, json_answer, scripted_upstream

ANSWER = json_answer(
    {
        "model": "m",
        "choices": [{"index": 0, "message": {"content": "tea"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
    }
)
PATH = "/v1/chat/completions"
ROOT = Path(__file__).parents[3]


async def called(meter: Meter, **body: Any) -> int:
    """Make a call and return its status."""
    return (await post(meter.url, PATH, chat_body(**body))).status


async def later() -> None:
    """Wait for longer than a stale connection can take."""
    await asyncio.sleep(STALE_LIMIT_S * 1.5)


@pytest.mark.parametrize("idle", [[], ["--idle-s", "0.05"]], ids=["each stream", "idle"])
@pytest.mark.slow
def test_no_call_fails_where_the_endpoint_closes_its_connections(
    idle: list[str], tmp_path: Path
) -> None:
    """600 calls by 16 workers: the client sees 600 whole answers."""
    script = ROOT / "benchmarks/connections.py"
    ran = subprocess.run(
        [sys.executable, str(script), "--calls", "600", *idle],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "200: 600;" in ran.stdout, ran.stdout + ran.stderr


@pytest.mark.parametrize("fault", list(Fault))
async def test_a_call_on_a_stale_connection_goes_once_more(fault: Fault, tmp_path: Path) -> None:
    """It is counted apart, costs nothing, and leaves the cell's sum known."""
    async with (
        scripted_upstream([ANSWER], [fault], [ANSWER]) as endpoint,
        metered(endpoint.url, tmp_path) as meter,
    ):
        assert [await called(meter), await called(meter)] == [200, 200]
        first, second = await meter.settled(2)
    assert len(endpoint.received) == 3
    assert endpoint.received[1].body == endpoint.received[2].body
    assert (first["upstream_attempts"], first["stale_connections"]) == (1, 0)
    assert (second["upstream_attempts"], second["stale_connections"]) == (1, 1)
    totals = CallTotals()
    totals.add(first)
    totals.add(second)
    assert (totals.calls, totals.attempts, totals.tokens.total.value) == (2, 2, 8)


async def test_a_large_body_goes_whole_the_second_time(tmp_path: Path) -> None:
    """What is sent again is the whole request, also if it is sent from a file."""
    text = "x" * (3 << 20)
    async with (
        scripted_upstream([ANSWER], [Fault.CLOSE], [ANSWER]) as endpoint,
        metered(endpoint.url, tmp_path) as meter,
    ):
        assert await called(meter) == 200
        assert await called(meter, user=text) == 200
    assert endpoint.received[-1].json["user"] == text


@pytest.mark.parametrize(
    "fault", [[b"HTT", Fault.CLOSE], [later, Fault.CLOSE]], ids=["a byte", "late"]
)
async def test_what_the_model_may_have_seen_is_sent_once(fault: Script, tmp_path: Path) -> None:
    """A byte of an answer, or more than 100 ms: the endpoint may have read the request."""
    async with (
        scripted_upstream([ANSWER], fault, [ANSWER]) as endpoint,
        metered(endpoint.url, tmp_path) as meter,
    ):
        assert [await called(meter), await called(meter)] == [200, 502]
        end = (await meter.settled(2))[-1]
    assert len(endpoint.received) == 2
    assert (end["upstream_attempts"], end["stale_connections"]) == (1, 0)


@pytest.mark.parametrize("stale_before", [False, True])
async def test_nothing_is_sent_twice_on_a_new_connection(
    *, stale_before: bool, tmp_path: Path
) -> None:
    """Whether the first connection is new or the one after a stale one: its end is the call's end."""
    scripts: list[Script] = [[ANSWER]] if stale_before else []
    async with (
        scripted_upstream(*scripts, [Fault.CLOSE]) as endpoint,
        metered(endpoint.url, tmp_path) as meter,
    ):
        if stale_before:
            await called(meter)
        assert await called(meter) == 502
        end = (await meter.settled(len(scripts) + 1))[-1]
    assert len(endpoint.received) == (3 if stale_before else 1)
    assert end["stale_connections"] == int(stale_before)


async def test_the_newest_idle_connection_is_used_first(tmp_path: Path) -> None:
    """The endpoint closes the oldest one first, so that one is left alone."""
    first, second = asyncio.Event(), asyncio.Event()
    async with (
        scripted_upstream([first, ANSWER], [second, ANSWER], [ANSWER]) as endpoint,
        tapped(endpoint.url) as tap,
        metered(tap.url, tmp_path) as meter,
    ):
        async with asyncio.TaskGroup() as tasks:
            for _ in range(2):
                tasks.create_task(called(meter))
                await endpoint.arrived.wait()
                endpoint.arrived.clear()
            first.set()
            while len(meter.ends()) < 1:  # noqa: ASYNC110 - nothing tells when the record is there
                await asyncio.sleep(0.01)
            second.set()
        for _ in range(3):
            assert await called(meter) == 200
        await meter.settled(5)
    assert [len(strictly(bytes(sent))) for sent in tap.connections] == [1, 4]


async def test_an_idle_connection_is_looked_at_before_it_is_used() -> None:
    """A close that the event loop has not read yet is seen; the request goes on a new connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    answered = threading.Event()

    def serve() -> None:
        for close_at in (answered, None):
            peer, _ = listener.accept()
            peer.recv(1 << 16)
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            if close_at is not None:
                close_at.wait(20)
            peer.close()
            closed.set()

    closed = threading.Event()
    server = threading.Thread(target=serve)
    server.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    upstream = Upstream(Route(models=["*"], upstream=url), None, 20, 20)
    asked = "GET", "/v1/models", Headers(), b"", None
    assert (await upstream.send(*asked)).status == 200
    answered.set()
    closed.wait(20)  # blocks the event loop: it cannot read the end of the connection
    assert (await upstream.send(*asked)).status == 200
    await upstream.close()
    server.join(20)
    listener.close()


async def test_the_time_in_which_this_process_stood_still_does_not_count(tmp_path: Path) -> None:
    """A connection whose end could not be seen earlier ended at once."""

    async def block() -> None:
        await asyncio.sleep(0)
        time.sleep(STALE_LIMIT_S * 1.5)  # noqa: ASYNC251 - on purpose

    async with (
        scripted_upstream([ANSWER], [block, Fault.RESET], [ANSWER]) as endpoint,
        metered(endpoint.url, tmp_path) as meter,
    ):
        assert [await called(meter), await called(meter)] == [200, 200]
        end = (await meter.settled(2))[-1]
    assert end["stale_connections"] == 1


async def test_an_idle_connection_is_closed_in_time() -> None:
    """By default before the 5 s after which many servers close theirs."""
    assert ProxySettings(upstream="demo").keepalive_timeout_s < 5
    async with scripted_upstream([ANSWER]) as endpoint:
        upstream = Upstream(Route(models=["*"], upstream=endpoint.url), None, 20, 0.05)
        for _ in range(2):
            await (await upstream.send("POST", PATH, Headers(), b"{}", None)).read()
            assert len(endpoint.writers) == 1
            async with asyncio.timeout(20):
                while endpoint.writers:  # noqa: ASYNC110 - the endpoint has no event for it
                    await asyncio.sleep(0.01)
        await upstream.close()


@asynccontextmanager
async def connect_proxy() -> AsyncGenerator[str]:
    """Run an HTTP proxy that opens tunnels."""
    writers: list[asyncio.StreamWriter] = []

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        host, _, port = head.split()[1].decode().partition(":")
        up_reader, up_writer = await asyncio.open_connection(host, int(port))
        writers.extend((writer, up_writer))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(copy(reader, up_writer), copy(up_reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    for writer in writers:
        writer.close()


@pytest.mark.parametrize("tunnel", [False, True], ids=["direct", "tunnel"])
@pytest.mark.parametrize("fault", list(Fault))
async def test_the_same_with_tls(fault: Fault, tmp_path: Path, *, tunnel: bool) -> None:
    """Connections of a route with TLS are kept and resent on as others, also through an HTTP proxy."""
    authority = trustme.CA()
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(server_side)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    endpoint = ScriptedUpstream([[ANSWER], [ANSWER], [fault], [ANSWER]])
    server = await asyncio.start_server(endpoint.serve, "127.0.0.1", 0, ssl=server_side)
    async with server, connect_proxy() as squid:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        route = {"models": ["*"], "upstream": url, "ca_file": str(tmp_path / "ca.pem")}
        if tunnel:
            route["http_proxy"] = squid
        async with metered("http://127.0.0.1:9", tmp_path, routes=[route]) as meter:
            assert [await called(meter) for _ in range(3)] == [200, 200, 200]
            ends = await meter.settled(3)
    for writer in list(endpoint.writers):
        writer.close()
    assert [end["stale_connections"] for end in ends] == [0, 0, 1]
    assert len(endpoint.received) == 4


async def test_the_same_through_an_http_proxy(tmp_path: Path) -> None:
    """The connection that turned out stale is then the one to the HTTP proxy."""
    async with scripted_upstream([ANSWER], [Fault.CLOSE], [ANSWER]) as squid:
        route = {"models": ["*"], "upstream": "http://endpoint.invalid", "http_proxy": squid.url}
        async with metered("http://127.0.0.1:9", tmp_path, routes=[route]) as meter:
            assert [await called(meter), await called(meter)] == [200, 200]
            ends = await meter.settled(2)
    assert [end["stale_connections"] for end in ends] == [0, 1]


async def test_each_route_has_its_own_pool(tmp_path: Path) -> None:
    """What one endpoint closes says nothing of the connections to another."""
    async with (
        scripted_upstream([ANSWER]) as good,
        scripted_upstream([ANSWER], [Fault.RESET], [ANSWER]) as closing,
        metered(
            good.url, tmp_path, routes=[{"models": ["closing"], "upstream": closing.url}]
        ) as meter,
    ):
        for model in ("m", "closing", "m", "closing"):
            assert await called(meter, model=model) == 200
        ends = await meter.settled(4)
        assert len(good.writers) == 1
    assert [end["stale_connections"] for end in ends] == [0, 0, 0, 1]
