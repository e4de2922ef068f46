"""What happens to a call while its START or its END is on its way to a slow disk."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import orjson
import pytest

from cab.proxy.ledger.ledger import Ledger
from cab.proxy.logs import LogEvent
from tests.tools.dialects import BY_ENDPOINT
from tests.tools.proxy import metered
from tests.tools.raw import connected, request
from tests.tools.sdk import answered
from tests.tools.upstream import LAST_CHUNK, Step, chunk, scripted_upstream

CHAT = BY_ENDPOINT["chat.completions"]
STREAM = request(CHAT.path, orjson.dumps(CHAT.body(stream=True)))
LATE = chunk(b": %b\n" % (b"x" * (1 << 20)))
LATE_CHUNKS = 32
"""More than the kernel keeps for a loopback connection."""


class Disk:
    """Syncs as soon as it may."""

    def __init__(self) -> None:
        self._may_sync = threading.Event()
        self._may_sync.set()
        self._is_asked = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.before: Callable[[], None] = lambda: None

    def sync(self, descriptor: int) -> None:
        self._loop.call_soon_threadsafe(self._is_asked.set)
        self.before()
        assert self._may_sync.wait(20)
        os.fdatasync(descriptor)

    def hold(self) -> None:
        """Have nothing more on disk for now; nothing may be on its way."""
        self._may_sync.clear()
        self._is_asked.clear()

    async def holds(self) -> None:
        """Return once something is on its way."""
        async with asyncio.timeout(20):
            await self._is_asked.wait()

    def go_on(self) -> None:
        self._may_sync.set()


@pytest.fixture
async def disk(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Disk]:
    slow = Disk()
    monkeypatch.setattr("cab.proxy.app.Ledger", partial(Ledger, sync=slow.sync))
    yield slow
    slow.go_on()


def parts() -> tuple[list[Step], bytes]:
    """Return a streamed answer up to its last event, and that."""
    *begin, last = answered(CHAT, stream=True)[:-1]
    assert isinstance(last, bytes)
    return begin, last


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - nothing tells a test
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("at_end", [False, True], ids=["START", "END"])
async def test_a_stop_ends_a_call_whose_record_is_on_its_way(
    at_end: bool, disk: Disk, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No call is waited for beyond the grace time, but for the disk."""
    never, go = asyncio.Event(), asyncio.Event()
    begin, last = parts()

    def given_up() -> bool:
        events = [line.msg.name for line in caplog.records if isinstance(line.msg, LogEvent)]
        return "calls_given_up" in events

    async with (
        scripted_upstream([*begin, go, last, never] if at_end else [never]) as upstream,
        metered(upstream.url, tmp_path, start_sync="before_forward") as meter,
        connected(meter.url) as line,
    ):
        if not at_end:
            disk.hold()
        line.send(STREAM)
        if at_end:
            await line.reader.readuntil(b"\r\n\r\n")
            disk.hold()
            go.set()
        await disk.holds()
        async with asyncio.timeout(5), asyncio.TaskGroup() as stopping:
            stopping.create_task(meter.proxy._server.stop(0))
            await until(given_up)
            disk.go_on()
        [end] = meter.ends()
    assert end["end_reason"] == ("completed" if at_end else "timeout")


async def test_what_comes_behind_the_end_is_not_piled_up(disk: Disk, tmp_path: Path) -> None:
    """While END is on its way, the endpoint is not read without bounds; then all of it passes."""
    go, sent = asyncio.Event(), threading.Event()
    was_sent: list[bool] = []
    begin, last = parts()

    async def all_sent() -> None:
        sent.set()

    script: list[Step] = [*begin, go, last, *[LATE] * LATE_CHUNKS, all_sent, LAST_CHUNK]
    async with (
        scripted_upstream(script) as upstream,
        metered(upstream.url, tmp_path) as meter,
        connected(meter.url) as line,
    ):
        line.send(STREAM)
        head = await line.reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in head
        disk.before = lambda: was_sent.append(sent.wait(0.3))
        go.set()
        body, seen = b"", 0
        async with asyncio.timeout(20):
            while not body.endswith(b"\r\n0\r\n\r\n"):
                piece = await line.reader.read(1 << 20)
                assert piece
                seen += len(piece)
                body = body[-16:] + piece
        assert was_sent == [False]
        assert seen > len(LATE) * LATE_CHUNKS
        await meter.settled(1)


async def test_a_client_that_leaves_before_it_saw_the_end_may_ask_again(
    disk: Disk, tmp_path: Path
) -> None:
    """A repetition is a retry also if the END of the first call is on its way to the disk by then."""
    go = asyncio.Event()
    begin, last = parts()
    async with (
        scripted_upstream([*begin, go, last, LAST_CHUNK]) as upstream,
        metered(upstream.url, tmp_path) as meter,
    ):
        async with connected(meter.url) as line:
            line.send(STREAM)
            await line.reader.readuntil(b"\r\n\r\n")
            disk.hold()
            go.set()
            await disk.holds()
        await meter.noticed()
        async with connected(meter.url) as line:
            line.send(STREAM)
            await until(lambda: meter.proxy._server.open_calls() == 2)
            disk.go_on()
            await line.reader.readuntil(b"\r\n0\r\n\r\n")
        ends = await meter.settled(2)
    assert [end["attempt"] for end in ends] == [1, 2]


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.0 200 OK", b"HTTP/1.1 200 OK\r\nUpgrade: h2c", b"HTTP/1.1 103\r\n\r\nHTTP/1.1 200"],
)
async def test_an_odd_answer_that_comes_before_its_start_is_on_disk_comes_whole(
    head: bytes, disk: Disk, tmp_path: Path
) -> None:
    async def some_turns() -> None:
        for _ in range(20):  # nothing tells a test what the proxy has read
            await asyncio.sleep(0)

    async def go_on() -> None:
        disk.go_on()

    *begin, rest = answered(CHAT, stream=True)[1:]
    kind = b"\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    script = [head + kind, some_turns, *begin, some_turns, go_on, rest]
    async with (
        scripted_upstream(script) as upstream,
        metered(upstream.url, tmp_path) as meter,
        connected(meter.url) as line,
    ):
        disk.hold()
        line.send(STREAM)
        async with asyncio.timeout(20):
            await line.reader.readuntil(b"\r\n0\r\n\r\n")
        [end] = await meter.settled(1)
    assert (end["end_reason"], end["usage_status"]) == ("completed", "complete")
