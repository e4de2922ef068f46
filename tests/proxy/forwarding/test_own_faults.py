"""A fault of the proxy's own, at any moment of a call: it costs that call only, and leaves its row."""

import asyncio
import itertools
import time
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from cab.proxy.app import running_proxy
from cab.proxy.clock import Clock
from cab.proxy.config import ProxySettings
from cab.proxy.logs import LogEvent
from tests.tools.dialects import BY_ENDPOINT
from tests.tools.proxy import metered, records
from tests.tools.raw import Answer, connected, request
from tests.tools.sdk import answered
from tests.tools.upstream import scripted_upstream

CHAT = BY_ENDPOINT["chat.completions"]


class Broken(Exception):
    """Nobody expects it."""


def breaking_once(at: int, armed: list[bool]) -> Callable[[], int]:
    """Return a clock that fails once, when it is read for that many times after being armed."""
    reads = itertools.count(1)

    def now_ns() -> int:
        if armed and next(reads) == at:
            raise Broken
        return time.monotonic_ns()

    return now_ns


async def asked(url: str, *, stream: bool) -> Answer | None:
    async with connected(url) as line:
        line.send(request(CHAT.path, orjson.dumps(CHAT.body(stream=stream))))
        try:
            return await line.answer()
        except EOFError:
            return None


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("at", range(1, 16))
async def test_a_fault_costs_one_call_only(
    at: int, stream: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whenever the clock breaks, each START has its END, no broken answer looks whole, the next is good."""
    armed: list[bool] = []
    clock = Clock(mono_ns=breaking_once(at, armed))
    async with scripted_upstream(answered(CHAT, stream=stream)) as upstream:
        settings = ProxySettings(
            upstream=upstream.url, port=0, ledger=tmp_path / "ledger", cell="s/a/m/f/t"
        )
        async with running_proxy(settings, clock=clock) as proxy:
            armed.append(True)
            first = await asked(proxy.url, stream=stream)
            armed.clear()
            second = await asked(proxy.url, stream=stream)
            assert await proxy.quiet(20)
    logged = {line.msg.name for line in caplog.records if isinstance(line.msg, LogEvent)}
    ends, starts = records(tmp_path / "ledger"), records(tmp_path / "ledger", "start")
    assert [end["call_id"] for end in ends] == [start["call_id"] for start in starts]
    assert second is not None
    assert (second.status, second.complete) == (200, True)
    assert ends[-1]["end_reason"] == "completed"
    assert "call_lost" not in logged
    if len(ends) == 2 and not (first and first.status == 200 and first.complete):
        # A fault behind the END record does not change what the record says.
        assert ends[0]["end_reason"] in {"crash", "completed"}
        assert "call_failed" in logged
    if first and len(ends) == 2:
        assert ends[0]["status"] == first.status
    if first and first.status == 200 and first.complete:
        assert ends[0]["end_reason"] == "completed"


@pytest.mark.parametrize("at", [1, 3, 6, 7])
async def test_a_fault_in_the_next_request_is_not_the_last_calls(at: int, tmp_path: Path) -> None:
    """Whichever of two requests sent at once meets the fault, each call ends once, and its connection answers or
    ends."""
    armed: list[bool] = []
    clock = Clock(mono_ns=breaking_once(at, armed))
    async with (
        scripted_upstream(answered(CHAT, stream=False)) as upstream,
        metered(upstream.url, tmp_path, clock=clock) as meter,
        connected(meter.url) as line,
    ):
        armed.append(True)
        ask = request(CHAT.path, orjson.dumps(CHAT.body(stream=False)))
        line.send(ask * 2 + request("/x", None, "Connection: close", method="GET"))
        await line.rest()
        assert await meter.proxy.quiet(5)
        starts, ends = meter.starts(), meter.ends()
        pool = meter.proxy._server._services.upstreams.default.pool
        assert not (pool and pool._busy)
    made = [end["call_id"] for end in ends if end["endpoint"] != "other"]
    ids = [start["call_id"] for start in starts if start["endpoint"] != "other"]
    assert made == ids


@pytest.mark.parametrize("at", [4, 5])
async def test_a_fault_lets_go_of_the_endpoint(at: int, tmp_path: Path) -> None:
    """The endpoint does not go on working for a call that has ended."""
    armed: list[bool] = []
    clock = Clock(mono_ns=breaking_once(at, armed))
    begin = answered(CHAT, stream=True)[:3]
    async with (
        asyncio.timeout(5),
        scripted_upstream([*begin, asyncio.Event()]) as upstream,
        metered(upstream.url, tmp_path, clock=clock) as meter,
        connected(meter.url) as line,
    ):
        armed.append(True)
        line.send(request(CHAT.path, orjson.dumps(CHAT.body(stream=True))))
        await upstream.arrived.wait()
        await upstream.received[0].hung_up.wait()
        [end] = await meter.settled(1)
    assert end["end_reason"] == "crash"
