"""The registry in this process, and the same one over a socket: both must hold to one interface."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from cab.proxy.accounting.admission import (
    Admission,
    AdmissionRequest,
    CellLimits,
    CellRegistry,
    LocalCellRegistry,
)
from cab.proxy.accounting.cell_state import CellStates
from cab.proxy.accounting.limits import KeyLimits
from cab.proxy.accounting.shared_memory import SharedMemory
from cab.proxy.errors import Rejected
from cab.proxy.workers.dead_worker import DeadWorkerRecords
from cab.proxy.workers.ipc_client import RemoteCellRegistry
from cab.proxy.workers.ipc_server import CellRegistryServer
from cab.proxy.workers.worker_slot import WorkerSlot
from cab.scoring.ledger.money import MoneyTotal
from cab.scoring.ledger.totals import Total
from tests.tools.wires import DIRECT_ON_ASYNCIO

WIRES = (DIRECT_ON_ASYNCIO,)

SLOT_WAIT_S = 20.0


def end(**fields: Any) -> dict[str, Any]:
    base = {"endpoint": "chat.completions", "end_reason": "completed", "status": 200}
    counted = {"prompt_tokens": 1, "completion_tokens": 1, "usage_source": "upstream"}
    return {**base, **counted, "request_hash": None, **fields}


@asynccontextmanager
async def connected(
    socket: Path, memory: SharedMemory, slot: int = 0, *, dies: bool = False
) -> AsyncGenerator[RemoteCellRegistry]:
    """Give a worker's side of the socket; closed on leaving, without a word if it dies."""
    async with asyncio.TaskGroup() as tasks:
        reader, writer = await asyncio.open_unix_connection(socket)
        registry = RemoteCellRegistry(reader, writer, memory)
        listening = tasks.create_task(registry.listen())
        await registry.request("configuration", slot)
        try:
            yield registry
        finally:
            if dies:
                writer.transport.abort()
                await listening
            await registry.close()


@asynccontextmanager
async def opened(
    kind: str, folder: Path, memory: SharedMemory, slot_wait_s: float
) -> AsyncGenerator[CellRegistry]:
    local = LocalCellRegistry(CellStates(), slot_wait_s)
    async with AsyncExitStack() as stack:
        if kind == "here":
            yield local
            return
        server = CellRegistryServer(local, [WorkerSlot(0)], {}, memory)
        await stack.enter_async_context(server.listening(folder / "registry"))
        yield await stack.enter_async_context(connected(folder / "registry", memory))


@pytest.fixture(params=["here", "over a socket"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def registry(kind: str, tmp_path: Path, memory: SharedMemory) -> AsyncGenerator[CellRegistry]:
    async with opened(kind, tmp_path, memory, SLOT_WAIT_S) as registry:
        yield registry


async def refusal(registry: CellRegistry, ask: AdmissionRequest) -> str:
    """Return why a call is refused."""
    with pytest.raises(Rejected) as refused:
        await registry.admit(ask)
    return str(refused.value)


async def settled(rounds: int = 20) -> None:
    """Let everything that can go on go on; a wait that is right stays."""
    for _ in range(rounds):
        await asyncio.sleep(0)


async def test_calls_are_numbered_and_repetitions_known(registry: CellRegistry) -> None:
    """Each call gets the next number of its cell, and the call that it repeats."""
    assert await registry.admit(AdmissionRequest("a", "1", "h")) == Admission(1, 1, None)
    registry.client_left("a", "1")
    assert await registry.admit(AdmissionRequest("a", "2", "h")) == Admission(2, 2, "1")
    assert await registry.admit(AdmissionRequest("b", "3", "h")) == Admission(1, 1, None)
    assert await registry.admit(AdmissionRequest(None, "4", "h")) == Admission(None, 1, None)
    assert (await registry.load()).calls_in_flight == 4


async def test_totals_hold_a_call_once_finish_has_returned(registry: CellRegistry) -> None:
    """Read-your-writes: what was finished is in the totals, and no longer in flight."""
    await registry.admit(AdmissionRequest("s/a", "1"))
    await registry.admit(AdmissionRequest("s/b", "2"))
    await registry.admit(AdmissionRequest("t/c", "3"))
    await registry.admit(AdmissionRequest(None, "4"))
    await registry.finish("s/b", "2", end(prompt_tokens=5, cost_usd="0.10"))
    await registry.finish("s/a", "1", end(completion_tokens=None, cost_usd="NaN"))
    await registry.finish("t/c", "3", None)
    a, b = await registry.totals("s/")
    assert (a.cell_id, a.totals.calls, a.totals.unmeasured_calls) == ("s/a", 1, 1)
    assert (a.totals.tokens.prompt, a.totals.tokens.completion) == (Total(1), Total(0, missing=1))
    assert a.totals.cost == MoneyTotal(Decimal(0), missing=1)
    assert (b.cell_id, b.totals.calls, b.in_flight) == ("s/b", 1, 0)
    assert (b.totals.tokens.prompt, b.totals.tokens.completion) == (Total(5), Total(1))
    assert b.totals.cost == MoneyTotal(
        Decimal("0.10"), priced=1, largest=Decimal("0.10"), sources=("unnamed",)
    )
    [c] = await registry.totals("t/")
    assert (c.totals.calls, c.in_flight, c.sealed) == (0, 0, False)
    assert len(await registry.totals()) == 3
    assert (await registry.load()).calls_in_flight == 1


async def test_a_limit_of_calls_counts_those_in_flight(registry: CellRegistry) -> None:
    """The last call that a limit allows is admitted, the next is not, ended or not."""
    limits = KeyLimits(max_calls=2)
    await registry.admit(AdmissionRequest("a", "1", limits=limits))
    await registry.admit(AdmissionRequest("a", "2", limits=limits))
    assert "limit of 2 calls (max_calls)" in await refusal(
        registry, AdmissionRequest("a", "3", limits=limits)
    )
    await registry.finish("a", "1", end())
    assert "max_calls" in await refusal(registry, AdmissionRequest("a", "4", limits=limits))
    assert (await registry.admit(AdmissionRequest("a", "5"))).seq == 3


async def test_refused_and_other_requests_use_up_no_limit(registry: CellRegistry) -> None:
    """What was refused, and what is no model call, does not count as one."""
    limits = KeyLimits(max_calls=1, max_concurrency=1)
    await registry.admit(AdmissionRequest("a", "1", counts=False, limits=limits))
    await registry.finish("a", "1", end(endpoint="other"))
    await registry.admit(AdmissionRequest("a", "2", counts=False, limits=limits))
    await registry.admit(AdmissionRequest("a", "3", limits=limits))
    await refusal(registry, AdmissionRequest("a", "4", limits=limits))
    await registry.finish("a", "4", end(end_reason="rejected"))
    [cell] = await registry.totals("a")
    assert (cell.totals.calls, cell.in_flight) == (0, 2)


@pytest.mark.parametrize(
    ("limits", "spent", "named"),
    [
        (KeyLimits(max_tokens=10), {"prompt_tokens": 9}, "10 tokens (max_tokens)"),
        (
            KeyLimits(max_cost_usd=Decimal("0.5")),
            {"cost_usd": "0.5"},
            "0.5 US dollars (max_cost_usd)",
        ),
    ],
    ids=["tokens", "cost"],
)
async def test_what_was_spent_ends_a_cell(
    registry: CellRegistry, limits: KeyLimits, spent: dict[str, Any], named: str
) -> None:
    """Once the tokens or the cost of the ended calls reach the limit, no further call is made."""
    await registry.admit(AdmissionRequest("a", "1", limits=limits))
    await registry.finish("a", "1", end(**spent))
    assert named in await refusal(registry, AdmissionRequest("a", "2", limits=limits))
    assert (await registry.admit(AdmissionRequest("b", "3", limits=limits))).seq == 1


async def test_a_call_over_the_concurrency_waits_for_a_slot(registry: CellRegistry) -> None:
    """Calls over `max_concurrency` wait, and go on one by one, first come first."""
    limits = KeyLimits(max_concurrency=1)
    await registry.admit(AdmissionRequest("a", "1", limits=limits))
    async with asyncio.TaskGroup() as tasks:
        second = tasks.create_task(registry.admit(AdmissionRequest("a", "2", limits=limits)))
        third = tasks.create_task(registry.admit(AdmissionRequest("a", "3", limits=limits)))
        await settled()
        assert (await registry.load()).calls_in_flight == 1
        await registry.finish("a", "1", end())
        assert (await second).seq == 2
        assert not third.done()
        registry.finish_soon("a", "2", end())
        assert (await third).seq == 3


async def test_a_newcomer_takes_no_slot_that_another_call_waits_for(registry: CellRegistry) -> None:
    """One that asks in the moment in which a slot comes free stands behind, until those before it are gone."""
    limits = KeyLimits(max_concurrency=2)
    asks = [AdmissionRequest("a", str(number), limits=limits) for number in range(6)]
    await registry.admit(asks[0])
    await registry.admit(asks[1])
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(registry.admit(asks[2]))
        second = tasks.create_task(refusal(registry, asks[3]))
        third = tasks.create_task(registry.admit(asks[4]))
        await settled()
        registry.finish_soon("a", "0", end())
        assert registry.try_admit(asks[5]) is None
        newcomer = tasks.create_task(registry.admit(asks[5]))
        await first
        await settled()
        assert [each.done() for each in (third, newcomer)] == [False, False]
        registry.withdraw("a", "3")
        await second
        registry.finish_soon("a", "1", end())
        registry.finish_soon("a", "2", end())
        assert {(await third).seq, (await newcomer).seq} == {4, 5}


async def test_a_call_waits_behind_others_of_the_same_limits_only(registry: CellRegistry) -> None:
    """A key of the cell that has more room does not wait for one that has none."""
    await registry.admit(AdmissionRequest("a", "1"))
    full = AdmissionRequest("a", "2", limits=KeyLimits(max_concurrency=1))
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(registry.admit(full))
        await settled()
        await registry.admit(AdmissionRequest("a", "3", limits=KeyLimits(max_concurrency=2)))
        await registry.finish("a", "1", end())
        await registry.finish("a", "3", end())
        await waiting


@pytest.mark.parametrize(
    ("limits", "spent"),
    [
        (KeyLimits(max_tokens=100), {"prompt_tokens": 40, "completion_tokens": 0}),
        (KeyLimits(max_cost_usd=Decimal(1)), {"cost_usd": 0.4}),
    ],
    ids=["tokens", "cost"],
)
async def test_near_a_limit_calls_go_one_by_one(
    registry: CellRegistry, limits: KeyLimits, spent: dict[str, Any]
) -> None:
    """A call waits while those in flight, each as large as the largest, would use up the limit."""
    await registry.admit(AdmissionRequest("a", "1", limits=limits))
    await registry.finish("a", "1", end(**spent))
    await registry.admit(AdmissionRequest("a", "2", limits=limits))
    await registry.admit(AdmissionRequest("a", "3", limits=limits))
    async with asyncio.TaskGroup() as tasks:
        fourth = tasks.create_task(registry.admit(AdmissionRequest("a", "4", limits=limits)))
        await settled()
        assert not fourth.done()
        await registry.finish("a", "2", None)
        assert (await fourth).seq == 4


async def test_a_wait_for_a_slot_ends(kind: str, tmp_path: Path, memory: SharedMemory) -> None:
    """A call that gets no slot in time is refused as for a limit."""
    limits = KeyLimits(max_concurrency=1)
    async with opened(kind, tmp_path, memory, 0.01) as registry:
        await registry.admit(AdmissionRequest("a", "1", limits=limits))
        why = await refusal(registry, AdmissionRequest("a", "2", limits=limits))
        assert "is at a limit of its key and waited 0.01 s" in why


async def test_a_withdrawn_call_does_not_wait_on(registry: CellRegistry) -> None:
    """A call whose client has gone takes no slot; one that was admitted is not touched."""
    limits = KeyLimits(max_concurrency=1)
    await registry.admit(AdmissionRequest("a", "1", limits=limits))
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(refusal(registry, AdmissionRequest("a", "2", limits=limits)))
        await settled()
        # Woken first, then withdrawn in the same breath: it must not slip through.
        registry.finish_soon("a", "1", end())
        registry.withdraw("a", "2")
        registry.withdraw("a", "1")
    assert "was given up" in waiting.result()
    assert (await registry.admit(AdmissionRequest("a", "3", limits=limits))).seq == 2


async def test_a_seal_waits_for_calls_and_for_refusals(registry: CellRegistry) -> None:
    """A seal waits until calls have ended and refusals are recorded; then nothing is admitted."""
    limits = KeyLimits(max_calls=1)
    await registry.admit(AdmissionRequest("a", "1", limits=limits))
    await refusal(registry, AdmissionRequest("a", "2", limits=limits))
    async with asyncio.TaskGroup() as tasks:
        sealing = tasks.create_task(registry.seal("a", 20))
        await settled()
        assert "sealed: its calls are final" in await refusal(registry, AdmissionRequest("a", "3"))
        with pytest.raises(Rejected, match="sealed already"):
            await registry.seal("a", 20)
        await registry.finish("a", "1", end())
        await settled()
        assert not sealing.done()
        await registry.finish("a", "2", end(end_reason="rejected"))
        cell = await sealing
    assert (cell.sealed, cell.totals.calls, cell.in_flight) == (True, 1, 0)


async def test_a_seal_ends_the_wait_for_a_slot(registry: CellRegistry) -> None:
    """A call that waits for a slot is refused when its cell is sealed."""
    limits = KeyLimits(max_concurrency=1)
    await registry.admit(AdmissionRequest("a", "1", limits=limits))
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(refusal(registry, AdmissionRequest("a", "2", limits=limits)))
        await settled()
        sealing = tasks.create_task(registry.seal("a", 20))
        assert "sealed" in await waiting
        await registry.finish("a", "1", end())
    assert sealing.result().totals.calls == 1


async def test_a_seal_that_fails_leaves_the_cell_open(registry: CellRegistry) -> None:
    """Calls that do not end in time, a client that leaves, and a failed record all open it again."""
    await registry.admit(AdmissionRequest("a", "1"))
    with pytest.raises(Rejected, match="1 call of cell a still in flight"):
        await registry.seal("a", 0.01)
    async with asyncio.TaskGroup() as tasks:
        sealing = tasks.create_task(registry.seal("a", 20))
        await settled()
        sealing.cancel()
    await registry.admit(AdmissionRequest("a", "2"))
    for call_id in ("1", "2"):
        await registry.finish("a", call_id, end())
    assert (await registry.seal("a", 20)).sealed
    registry.reopen("a")
    assert (await registry.admit(AdmissionRequest("a", "3"))).seq == 3


async def test_a_cell_is_opened_until_it_has_calls(registry: CellRegistry) -> None:
    """An opened cell is known and has no number yet; after a call, or its seal, it is not opened."""
    for _ in range(2):
        await registry.open("a")
    assert [(c.cell_id, c.totals.calls) for c in await registry.totals()] == [("a", 0)]
    assert (await registry.admit(AdmissionRequest("a", "1"))).seq == 1
    await registry.finish("a", "1", end())
    with pytest.raises(Rejected, match="has calls of a already") as caught:
        await registry.open("a")
    assert caught.value.code == "cell_used"
    await registry.seal("b", 20)
    with pytest.raises(Rejected, match="cell b is sealed already") as caught:
        await registry.open("b")
    assert caught.value.code == "cell_sealed"


async def test_limits_are_those_of_the_last_key(registry: CellRegistry) -> None:
    """None where no model call was made: its limits are not known; a call without a key has none."""
    first, second = KeyLimits(max_calls=9), KeyLimits(max_tokens=7, on_unknown="exhaust")
    assert await registry.limits(["a", None]) == [None, None]
    await registry.admit(AdmissionRequest("a", "1", limits=first, expires_s=5))
    await registry.admit(AdmissionRequest("a", "2", counts=False))  # looks up a model
    await registry.admit(AdmissionRequest(None, "3"))
    assert await registry.limits(["a", "b", None]) == [
        CellLimits(first, 5, "charge", None),
        None,
        CellLimits(KeyLimits(), None, "charge", None),
    ]
    await registry.finish("a", "1", end(total_tokens=8))
    assert "max_tokens" in await refusal(registry, AdmissionRequest("a", "4", limits=second))
    assert await registry.limits(["a"]) == [CellLimits(second, None, "exhaust", None)]


async def test_without_its_parent_nothing_is_admitted(tmp_path: Path, memory: SharedMemory) -> None:
    """When the parent is gone, calls are refused; those that have ended may be finished."""
    local, slot = LocalCellRegistry(CellStates(), SLOT_WAIT_S), WorkerSlot(0)
    server = CellRegistryServer(local, [slot], {}, memory)
    limits = KeyLimits(max_concurrency=1)
    async with (
        server.listening(tmp_path / "registry"),
        connected(tmp_path / "registry", memory) as registry,
    ):
        await registry.admit(AdmissionRequest("a", "1", limits=limits))
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(
                refusal(registry, AdmissionRequest("a", "2", limits=limits))
            )
            await settled()
            await registry.close()
        assert "the cell registry cannot be reached" in waiting.result()
        assert "cannot be reached" in await refusal(registry, AdmissionRequest("a", "3"))
        await registry.finish("a", "1", end())
        registry.finish_soon("a", "1", end())
        await slot.gone.wait()
    assert (await local.load()).calls_in_flight == 1


async def test_what_a_dead_worker_left_is_settled(tmp_path: Path, memory: SharedMemory) -> None:
    """Its calls end as its chain says; a cell that it closed stays so only with a seal there."""
    local, slots = LocalCellRegistry(CellStates(), SLOT_WAIT_S), [WorkerSlot(0), WorkerSlot(1)]
    server = CellRegistryServer(local, slots, {}, memory)
    socket = tmp_path / "registry"
    async with server.listening(socket), connected(socket, memory, 1) as other:
        async with connected(socket, memory, 0, dies=True) as registry:
            for cell_id in ("sealed", "lost"):
                await registry.seal(cell_id, 20)
            await registry.admit(AdmissionRequest("a", "1"))
            await registry.admit(AdmissionRequest("a", "2"))
            await registry.load()
        await slots[0].gone.wait()
        assert (await other.load()).calls_in_flight == 2
        ends = {"1": end(end_reason="crash", prompt_tokens=None)}
        server.end_calls(slots[0], DeadWorkerRecords(ends, {"sealed"}))
        [a, lost, sealed] = await other.totals()
        assert (a.totals.calls, a.totals.unmeasured_calls, a.in_flight) == (1, 1, 0)
        assert (lost.sealed, sealed.sealed) == (False, True)


async def test_a_connection_that_says_nothing_is_not_a_worker(
    tmp_path: Path, memory: SharedMemory
) -> None:
    """A connection that is closed at once takes no worker's slot."""
    server = CellRegistryServer(
        LocalCellRegistry(CellStates(), SLOT_WAIT_S), [WorkerSlot(0)], {}, memory
    )
    async with server.listening(tmp_path / "registry"):
        _, writer = await asyncio.open_unix_connection(tmp_path / "registry")
        writer.close()
        await writer.wait_closed()


UNCOUNTED = {
    **dict.fromkeys(("prompt_tokens", "completion_tokens")),
    "usage_source": "none",
    "status": 500,
    "end_reason": "upstream_error",
}
BOUNDS = {"prompt_tokens_at_most": 60, "completion_tokens_at_most": 40}


@pytest.mark.parametrize(
    ("unknown", "limits", "named"),
    [
        (BOUNDS, KeyLimits(max_tokens=103), None),
        (BOUNDS, KeyLimits(max_tokens=102), "102 tokens (max_tokens), with 1 uncounted call"),
        ({"prompt_tokens_at_most": 60}, KeyLimits(max_tokens=32_063), None),
        ({"prompt_tokens_at_most": 60}, KeyLimits(max_tokens=32_062), "32062 tokens"),
        ({}, KeyLimits(max_tokens=232_003), None),
        ({}, KeyLimits(max_tokens=232_002), "232002 tokens"),
        ({}, KeyLimits(max_tokens=3, on_unknown="exhaust"), "(on_unknown = exhaust)"),
        (BOUNDS, KeyLimits(max_tokens=3, on_unknown="ignore"), None),
        ({}, KeyLimits(max_cost_usd=Decimal("0.5")), None),
        ({}, KeyLimits(max_cost_usd=Decimal("0.4")), "0.4 US dollars (max_cost_usd), with 1"),
        ({}, KeyLimits(max_cost_usd=Decimal(9), on_unknown="exhaust"), "9 US dollars"),
        ({}, KeyLimits(max_cost_usd=Decimal("0.4"), on_unknown="ignore"), None),
        ({"status": 429}, KeyLimits(max_tokens=3, on_unknown="exhaust"), None),
    ],
)
async def test_what_an_uncounted_call_costs_its_limits(
    unknown: dict[str, int], limits: KeyLimits, named: str | None, registry: CellRegistry
) -> None:
    """After a call of 2 tokens and $0.2: tokens at the bound, else as assumed, money at the dearest."""
    await registry.admit(AdmissionRequest("a", "1"))
    await registry.finish("a", "1", end(cost_usd="0.2"))
    await registry.admit(AdmissionRequest("a", "2"))
    await registry.finish("a", "2", end(**{**UNCOUNTED, **unknown}))
    ask = AdmissionRequest("a", "3", limits=limits)
    if named is None:
        assert (await registry.admit(ask)).seq == 3
    else:
        assert named in await refusal(registry, ask)
