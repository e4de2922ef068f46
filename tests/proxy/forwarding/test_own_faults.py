"""A fault of the proxy's own, at any moment of a call: it costs that call only, and leaves its row."""

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
from tests.tools.proxy import records
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
