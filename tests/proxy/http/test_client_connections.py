"""Many, silent and slow clients on real sockets: what they may hold, and for how long."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from cab.proxy.http.client_connections import HttpServer
from tests.tools.client import post
from tests.tools.living import the_only
from tests.tools.process import proxy_process
from tests.tools.proxy import Meter, chat_body, metered, records
from tests.tools.raw import Line, connected, exchange, request
from tests.tools.upstream import Step, json_answer, scripted_upstream
from tests.tools.websockets import Peer, created, delta, ended, websocket_endpoint
from tests.tools.websockets import connected as websocket
from tests.tools.wires import AIOHTTP, DIRECT_ON_ASYNCIO

WIRES = (DIRECT_ON_ASYNCIO, AIOHTTP)

PATH = "/v1/chat/completions"
ADMIN = "admin-token-of-the-tests"
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
COMPLETION = {
    "id": "1",
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hey"}}],
    "usage": USAGE,
}
CALL = request(PATH, orjson.dumps(chat_body()))
PARTIAL_HEAD = CALL[:40]


@asynccontextmanager
async def proxied(folder: Path, *script: Step, **settings: Any) -> AsyncIterator[Meter]:
    script = script or (json_answer(COMPLETION),)
    async with (
        scripted_upstream(list(script)) as upstream,
        metered(upstream.url, folder, **settings) as meter,
    ):
        yield meter


async def called(line: Line) -> int:
    line.send(CALL)
    return (await line.answer()).status


async def turned(meter: Meter) -> None:
    """Return when the proxy's loop has been round: it has read what had come, and done what was due."""
    asked = request("/cab/health/live", None, "Connection: close", method="GET")
    assert (await exchange(meter.url, asked, "GET")).status == 200


def shift_time(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Have the event loop, and with it every time-out of the proxy, believe that so much time passed."""
    loop = asyncio.get_running_loop()
    earlier = loop.time
    monkeypatch.setattr(loop, "time", lambda: earlier() + seconds)


async def test_the_longest_idle_connection_is_closed_for_a_new_one(tmp_path: Path) -> None:
    """Of kept connections the one goes first that has been idle longest, whichever was opened first."""
    async with proxied(tmp_path, max_connections=3) as meter, AsyncExitStack() as lines:
        first, second, third = [
            await lines.enter_async_context(connected(meter.url)) for _ in "123"
        ]
        for line in (first, second, third, first):
            assert await called(line) == 200
        async with connected(meter.url) as new:
            assert await called(new) == 200
            assert await second.rest() == b""
            for line in (first, third, new):
                assert await called(line) == 200
        await meter.settled(8)


async def test_a_busy_connection_is_never_closed_for_another(tmp_path: Path) -> None:
    """Where all are busy a new connection is told so, and its client may try again."""
    go_on = asyncio.Event()
    async with proxied(tmp_path, go_on, json_answer(COMPLETION), max_connections=2) as meter:
        async with connected(meter.url) as busy, connected(meter.url) as other:
            busy.send(CALL)
            other.send(CALL)
            while len(meter.starts()) < 2:  # noqa: ASYNC110 - nothing tells a test when they are there
                await asyncio.sleep(0)
            async with connected(meter.url) as refused:
                answer = await refused.answer()
                assert await refused.rest() == b""
            go_on.set()
            assert (await busy.answer()).status == (await other.answer()).status == 200
        assert answer.status == 503
        assert orjson.loads(answer.body)["error"]["code"] == "connections_full"
        assert answer.header("Connection") == "close"
        assert answer.header("x-should-retry") is None
        await meter.settled(2)


async def test_a_call_keeps_its_place_when_its_client_leaves(tmp_path: Path) -> None:
    """A call that is read on for its usage holds a connection to the endpoint, and counts."""
    go_on = asyncio.Event()
    async with proxied(tmp_path, go_on, json_answer(COMPLETION), max_connections=1) as meter:
        async with connected(meter.url) as leaving:
            leaving.send(CALL)
            while not meter.starts():  # noqa: ASYNC110
                await asyncio.sleep(0)
        await meter.noticed()
        async with connected(meter.url) as refused:
            assert (await refused.answer()).status == 503
        go_on.set()
        await meter.settled(1)
        async with connected(meter.url) as line:
            assert await called(line) == 200


@pytest.mark.parametrize("apart", [False, True], ids=["agents", "control"])
@pytest.mark.parametrize("sent", [b"", PARTIAL_HEAD], ids=["silent", "partial"])
async def test_a_head_that_does_not_come_is_given_up(
    tmp_path: Path, sent: bytes, *, apart: bool
) -> None:
    """Who sends no whole head loses the connection; one that is kept between calls stays."""
    where: dict[str, Any] = {"control_port": 0} if apart else {}
    async with proxied(tmp_path, head_timeout_s=0.2, **where) as meter:
        url = meter.proxy.control_url
        asked = request("/cab/health/live", None, method="GET")
        async with connected(url) as kept, connected(url) as line:
            kept.send(asked)
            assert (await kept.answer("GET")).status == 200
            line.send(sent)
            ended = await line.rest()
            assert ended.startswith(b"HTTP/1.1 408 ") == bool(sent)
            kept.send(asked)
            assert (await kept.answer("GET")).status == 200
            kept.send(PARTIAL_HEAD)  # the head of a later request is timed as the first one is
            assert b" 408 " in await kept.rest()


@pytest.mark.asyncio(loop_factories=[DIRECT_ON_ASYNCIO.name])
async def test_a_head_that_is_here_is_read_however_long_the_proxy_stood_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a standstill the time of a head may run out before the proxy has read what came long ago."""
    async with proxied(tmp_path) as meter, connected(meter.url) as line:
        await turned(meter)
        server = the_only(HttpServer, lambda server: server._partial)
        line.send(CALL)
        shift_time(monkeypatch, 3000)
        server._look_at_partial()
        assert (await line.answer()).status == 200


async def test_a_kept_connection_outlives_a_pause_of_its_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent that thinks for an hour finds its connection open."""
    async with proxied(tmp_path) as meter, connected(meter.url) as line:
        for pause_s in (0, 61, 121, 3600):
            shift_time(monkeypatch, pause_s)
            await turned(meter)
            assert await called(line) == 200
            await turned(meter)
        shift_time(monkeypatch, 3700)
        assert await line.rest() == b""


@pytest.mark.parametrize("target", [PATH, "/cab/keys"])
async def test_a_body_that_drips_is_given_up(tmp_path: Path, target: str) -> None:
    """Byte by byte is no progress: 408, and the connection is closed; nothing was a call."""
    limits = {"body_progress_timeout_s": 0.3, "admin_token": ADMIN}
    async with proxied(tmp_path, **limits) as meter, connected(meter.url) as line:
        line.send(request(target, None, "Content-Length: 5000", f"Authorization: Bearer {ADMIN}"))
        async with asyncio.TaskGroup() as tasks:
            answering = tasks.create_task(line.answer())
            while not answering.done():
                line.send(b" ")
                await asyncio.wait([answering], timeout=0.01)
        answer = answering.result()
        assert answer.status == 408
        assert orjson.loads(answer.body)["error"]["code"] == "request_timeout"
        assert answer.header("Connection") == "close"
        assert await line.rest() == b""
        assert meter.starts() == []


async def test_a_slow_body_that_comes_on_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no limit to a whole body's time as long as each part of it comes."""
    body = orjson.dumps(chat_body(padding="x" * 10_000))
    async with proxied(tmp_path) as meter, connected(meter.url) as line:
        line.send(request(PATH, body)[: -len(body)])
        for start in range(0, len(body), 2048):
            line.send(body[start : start + 2048])
            await turned(meter)
            shift_time(monkeypatch, 40)
        assert (await line.answer()).status == 200


@pytest.mark.asyncio(loop_factories=[DIRECT_ON_ASYNCIO.name])  # a process of its own
async def test_idle_connections_do_not_exhaust_the_descriptors(tmp_path: Path) -> None:
    """Hundreds of silent clients cost a proxy with 256 descriptors no call, no record, and no long log."""
    log = tmp_path / "log"
    flags = "--log-level", "warning", "--log-format", "json"
    with log.open("wb") as errors:
        limits: dict[str, Any] = {"open_files": 256, "stderr": errors.fileno()}
        async with (
            scripted_upstream([json_answer(COMPLETION)]) as upstream,
            proxy_process(upstream.url, tmp_path, *flags, **limits) as proxy,
            AsyncExitStack() as lines,
        ):
            for number in range(374):
                line = await lines.enter_async_context(connected(proxy.url))
                line.send(PARTIAL_HEAD if number % 2 else b"")
            for _ in range(20):
                assert (await post(proxy.url, PATH, chat_body())).status == 200
            together = [post(proxy.url, PATH, chat_body()) for _ in range(30)]
            assert [each.status for each in await asyncio.gather(*together)] == [200] * 30
            assert len(records(tmp_path / "ledger")) == 50
    events = [orjson.loads(line)["event"] for line in log.read_text().splitlines()]
    assert set(events) == {"auth_is_open", "connections_full"}
    assert log.stat().st_size < 10_000


async def test_an_open_websocket_is_busy(tmp_path: Path) -> None:
    """It is never closed for another connection, however long no response was asked for on it."""

    async def play(peer: Peer) -> None:
        await peer.frame()
        await peer.send(created("r"), delta(), ended("r"))
        await peer.until_closed()

    async with (
        websocket_endpoint(play) as endpoint,
        metered(endpoint.url, tmp_path, max_connections=1) as meter,
        websocket(meter.client, meter.url) as client,
    ):
        async with connected(meter.url) as refused:
            assert (await refused.answer()).status == 503
        await client.create()
        events = [await client.event() for _ in range(3)]
        await client.ws.close()
    assert events[-1]["type"] == "response.completed"
