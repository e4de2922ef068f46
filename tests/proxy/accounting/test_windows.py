"""Limits of a minute, a day and a month: where windows begin and end, by a clock that the test sets."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from cab.proxy.accounting.admission import AdmissionRequest, CellRegistry, LocalCellRegistry
from cab.proxy.accounting.cell_state import CellStates
from cab.proxy.accounting.limits import KeyLimits
from cab.proxy.accounting.shared_memory import SharedMemory
from cab.proxy.accounting.windows import WindowSums, next_begin
from cab.proxy.errors import Rejected
from cab.proxy.ledger.snapshot.rows import CellRow
from cab.proxy.workers.ipc_client import RemoteCellRegistry
from cab.proxy.workers.ipc_server import CellRegistryServer
from cab.proxy.workers.worker_slot import WorkerSlot
from cab.scoring.timestamps import instant_us

CELL = "s/aider/m/f/t"
EVE = "2026-12-31T23:59:59.999999Z"


class Wall:
    """A clock that stands until it is set."""

    def __init__(self, text: str) -> None:
        self.set(text)

    def set(self, text: str) -> None:
        self.now_ns = instant_us(text) * 1000

    def __call__(self) -> int:
        return self.now_ns


def end(tokens: int = 10, **fields: Any) -> dict[str, Any]:
    base = {"endpoint": "chat.completions", "end_reason": "completed", "status": 200}
    counted = {"prompt_tokens": tokens, "completion_tokens": 0, "usage_source": "upstream"}
    return {**base, **counted, "request_hash": None, **fields}


class Calls:
    """Calls of one cell with a key of some limits."""

    def __init__(self, registry: CellRegistry, **limits: Any) -> None:
        self.registry, self.limits, self.number = registry, KeyLimits(**limits), 0

    async def begin(self) -> str:
        self.number += 1
        call_id = f"{self.number:04d}"
        await self.registry.admit(AdmissionRequest(CELL, call_id, limits=self.limits))
        return call_id

    async def made(self, **fields: Any) -> None:
        await self.registry.finish(CELL, await self.begin(), end(**fields))

    async def refused(self) -> Rejected:
        with pytest.raises(Rejected) as refused:
            await self.begin()
        await self.registry.finish(CELL, f"{self.number:04d}", None)
        return refused.value


@asynccontextmanager
async def workers(
    local: LocalCellRegistry, folder: Path, memory: SharedMemory, count: int, wall: Wall
) -> AsyncGenerator[list[RemoteCellRegistry]]:
    """Give the registry as so many workers see it."""
    server = CellRegistryServer(local, [WorkerSlot(n) for n in range(count)], {}, memory)
    async with server.listening(folder / "registry"), asyncio.TaskGroup() as tasks:
        found = []
        for number in range(count):
            registry = await RemoteCellRegistry.connect(folder / "registry", memory, wall_ns=wall)
            tasks.create_task(registry.listen())
            await registry.request("configuration", number)
            found.append(registry)
        yield found
        for registry in found:
            await registry.close()


SPENT: tuple[tuple[str, dict[str, Any], Any, str], ...] = (
    ("max_calls", {}, 2, "2 calls"),
    ("max_tokens", {"tokens": 10}, 20, "20 tokens"),
    ("max_cost_usd", {"cost_usd": "0.5"}, Decimal(1), "1 US dollars"),
)


@pytest.mark.parametrize(("name", "call", "most", "words"), SPENT)
@pytest.mark.parametrize(
    ("period", "first", "last", "fresh"),
    [
        ("day", "2026-12-01T00:00:00Z", "2026-12-01T23:59:59.999999Z", "2026-12-02T00:00:00Z"),
        ("month", "2026-12-01T00:00:00Z", EVE, "2027-01-01T00:00:00Z"),
    ],
)
async def test_a_day_and_a_month_end_at_midnight_utc(
    name: str, call: dict[str, Any], most: Any, words: str, period: str, first: str, last: str, fresh: str
) -> None:  # fmt: skip
    """To the last microsecond a limit that is reached refuses at once; then it is fresh, and a clock that
    is set back makes no other window fresh."""
    wall = Wall(first)
    calls = Calls(LocalCellRegistry(CellStates(wall_ns=wall), 20), **{f"{name}_per_{period}": most})
    await calls.made(**call)
    await calls.made(**call)
    wall.set(last)
    error = await calls.refused()
    assert (error.code, error.retry_after_s) == ("cab_limit_reached", None)
    assert f"its limit of {words} per {period} ({name}_per_{period})" in str(error)
    assert f"the next {period} begins at {fresh}" in str(error)
    wall.set(fresh)
    await calls.made(**call)
    wall.set(last)
    await calls.made(**call)
    error = await calls.refused()
    assert error.code == "cab_limit_reached"
    later = {"day": "2026-12-03", "month": "2027-02-01"}[period]
    assert f"the next {period} begins at {later}T00:00:00Z" in str(error)


@pytest.mark.parametrize(("name", "call", "most", "words"), SPENT)
async def test_a_minute_waits_and_then_says_when(
    name: str, call: dict[str, Any], most: Any, words: str
) -> None:
    """Without time to wait it is a refusal that says in how many seconds, rounded up, the next minute begins."""
    wall = Wall("2026-12-01T10:00:00Z")
    calls = Calls(LocalCellRegistry(CellStates(wall_ns=wall), 0), **{f"{name}_per_minute": most})
    await calls.made(**call)
    await calls.made(**call)
    error = await calls.refused()
    assert (error.code, error.retry_after_s) == ("cab_rate_limited", 60)
    assert f"{words} per minute ({name}_per_minute)" in str(error)
    wall.set("2026-12-01T10:00:57.999999Z")
    assert (await calls.refused()).retry_after_s == 3
    wall.set("2026-12-01T10:00:59.999999Z")
    assert (await calls.refused()).retry_after_s == 1
    wall.set("2026-12-01T10:01:00Z")
    await calls.made(**call)
    await calls.made(**call)
    wall.set("2026-12-01T09:00:30Z")  # set back: the latest minute stays until its end
    assert (await calls.refused()).retry_after_s == 3600 + 90


async def test_a_full_minute_says_what_is_unknown_and_whose_prices_it_trusts() -> None:
    """Whoever reads the refusal finds out which model needs a price, and where."""
    wall = Wall("2026-12-01T10:00:00Z")
    registry = LocalCellRegistry(CellStates(wall_ns=wall), 0, trusted_prices="prices of T")
    calls = Calls(registry, max_cost_usd_per_minute=Decimal("1E-12"))
    await calls.made(cost_usd=None)
    message = str(await calls.refused())
    assert "its limit of 0.000000000001 US dollars per minute" in message
    assert "with 1 unpriced call (on_unknown = charge); prices of T; " in message


async def test_a_waiting_call_goes_on_in_the_next_minute() -> None:
    """It is admitted when the minute ends, and says how long it has waited."""
    wall = Wall("2026-12-01T10:00:59.995Z")
    registry = LocalCellRegistry(CellStates(wall_ns=wall), 20)
    calls = Calls(registry, max_calls_per_minute=1)
    await calls.made()
    ask = AdmissionRequest(CELL, "waits", limits=calls.limits)
    assert registry.try_admit(ask) is None
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(registry.admit(ask))
        await asyncio.sleep(0)
        assert registry.cell(CELL).has_waiting
        wall.set("2026-12-01T10:01:00Z")
    admission = waiting.result()
    assert (admission.seq, admission.queued_ms > 0) == (2, True)


async def test_a_long_call_counts_where_it_began_and_its_tokens_where_it_ended() -> None:
    """A call that runs over minutes takes one call of the first, and its tokens are of the last."""
    wall = Wall("2026-12-01T10:00:00Z")
    registry = LocalCellRegistry(CellStates(wall_ns=wall), 0)
    calls = Calls(registry, max_calls_per_minute=2, max_tokens_per_minute=10)
    first = await calls.begin()
    wall.set("2026-12-01T10:05:00Z")
    second = await calls.begin()
    await registry.finish(CELL, first, end(4))
    await registry.finish(CELL, second, end(4))
    assert (await registry.limits([CELL]))[0].windows == (  # type: ignore[union-attr]
        ("max_calls_per_minute", 1),
        ("max_tokens_per_minute", 8),
    )
    await calls.made(tokens=2)
    assert (await calls.refused()).code == "cab_rate_limited"


@pytest.mark.parametrize(
    ("on_unknown", "spent"), [("charge", 50), ("exhaust", None), ("ignore", 10)]
)
async def test_uncounted_calls_are_charged_to_their_day(on_unknown: str, spent: int | None) -> None:
    """What nobody counted costs the day as much as it costs a limit of the whole; the next is free of it."""
    wall = Wall("2026-12-01T10:00:00Z")
    registry = LocalCellRegistry(CellStates(wall_ns=wall), 0)
    calls = Calls(registry, max_tokens_per_day=1000, on_unknown=on_unknown)
    await calls.made()
    bounds = {"prompt_tokens_at_most": 30, "completion_tokens_at_most": 10}
    unknown = {"prompt_tokens": None, "completion_tokens": None, "usage_source": "none"}
    await calls.made(**unknown, **bounds, status=500)
    (found,) = await registry.limits([CELL])
    assert found is not None
    assert found.windows == (("max_tokens_per_day", spent),)
    wall.set("2026-12-02T00:00:00Z")
    await calls.made()


async def test_workers_have_one_minute_and_one_day(tmp_path: Path, memory: SharedMemory) -> None:
    """Whichever worker admits calls, also by a key without such limits, all count, and none is too many."""
    wall = Wall("2026-12-01T10:00:30.5Z")
    local = LocalCellRegistry(CellStates(wall_ns=wall), 0)
    async with workers(local, tmp_path, memory, 2, wall) as registries:
        for number, registry in enumerate(registries * 2):
            ask = AdmissionRequest(CELL, f"free {number}")
            await registry.admit(ask)
            await registry.finish(CELL, ask.call_id, end())
        both = [Calls(registry, max_calls_per_minute=8) for registry in registries]
        both[1].number = 1000
        asks = [each.begin() for each in both for _ in range(5)]
        found = await asyncio.gather(*asks, return_exceptions=True)
        refused = [each for each in found if isinstance(each, Rejected)]
        assert [(each.code, each.retry_after_s) for each in refused] == [
            ("cab_rate_limited", 30)
        ] * 6
        both[0].limits = KeyLimits(max_calls_per_day=8)
        assert (await both[0].refused()).code == "cab_limit_reached"


def test_records_say_what_windows_held() -> None:
    """Chains are read one after the other: an earlier window changes nothing of a later one."""
    row = CellRow()
    day = {"started_at": "2026-12-01T10:00:59.600000Z", "ended_at": "2026-12-01T10:01:10.000000Z"}
    row.add(end(5, **day))
    assert row.windows.names == ["2026-12-01T10:01", "2026-12-01", "2026-12"]
    assert [(s.calls, s.tokens) for s in row.windows.sums] == [(0, 5), (1, 5), (1, 5)]
    waited = {**day, "queued_ms": 401}
    row.add(end(5, **waited))
    assert [(s.calls, s.tokens) for s in row.windows.sums] == [(1, 10), (2, 10), (2, 10)]
    before = {
        "started_at": "2026-11-30T23:00:00.000000Z",
        "ended_at": "2026-11-30T23:00:01.000000Z",
    }
    row.add(end(7, **before))
    assert CellRow.unpacked(row.packed()) == row
    assert [s.tokens for s in row.windows.sums] == [10, 10, 10]
    row.add(end(1, started_at=None, ended_at="soon"))  # nobody knows when: it is not free
    assert [s.tokens for s in row.windows.sums] == [11, 11, 11]
    assert CellRow.unpacked(orjson.dumps(orjson.loads(row.packed())[:4])).windows == WindowSums()
    assert next_begin(2, EVE[:7]) == "2027-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("whole", "parts"),
    [
        ({"max_calls_per_day": 10}, {"1/3": 3, "2/3": 6}),
        ({"max_cost_usd_per_month": Decimal("0.000000000005")}, {"1/2": Decimal("2E-12")}),
    ],
)
def test_parts_of_a_limit_never_exceed_it(whole: dict[str, Any], parts: dict[str, Any]) -> None:
    """They are rounded down; a part that would be nothing is an error, and so is more than the whole."""
    (name,) = whole
    for share, part in parts.items():
        assert getattr(KeyLimits(**whole, share=share).part(), name) == part
    for share in ("1/11", "1/1000000") if isinstance(whole[name], int) else ("1/6",):
        with pytest.raises(ValueError, match=f"{name}: {share} of"):
            KeyLimits(**whole, share=share).part()
    for wrong in ("4/3", "0/3", "1", "1/0", "-1/3", "1/x", 3):
        with pytest.raises(ValueError, match="share must be a part"):
            KeyLimits.from_claims({"share": wrong})
