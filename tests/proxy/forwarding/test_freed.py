"""A call that is over leaves no circle of references behind: its memory is free without the garbage collector."""

import asyncio
import gc
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cab.proxy.accounting.limits import KeyLimits
from cab.proxy.forwarding.exchange import Exchange
from cab.proxy.forwarding.ordinary.call import OrdinaryExchange
from cab.proxy.forwarding.ordinary.handover import Handover
from tests.tools.client import post
from tests.tools.dialects import BY_ENDPOINT
from tests.tools.proxy import Meter, metered
from tests.tools.upstream import Fault, Script, json_answer, scripted_upstream

CHAT = BY_ENDPOINT["chat.completions"]
WHOLE = json_answer(CHAT.answer)
FAILURES: dict[str, tuple[Script, int]] = {
    "an error": ([json_answer({"error": {"message": "no"}}, "500 Oops")], 500),
    "no answer": ([Fault.RESET], 502),
    "not HTTP": ([b"nonsense\r\n\r\n"], 502),
    "another address": ([json_answer(b"", "302 Found", "Location: http://elsewhere/")], 502),
    "too late": ([asyncio.Event()], 504),
    "cut": ([WHOLE[:-5], Fault.CLOSE], 200),
}
"""What the endpoint does -> what the client sees."""


@contextmanager
def no_collector() -> Generator[None]:
    """Run without the garbage collector."""
    gc.collect()
    gc.freeze()  # what is here already is not looked at again
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def calls() -> set[int]:
    """Return which calls there are in memory."""
    # Classes are compared: isinstance also asks weak references.
    return {id(o) for o in gc.get_objects() if type(o) in (Exchange, OrdinaryExchange, Handover)}


async def freed(meter: Meter, before: set[int]) -> None:
    """Wait until no call is in memory that was not there before."""
    assert await meter.proxy.quiet(20)
    async with asyncio.timeout(10):
        # Nothing tells when the loop has let go of the last callback of a call.
        while calls() - before:  # noqa: ASYNC110
            await asyncio.sleep(0)


async def ask(meter: Meter, *headers: str) -> int | None:
    return (await post(meter.url, CHAT.path, CHAT.request, *headers)).status


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_call_that_its_endpoint_failed(failure: str, tmp_path: Path) -> None:
    """Whatever the endpoint does."""
    script, status = FAILURES[failure]
    limit = 0.1 if failure == "too late" else 60
    async with (
        scripted_upstream(script) as upstream,
        metered(upstream.url, tmp_path, headers_timeout_s=limit) as meter,
    ):
        with no_collector():
            before = calls()
            assert {await ask(meter) for _ in range(3)} == {status}
            await freed(meter, before)


async def test_a_call_that_found_no_endpoint(tmp_path: Path) -> None:
    """Nobody listens there."""
    async with metered("http://127.0.0.1:9", tmp_path) as meter:
        with no_collector():
            before = calls()
            assert {await ask(meter) for _ in range(3)} == {502}
            await freed(meter, before)


async def test_a_call_that_its_cell_refused(tmp_path: Path) -> None:
    """Its key allows none any more."""
    async with (
        scripted_upstream([WHOLE]) as upstream,
        metered(upstream.url, tmp_path, auth="keys") as meter,
    ):
        key = f"Authorization: Bearer {meter.proxy.mint_key('s/a/m/f/t', 600, KeyLimits(max_calls=1))}"
        assert await ask(meter, key) == 200
        with no_collector():
            before = calls()
            assert {await ask(meter, key) for _ in range(3)} == {400}
            await freed(meter, before)


async def test_a_call_whose_client_has_gone(tmp_path: Path) -> None:
    """Its answer is read on without it."""
    release = asyncio.Event()
    async with (
        scripted_upstream([WHOLE[:-5], release, WHOLE[-5:]]) as upstream,
        metered(upstream.url, tmp_path) as meter,
    ):
        with no_collector():
            before = calls()
            await post(meter.url, CHAT.path, CHAT.request, leave=lambda _: True)
            await meter.noticed()
            release.set()
            await freed(meter, before)
    [end] = meter.ends()
    assert end["end_reason"] == "client_gone"


async def test_a_call_that_the_ledger_refused(tmp_path: Path) -> None:
    """The disk counts as full."""
    async with (
        scripted_upstream([WHOLE]) as upstream,
        metered(upstream.url, tmp_path, min_free_bytes=1 << 62) as meter,
    ):
        with no_collector():
            before = calls()
            assert {await ask(meter) for _ in range(3)} == {503}
            await freed(meter, before)
