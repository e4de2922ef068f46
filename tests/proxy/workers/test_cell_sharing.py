"""Two workers that share cells, over real sockets, in one process so that nothing runs between two steps."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from cab.proxy.accounting.admission import REGISTRY_LOST, AdmissionRequest, LocalCellRegistry
from cab.proxy.accounting.cell_state import CellStates
from cab.proxy.accounting.limits import KeyLimits
from cab.proxy.accounting.shared_memory import SharedMemory
from cab.proxy.errors import Rejected
from cab.proxy.workers.dead_worker import DeadWorkerRecords
from cab.proxy.workers.ipc_client import RemoteCellRegistry
from cab.proxy.workers.ipc_protocol import packed
from cab.proxy.workers.ipc_server import CellRegistryServer
from cab.proxy.workers.worker_slot import WorkerSlot
from cab.scoring.timestamps import instant_us


class Proxy:
    """A parent, and the memory that it shares with its workers."""

    def __init__(self, folder: Path, memory: SharedMemory, answer_s: float = 20) -> None:
        self.folder, self.memory = folder, memory
        self.now_ns = instant_us("2026-12-01T10:00:30Z") * 1000
        self.registry = LocalCellRegistry(CellStates(wall_ns=self.wall_ns), 20)
        self.slots = [WorkerSlot(n) for n in range(3)]
        self.server = CellRegistryServer(self.registry, self.slots, {}, memory, answer_s)

    def wall_ns(self) -> int:
        return self.now_ns

    @asynccontextmanager
    async def worker(self, number: int) -> AsyncGenerator[RemoteCellRegistry]:
        """Give a worker; it is killed on leaving: what it has not told yet, it will not tell."""
        async with asyncio.TaskGroup() as tasks:
            remote = await RemoteCellRegistry.connect(
                self.folder / "cells", self.memory, wall_ns=self.wall_ns
            )
            listening = tasks.create_task(remote.listen())
            await remote.request("configuration", number)
            yield remote
            listening.cancel()
            remote._writer.transport.abort()
            await self.slots[number].gone.wait()

    async def trips(self) -> int:
        """Return how many calls have asked."""
        return (await self.registry.load()).ipc_round_trips


@pytest.fixture
async def proxy(tmp_path: Path, memory: SharedMemory) -> AsyncGenerator[Proxy]:
    found = Proxy(tmp_path, memory)
    async with found.server.listening(tmp_path / "cells"):
        yield found


def end(**fields: Any) -> dict[str, Any]:
    base = {"endpoint": "chat.completions", "end_reason": "completed", "status": 200}
    return {
        **base,
        "prompt_tokens": 5,
        "completion_tokens": 5,
        "usage_source": "upstream",
        **fields,
    }


def ask(call_id: str, request_hash: str | None = None, **limits: Any) -> AdmissionRequest:
    return AdmissionRequest("a", call_id, request_hash, limits=KeyLimits(**limits))


async def known(*workers: RemoteCellRegistry) -> None:
    """Have all workers share the cell, by a call each."""
    for n, worker in enumerate(workers):
        await worker.admit(ask(f"first {n}"))
        worker.finish_soon("a", f"first {n}", end())


async def test_after_the_first_call_of_a_cell_nobody_asks(proxy: Proxy) -> None:
    """Calls of all workers have numbers without a gap, and their sums are there when asked for."""
    async with proxy.worker(0) as one, proxy.worker(1) as other:
        await known(one, other)
        trips = await proxy.trips()
        assert trips > 0
        numbers = []
        for n in range(40):
            worker = (one, other)[n % 2]
            admission = worker.try_admit(ask(str(n), f"h{n}"))
            assert admission
            numbers.append(admission.seq)
            worker.finish_soon("a", str(n), end())
        assert numbers == list(range(3, 43))
        [cell] = await one.totals()
        assert (cell.totals.calls, cell.totals.tokens.total.value, cell.in_flight) == (42, 420, 0)
        assert await proxy.trips() == trips


async def test_limits_of_a_time_need_one_question_in_each_minute(proxy: Proxy) -> None:
    """Then the minute begins, and what was told late of the one before is still part of that."""
    limits: dict[str, Any] = {"max_calls_per_minute": 40, "max_cost_usd_per_day": Decimal(10)}
    async with proxy.worker(0) as one, proxy.worker(1) as other:
        for n, worker in enumerate((one, other)):
            await worker.admit(ask(f"first {n}", **limits))
            worker.finish_soon("a", f"first {n}", end(cost_usd="0.1"))
        trips = await proxy.trips()
        for n in range(38):
            worker = (one, other)[n % 2]
            assert worker.try_admit(ask(f"{n}", **limits))
            worker.finish_soon("a", f"{n}", end(cost_usd="0.1"))
        assert await proxy.trips() == trips
        assert one.try_admit(ask("over", **limits)) is None
        proxy.now_ns += 30 * 10**9
        assert one.try_admit(ask("next", **limits)) is None
        for n in range(6):
            await (one, other)[n % 2].admit(ask(f"next {n}", **limits))
        assert await proxy.trips() == trips + 1
        [found] = await one.limits(["a"])
        assert found is not None
        assert sorted(found.windows) == [
            ("max_calls_per_minute", 6),
            ("max_cost_usd_per_day", "4.0"),
        ]


@pytest.mark.parametrize(
    ("limits", "named"),
    [
        ({"max_calls": 6}, "6 calls"),
        ({"max_tokens": 60}, "60 tokens"),
        ({"max_cost_usd": Decimal("0.6")}, "0.6 US dollars"),
    ],
)
async def test_what_one_worker_has_spent_the_other_knows_at_once(
    limits: dict[str, Any], named: str, proxy: Proxy
) -> None:
    """No turn of the loop lies between the end of a call in one worker and the refusal in the other."""
    async with proxy.worker(0) as one, proxy.worker(1) as other:
        for n in range(6):
            await (one, other)[n % 2].admit(ask(str(n), **limits))
            (one, other)[n % 2].finish_soon("a", str(n), end(cost_usd="0.1"))
        assert one.try_admit(ask("more", **limits)) is None
        with pytest.raises(Rejected, match=named):
            await one.admit(ask("more", **limits))


async def test_a_request_that_failed_in_one_worker_is_repeated_in_the_other(proxy: Proxy) -> None:
    """Once, with the number of the attempt; the same request after it is a new call."""
    async with proxy.worker(0) as one, proxy.worker(1) as other:
        await known(one, other)
        for n in range(3):
            assert (await one.admit(ask(f"failed {n}", f"h{n}"))).attempt == 1
        one.finish_soon("a", "failed 0", end(end_reason="upstream_error", status=500))
        one.client_left("a", "failed 1")
        one.finish_soon("a", "failed 2", end())
        attempts = [(await other.admit(ask(f"again {n}", f"h{n}")))[1:3] for n in range(3)]
        assert attempts == [(2, "failed 0"), (2, "failed 1"), (1, None)]
        assert (await one.admit(ask("new", "h0"))).attempt == 1


async def test_a_slot_that_comes_free_in_one_worker_is_the_others(proxy: Proxy) -> None:
    """A call that waits goes on when a call ends, whichever worker has it; then nobody asks again."""
    async with proxy.worker(0) as one, proxy.worker(1) as other, asyncio.TaskGroup() as tasks:
        await known(one, other)
        for n in (1, 2):
            await one.admit(ask(str(n), max_concurrency=2))
        waiting = tasks.create_task(other.admit(ask("3", max_concurrency=2)))
        async with asyncio.timeout(10):
            while not proxy.registry.cell("a").has_waiting:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0)
        one.finish_soon("a", "1", end())
        assert (await waiting).seq == 5
        other.finish_soon("a", "3", end())
        await one.totals()
        assert (await one.admit(ask("4", max_concurrency=2))).seq == 6


async def test_a_seal_closes_the_cell_in_all_workers(proxy: Proxy) -> None:
    """It waits for their calls, and knows them all; after it began no worker admits one."""
    async with proxy.worker(0) as one, proxy.worker(1) as other, asyncio.TaskGroup() as tasks:
        await known(one, other)
        assert one.try_admit(ask("last"))
        sealing = tasks.create_task(other.seal("a", 20))
        async with asyncio.timeout(10):
            while other.try_admit(ask("late")) is not None:
                other.finish_soon("a", "late", None)
                await asyncio.sleep(0)
        assert one.try_admit(ask("late too")) is None
        with pytest.raises(Rejected, match="sealed"):
            await one.admit(ask("late too"))
        assert not sealing.done()
        one.finish_soon("a", "last", end())
        assert (await sealing).totals.calls == 3


async def test_what_a_killed_worker_has_not_told_its_chain_tells(proxy: Proxy) -> None:
    """Its calls count as in flight until then, then as their records say, each of them once."""
    limits: dict[str, Any] = {"max_calls": 6}
    async with proxy.worker(1) as other:
        async with proxy.worker(0) as one:
            await known(one, other)
            admissions = [one.try_admit(ask(str(n))) for n in range(3)]
            assert all(admissions)
            one.finish_soon("a", "0", end())
        untold = proxy.server.untold(proxy.slots[0])["a"]
        assert [n for n in range(1, 9) if untold.holds(n)] == [2, 3, 4, 5, 6, 7, 8]
        assert (await other.admit(ask("others go on", **limits))).seq == 6
        with pytest.raises(Rejected, match="6 calls"):
            await other.admit(ask("one too many", **limits))
        assert proxy.registry.cell("a").in_flight >= {"3 of a", "4 of a", "5 of a"}
        found = [
            end(cell_id="a", call_id="0", seq=3),
            end(cell_id="a", call_id="1", seq=4, end_reason="crash", usage_source="none",
                request_hash="h"),
        ]  # fmt: skip
        proxy.server.end_calls(proxy.slots[0], DeadWorkerRecords({"first 0": end()}, untold=found))
        [cell] = await other.totals()
        assert (cell.totals.calls, cell.totals.unmeasured_calls) == (4, 1)
        assert proxy.registry.cell("a").in_flight == {"others go on", "one too many"}
        # Number 5 was taken, and its call never made: the next one has it, and there is no gap.
        assert (await other.admit(ask("again", "h", **limits)))[:3] == (5, 2, "1")


async def test_the_number_of_a_call_that_was_never_made_is_given_again(proxy: Proxy) -> None:
    """Its worker was killed between the parent's word and the START."""
    async with proxy.worker(1) as other:
        async with proxy.worker(0) as one:
            assert (await one.admit(ask("lost"))).seq == 1
        proxy.server.end_calls(proxy.slots[0], DeadWorkerRecords())
        assert [(await other.admit(ask(str(n)))).seq for n in range(3)] == [1, 2, 3]


async def test_a_worker_that_hangs_holds_nobody_up(tmp_path: Path, memory: SharedMemory) -> None:
    """What it does not tell counts as in flight; sums, which must hold it, are refused."""
    proxy = Proxy(tmp_path, memory, answer_s=0.02)
    async with (
        proxy.server.listening(tmp_path / "cells"),
        proxy.worker(1) as other,
        proxy.worker(0) as one,
    ):
        await known(one, other)
        hanging = asyncio.Event()
        one._told = lambda *_: hanging.set()  # type: ignore[method-assign]
        assert one.try_admit(ask("untold"))
        admission = await other.admit(ask("3", max_calls=4))
        assert admission.seq == 4
        with pytest.raises(Rejected, match="4 calls"):
            await other.admit(ask("4", max_calls=4))
        assert hanging.is_set()
        assert one.try_admit(ask("later")) is None
        with pytest.raises(Rejected, match="a worker does not say"):
            await other.totals()
        proxy.server._sharing._rounds._answer_s = 1000  # it is not waited for again until it speaks
        async with asyncio.timeout(10):
            with pytest.raises(Rejected, match="4 calls"):
                await other.admit(ask("5", max_calls=4))
            with pytest.raises(Rejected, match="a worker does not say"):
                await other.totals()


async def test_more_cells_than_places_are_the_parents_or_take_turns(tmp_path: Path) -> None:
    """Without a free place a cell is the parent's, and the oldest one gives its place up."""
    with closing(SharedMemory.create(2)) as memory:
        proxy = Proxy(tmp_path, memory)
        async with proxy.server.listening(tmp_path / "cells"), proxy.worker(0) as one:
            for n in range(12):
                cell_id = f"cell {n % 4}"
                assert (await one.admit(AdmissionRequest(cell_id, str(n)))).seq == n // 4 + 1
                one.finish_soon(cell_id, str(n), end())
            calls = [cell.totals.calls for cell in await one.totals()]
    assert calls == [3] * 4


async def test_a_parent_that_does_not_answer_is_not_waited_for(proxy: Proxy) -> None:
    """The call is refused; that it was admitted after all is undone, and its number is used again."""
    async with proxy.worker(0) as one:
        answer_s, one._answer_s = one._answer_s, 0.0
        with pytest.raises(Rejected, match="does not answer") as raised:
            await one.admit(ask("late"))
        one._answer_s = answer_s
        assert raised.value.code == REGISTRY_LOST
        admission = await one.admit(ask("next"))
        assert admission.seq == 1
        assert (await proxy.registry.load()).calls_in_flight == 1


async def test_a_worker_that_reads_nothing_is_killed(tmp_path: Path, memory: SharedMemory) -> None:
    """What waits for it has a bound."""
    killed, slot = asyncio.Event(), WorkerSlot(0)
    slot.kill = killed.set
    registry = LocalCellRegistry(CellStates(), 20)
    server = CellRegistryServer(registry, [slot], {}, memory, most_unread_bytes=1 << 16)
    async with server.listening(tmp_path / "cells"), asyncio.timeout(20):
        _, writer = await asyncio.open_unix_connection(tmp_path / "cells", limit=1)
        writer.write(packed([1, "configuration", [0]]))
        questions = packed([2, "withdraw", ["a", "b" * 100]]) * 1000
        while not killed.is_set():
            writer.write(questions)
            await asyncio.sleep(0)
        await slot.gone.wait()
        writer.close()
