"""Fills the slots of a sweep, N at a time, within its budget, until all are filled or it must stop."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Protocol

from cab.adapters.runs.spec import KEY_MARGIN_S
from cab.adapters.sweeps.budget import (
    limits_of,
    own_limits,
    spend_by_cell,
    spent,
    sum_by_cell,
)
from cab.adapters.sweeps.classify import classify
from cab.adapters.sweeps.executor import CellJob, CellOutcome, Executor
from cab.adapters.sweeps.journal import Begin, End, Journal
from cab.adapters.sweeps.matrix import Slot
from cab.adapters.sweeps.state import BUNDLES, SweepState, put_apart
from cab.adapters.sweeps.sweepfile import SweepFile
from cab.proxy.accounting.limits import KeyLimits
from cab.proxy.redaction import Redactor
from cab.scoring.cells.bundle import CALLS_FILE
from cab.scoring.ids import CellId
from cab.scoring.ledger.reading import iter_records
from cab.scoring.ledger.totals import CallTotals

_LONGEST_WAIT_S = 300.0


class Metering(NamedTuple):
    """The proxy of the sweep."""

    url: str
    """Where it listens."""
    mint: Callable[[str, int, KeyLimits], str]
    """Makes a cell's key, from its id, its time to live in s, and its limits."""
    ledger: Path
    """Folder of its audit log."""


class ProgressListener(Protocol):
    """Is told how a sweep goes on."""

    def began(self, cell_id: str) -> None:
        """Hear of an attempt that begins."""
        ...

    def ended(self, end: End, duration_s: float, spend: CallTotals) -> None:
        """Hear how an attempt ended, and what the whole sweep has spent by then."""
        ...

    def noted(self, text: str) -> None:
        """Hear of anything else that its user should know."""
        ...


@dataclass(frozen=True, slots=True)
class SchedulerServices:
    """What an engine works with."""

    sweep: SweepFile
    folder: Path
    """All that the sweep makes lies there."""
    journal: Journal
    standing: SweepState
    executor: Executor
    metering: Metering
    watcher: ProgressListener
    plugins: tuple[str, ...] = ()


class Scheduler:
    """One sitting of a sweep.

    Args:
        parts: What it works with.
        slots: What is to be filled, in this order.
        spend: What was spent before.
    """

    def __init__(self, parts: SchedulerServices, slots: Iterable[Slot], spend: CallTotals) -> None:
        self._parts = parts
        self._queue = deque(slots)
        self._began = time.monotonic()
        self._wall_before_s = parts.standing.wall_s
        self._stopping = asyncio.Event()
        self._stop_reason: str | None = None
        self._failed_in_a_row = 0
        self.spend = spend
        """What is spent by now."""
        self.cut: str | None = None
        """Why cells were not started; None while there is no reason."""

    @property
    def waiting(self) -> tuple[Slot, ...]:
        """The slots that nobody has begun to fill in this sitting."""
        return tuple(self._queue)

    async def run(self) -> None:
        """Fill the slots; on return no cell runs."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._parts.sweep.jobs):
                group.create_task(self._lane())

    async def stop(self, reason: str) -> None:
        """Start no more cells, and end those that run."""
        self._stop_reason = reason
        self._stopping.set()
        self._parts.watcher.noted(f"{reason}: the cells that run are ended; once more ends at once")
        await self._parts.executor.stop()

    async def _lane(self) -> None:
        while self._queue and self._may_go_on():
            await self._fill(self._queue.popleft())

    def _may_go_on(self) -> bool:
        reason = self._stop_reason or self._over()
        if reason is not None and self.cut is None:
            self.cut = reason
            self._parts.watcher.noted(f"no further cell is started: {reason}")
        return reason is None

    def _over(self) -> str | None:
        sweep, wall_s = self._parts.sweep, time.monotonic() - self._began
        if self._failed_in_a_row >= sweep.give_up_after:
            return f"the infrastructure failed {self._failed_in_a_row} cells in a row"
        over = spent(sweep.budget, self.spend, self._wall_before_s + wall_s)
        return f"the budget is spent: {over}" if over else None

    async def _fill(self, slot: Slot) -> None:
        """Run a cell, and run it again while it is the infrastructure that fails."""
        sweep = self._parts.sweep
        retries_left, wait_s = sweep.retries, sweep.retry_wait_s
        while (await self._attempt(slot)).verdict == "infrastructure":
            if not retries_left:
                self._failed_in_a_row += 1
                return
            if not await self._waited(wait_s):
                return
            retries_left, wait_s = retries_left - 1, min(2 * wait_s, _LONGEST_WAIT_S)
        self._failed_in_a_row = 0

    async def _waited(self, wait_s: float) -> bool:
        """Wait before a retry; return whether there is to be one."""
        if self._may_go_on():
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._stopping.wait()
        return self._may_go_on()

    async def _attempt(self, slot: Slot) -> End:
        parts, began = self._parts, time.monotonic()
        number = parts.standing.next_number(slot.id, parts.sweep.runs)
        cell = replace(slot.cell, run=number)
        given = limits_of(parts.sweep.limits, parts.sweep.budget, self.spend)
        self._write(Begin(slot=slot.id, cell_id=str(cell)))
        parts.watcher.began(str(cell))
        job = self._job(slot, cell, given)
        outcome = await parts.executor.run(job)
        spend = await asyncio.to_thread(self._spend_of, str(cell), outcome)
        self.spend += spend
        end = self._judged(slot, job, outcome, spend, given)
        self._write(end)
        parts.watcher.ended(end, time.monotonic() - began, self.spend)
        return end

    def _job(self, slot: Slot, cell: CellId, limits: KeyLimits) -> CellJob:
        sweep, metering = self._parts.sweep, self._parts.metering
        return CellJob(
            cell_id=str(cell),
            tui=slot.tui,
            model=cell.model,
            task=slot.task,
            sweep=cell.sweep,
            number=cell.run or 1,
            timeout_s=sweep.timeout_s,
            proxy=metering.url,
            key=metering.mint(str(cell), int(sweep.timeout_s) + KEY_MARGIN_S, limits),
            # Absolute: who runs it may stand somewhere else.
            bundles=str((self._parts.folder / BUNDLES).resolve()),
            plugins=list(self._parts.plugins),
        )

    def _spend_of(self, cell_id: str, outcome: CellOutcome) -> CallTotals:
        if outcome.bundle is not None:
            sums = spend_by_cell(Path(outcome.bundle) / CALLS_FILE)
        else:
            # No slice was cut for it, but its calls are in the ledger all the same.
            records = iter_records(self._parts.metering.ledger, cell_prefix=cell_id)
            sums = sum_by_cell(records)
        return sums.get(cell_id, CallTotals())

    def _judged(
        self, slot: Slot, job: CellJob, outcome: CellOutcome, spend: CallTotals, given: KeyLimits
    ) -> End:
        folder, cell_id = self._parts.folder, job.cell_id
        found = classify(outcome, spend, own_limits(self._parts.sweep.limits), given)
        is_result = found.verdict == "complete"
        place = f"{BUNDLES}/{cell_id}" if is_result else put_apart(folder, cell_id)
        return End(
            slot=slot.id,
            cell_id=cell_id,
            verdict=found.verdict,
            reason=None if found.reason is None else Redactor((job.key,)).text(found.reason),
            bundle=place,
            passed=outcome.passed,
            calls=spend.calls,
            tokens=spend.tokens.total.value,
        )

    def _write(self, entry: Begin | End) -> None:
        self._parts.journal.write(entry)
        self._parts.standing.take(entry)
