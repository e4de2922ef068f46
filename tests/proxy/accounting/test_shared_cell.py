"""Calls that several workers admit by shared counters: decided as one process decides them."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from cab.proxy.accounting.admission import Admission, AdmissionRequest, LocalCellRegistry
from cab.proxy.accounting.cell_report import Numbers
from cab.proxy.accounting.cell_state import CellState, CellStates
from cab.proxy.accounting.limits import KeyLimits
from cab.proxy.accounting.shared_cell import CellShare, counters_of, share_of
from cab.proxy.accounting.shared_memory import SharedMemory
from cab.proxy.accounting.worker_cells import WorkerCells
from cab.proxy.workers.ipc_protocol import packed, unpack_report

LIMITS = (
    KeyLimits(),
    KeyLimits(max_calls=6),
    KeyLimits(max_tokens=40),
    KeyLimits(max_cost_usd=Decimal("0.5"), on_unknown="charge"),
    KeyLimits(max_cost_usd=Decimal("0.5"), on_unknown="ignore"),
    KeyLimits(max_concurrency=2),
    KeyLimits(max_calls=20, max_tokens=300, max_concurrency=4, on_unknown="exhaust"),
    KeyLimits(max_tokens=60, on_unknown="ignore"),
    KeyLimits(max_calls_per_minute=3),
    KeyLimits(max_calls_per_day=5, max_tokens_per_minute=15),
    KeyLimits(max_tokens_per_day=40, max_cost_usd_per_month=Decimal("0.3")),
    KeyLimits(max_cost_usd_per_minute=Decimal("0.03"), on_unknown="ignore"),
)
TICKS_S = (1, 59, 60, 3600, 86_400, 30 * 86_400, -120, -86_400)
"""How far the clock goes on, or is set back."""
COUNTED = {"endpoint": "chat.completions", "status": 200, "usage_source": "upstream"}
ENDS: tuple[dict[str, Any] | None, ...] = (
    *({**COUNTED, "end_reason": "completed", "total_tokens": n, "cost_usd": None} for n in (0, 3, 9, 9, 9, 9, 12)),
    {**COUNTED, "end_reason": "completed", "total_tokens": 5, "cost_usd": "0.1000000000000001"},
    {**COUNTED, "end_reason": "completed", "total_tokens": 12, "usage_status": "partial"},
    *({**COUNTED, "end_reason": "completed", "total_tokens": 6, "cost_usd": "0.01"} for _ in range(7)),
    {**COUNTED, "end_reason": "upstream_error", "status": 500, "usage_source": "none"},
    {**COUNTED, "end_reason": "rejected", "usage_source": "none"},
    {**COUNTED, "end_reason": "completed", "total_tokens": 1 << 52, "cost_usd": "1000000000000"},
    None,
)  # fmt: skip
STEPS = st.lists(
    st.tuples(
        st.integers(0, 2),  # the worker
        st.sampled_from(["admit", "admit", "admit", "end", "end", "leave", "tick", "tell"]),
        st.integers(0, 9),  # the key, or the call
        st.integers(0, len(ENDS) - 1),
        st.sampled_from([True, True, True, False]),  # whether it is a model call
    ),
    min_size=12,
    max_size=40,
)


@dataclass
class Workers:
    """Workers that share a cell, and their parent, without the sockets between them."""

    memory: SharedMemory
    wall_ns: Callable[[], int]
    parent: LocalCellRegistry = field(init=False)
    numbers: Numbers | None = None
    generation: int = 0

    def __post_init__(self) -> None:
        self.parent = LocalCellRegistry(CellStates(wall_ns=self.wall_ns), 0)
        self.workers = [WorkerCells(self.memory, self.wall_ns) for _ in range(3)]

    @property
    def cell(self) -> CellState:
        return self.parent.cell("a")

    def admit(self, worker: int, ask: AdmissionRequest) -> Admission | None:
        """Return a call's number, as its worker gets it."""
        admission = self.workers[worker].try_admit(ask)
        if admission is None:
            self.settle()
            admission = self.parent.try_admit(ask)
            if admission is not None:
                self.workers[worker].admitted(ask, admission)
                self.share()
        return admission

    def leave(self, worker: int, call_id: str) -> None:
        if self.workers[worker].client_left("a", call_id):
            self.tell(self.workers[worker])

    def finish(self, worker: int, call_id: str, end: dict[str, Any] | None) -> None:
        if self.workers[worker].finish("a", call_id, end):  # the parent waits for it
            self.tell(self.workers[worker])

    def settle(self) -> None:
        self.memory.suspend(0)
        for worker in self.workers:
            worker.unshare("a")
            self.tell(worker)
        if self.numbers is not None:
            self.cell.last_seq = self.memory.last_seq(0)
            assert self.numbers.untold(self.cell.last_seq) == set()
            self.numbers = None

    def tell(self, worker: WorkerCells) -> None:
        """Have a worker report, as it does after 50 ms at the latest."""
        for values in worker.report():
            report = unpack_report(orjson.loads(packed(values)[4:]))
            report.merge(self.cell, self.told)

    def told(self, number: int) -> None:
        assert self.numbers is not None
        self.numbers.told(number)

    def share(self) -> None:
        self.generation += 1
        counters = counters_of(self.cell)
        if max(counters) < 1 << 62 and self.memory.open(0, self.generation, counters):
            self.numbers = Numbers(self.cell.last_seq)
            for worker in self.workers:
                share = orjson.loads(orjson.dumps(share_of(self.cell, "charge").packed()))
                worker.share("a", 0, self.generation, CellShare.unpacked(share))


@settings(max_examples=60)
@given(STEPS, st.lists(st.sampled_from(LIMITS), min_size=1, max_size=2))
def test_workers_decide_as_one_process_does(
    steps: list[tuple[int, str, int, int, bool]], keys: list[KeyLimits]
) -> None:
    """Whoever is asked, a call is admitted if and only if one process would admit it, with the same number."""
    now = [1_796_000_000 * 10**9]
    reference = LocalCellRegistry(CellStates(wall_ns=lambda: now[0]), 0)
    with closing(SharedMemory.create(1)) as memory:
        shared = Workers(memory, lambda: now[0])
        running: list[tuple[int, str]] = []
        for n, (worker, what, which, ending, counts) in enumerate(steps):
            if what == "admit":
                ask = AdmissionRequest("a", str(n), f"h{n}", counts, keys[which % len(keys)])
                admission = shared.admit(worker, ask)
                assert admission == reference.try_admit(ask)
                if admission is not None:
                    running.append((worker, str(n)))
            elif what == "tick":
                now[0] += TICKS_S[which % len(TICKS_S)] * 10**9
            elif what == "tell":
                shared.tell(shared.workers[worker])
            elif running:
                of, call_id = running.pop(which % len(running))
                if what == "leave":
                    reference.client_left("a", call_id)
                    shared.leave(of, call_id)
                reference.finish_soon("a", call_id, ENDS[ending])
                shared.finish(of, call_id, ENDS[ending])
        shared.settle()
    cell, expected = shared.cell, reference.cell("a")
    assert (cell.last_seq, cell.running, cell.in_flight) == (
        expected.last_seq,
        expected.running,
        expected.in_flight,
    )
    assert (cell.totals, cell.largest_tokens) == (expected.totals, expected.largest_tokens)
    assert [cell.window(period) for period in range(3)] == [
        expected.window(period) for period in range(3)
    ]
