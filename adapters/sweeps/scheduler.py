"""Runs the cells of a sweep, N at a time, within its budget, until all are done or it must stop."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from cab.adapters.sandboxes import docker
from cab.adapters.sweeps.budget import (
    limits_of,
    own_limits,
    spend_by_cell,
    spent,
)
from cab.adapters.sweeps.classify import classify
from cab.adapters.sweeps.executors.protocol import CellJob, CellOutcome, Executor
from cab.adapters.sweeps.journal import Begin, End, Journal
from cab.adapters.sweeps.ledger_mark import LedgerMark
from cab.adapters.sweeps.matrix import Slot
from cab.adapters.sweeps.placement import NodeRecord, cell_times
from cab.adapters.sweeps.state import BUNDLES, SweepState, close_attempt
from cab.adapters.sweeps.sweepfile import SweepFile
from cab.proxy.accounting.limits import KeyLimits
from cab.proxy.auth.cell_keys import CellKeys
from cab.proxy.redaction import Redactor
from cab.scoring.cells.bundle import CALLS_FILE
from cab.scoring.ids import CellId
from cab.scoring.ledger.totals import CallTotals

_LONGEST_WAIT_S = 300.0


class Metering(NamedTuple):
    """The proxy of the sweep."""

    url: str
    mint: Callable[[str, int, KeyLimits], CellKeys]
    """Makes a cell's keys, from its id, its time to live in s, and its limits."""
    ledger: Path
    exposed: tuple[str, ...] = ()
    """Words of deviations: where agents can find the endpoint's key."""
    states: Callable[[], AsyncGenerator[dict[str, Any]]] | None = None
    """Yields what it does now, as docs/live.md says."""
    revoke: Callable[[str], Awaitable[None]] | None = None
    """Revokes a cell's keys, from its id: a worker that was given up may still run somewhere."""


class ProgressListener(Protocol):
    """Receives the progress of a sweep."""

    @property
    def follows(self) -> bool:
        """Whether it wants to know what the proxy does."""
        ...

    def resumed(self, done: int, to_run: int, spend: CallTotals, wall_s: float) -> None:
        """Take note of what was there before the first cell is started.

        Args:
            done: Cells that have their result.
            to_run: Cells that will be run.
            spend: What the sweep has spent.
            wall_s: How long its sessions before ran, in s.
        """
        ...

    def started(self, begin: Begin) -> None:
        """Take note of an attempt that starts."""
        ...

    def ended(self, end: End, duration_s: float, spend: CallTotals) -> None:
        """Take note of how an attempt ended, and of what the whole sweep has spent by then."""
        ...

    def state(self, state: Mapping[str, Any] | None) -> None:
        """Take note of what the proxy does, if it follows; None once that is not known any more."""
        ...

    def message(self, text: str) -> None:
        """Take note of anything else that the user should know."""
        ...

    def close(self) -> None:
        """Show nothing more: this process is about to end."""
        ...


@dataclass(frozen=True, slots=True)
class SchedulerServices:
    """What a scheduler works with."""

    sweep: SweepFile
    folder: Path
    """Folder of everything that the sweep writes."""
    journal: Journal
    state: SweepState
    executor: Executor
    metering: Metering
    listener: ProgressListener
    plugins: tuple[str, ...] = ()
    seal_key_file: Path | None = None
    """Private key that signs results."""


class Scheduler:
    """Runs the slots of one session of a sweep.

    Args:
        services: What it works with.
        slots: The slots to fill, in this order.
        spend: What was spent before.
    """

    def __init__(
        self, services: SchedulerServices, slots: Iterable[Slot], spend: CallTotals
    ) -> None:
        self._services = services
        self._queue = deque(slots)
        self._started_s = time.monotonic()
        self._wall_before_s = services.state.wall_s
        self._stopping = asyncio.Event()
        self._stop_reason: str | None = None
        self._failed_in_a_row = 0
        self._running: set[str] = set()
        self._cancelled: set[str] = set()
        self._nodes = NodeRecord(services.sweep.executor.node_failures)
        self._ledger_mark = LedgerMark(services.metering.ledger)
        self.spend = spend
        """What is spent by now."""
        self.halt_reason: str | None = None
        """Why some cells were not started; None while there is no reason."""

    @property
    def not_started(self) -> tuple[Slot, ...]:
        """The slots of which no attempt has started in this session."""
        return tuple(self._queue)

    async def run(self) -> None:
        """Fill the slots; on return no cell runs."""
        await asyncio.to_thread(self._ledger_mark.refresh)
        async with asyncio.TaskGroup() as group:
            for _ in range(self._services.sweep.jobs):
                group.create_task(self._worker())

    async def stop(self, reason: str) -> None:
        """Start no more cells, and end those that run."""
        self._stop_reason = reason
        self._stopping.set()
        self._services.listener.message(
            f"{reason}: the running cells are being ended; a second signal ends the sweep at once"
        )
        await self._services.executor.stop()

    async def cancel(self, pattern: str) -> None:
        """End the running cells whose id matches a glob; they stay without a result in this session."""
        found = {cell_id for cell_id in self._running if fnmatchcase(cell_id, pattern)}
        self._cancelled |= found
        async with asyncio.TaskGroup() as group:
            for cell_id in found:
                group.create_task(self._services.executor.cancel(cell_id))

    async def _worker(self) -> None:
        while self._queue and self._may_start():
            await self._fill(self._queue.popleft())

    async def _fill(self, slot: Slot) -> None:
        """Run a cell, and run it again while it is the infrastructure that fails."""
        sweep = self._services.sweep
        retries_left, wait_s = sweep.retries, sweep.retry_wait_s
        while (await self._attempt(slot)).verdict == "infrastructure":
            if not retries_left:
                self._failed_in_a_row += 1
                return
            if not await self._may_retry_after(wait_s):
                return
            retries_left, wait_s = retries_left - 1, min(2 * wait_s, _LONGEST_WAIT_S)
        self._failed_in_a_row = 0

    async def _attempt(self, slot: Slot) -> End:
        services, started_s = self._services, time.monotonic()
        number = services.state.next_number(slot.id, services.sweep.runs)
        cell = replace(slot.cell, run=number)
        key_limits = limits_of(services.sweep.limits, services.sweep.budget, self.spend)
        begin, first = Begin(slot=slot.id, cell_id=str(cell)), self._ledger_mark.first
        self._write(begin)
        services.listener.started(begin)
        job = self._job(slot, cell, key_limits)
        outcome = await self._run(job)
        self._note_node(slot, outcome)
        if outcome.state != "complete" and services.metering.revoke is not None:
            # Before its calls are summed: what was given up here may go on elsewhere.
            await services.metering.revoke(str(cell))
        spend = await asyncio.to_thread(self._spend_of, str(cell), outcome, first)
        self.spend += spend
        found = classify(outcome, spend, own_limits(services.sweep.limits), key_limits)
        reason = (
            None if found.reason is None else Redactor((job.key, job.seal_key)).text(found.reason)
        )
        end = close_attempt(
            services.folder,
            begin,
            found._replace(reason=reason),
            spend,
            passed=outcome.passed,
            node=outcome.node,
        )
        self._write(end)
        services.listener.ended(end, time.monotonic() - started_s, self.spend)
        return end

    async def _run(self, job: CellJob) -> CellOutcome:
        self._running.add(job.cell_id)
        try:
            outcome = await self._services.executor.run(job)
        finally:
            self._running.discard(job.cell_id)
        if outcome.state == "stopped" and job.cell_id in self._cancelled:
            return outcome.model_copy(update={"reason": "it was cancelled"})
        return outcome

    def _job(self, slot: Slot, cell: CellId, limits: KeyLimits) -> CellJob:
        sweep, metering = self._services.sweep, self._services.metering
        times = cell_times(sweep.executor, sweep.timeout_s)
        keys = metering.mint(str(cell), times.key_ttl_s, limits)
        seal_key_file = self._services.seal_key_file
        requested = sweep.resources.request(slot.tui, f"{cell.family}/{cell.task}")
        in_container = sweep.sandbox == docker.NAME
        return CellJob(
            cell_id=str(cell),
            tui=slot.tui,
            model=cell.model,
            task=slot.task,
            sweep=cell.sweep,
            number=cell.run or 1,
            timeout_s=sweep.timeout_s,
            proxy=metering.url,
            key=keys.call,
            seal_key=keys.seal,
            # Absolute: the process that runs the job may have another current folder.
            bundles=str((self._services.folder / BUNDLES).resolve()),
            plugins=list(self._services.plugins),
            seal_key_file=None if seal_key_file is None else str(seal_key_file.resolve()),
            capture_ledger=str(metering.ledger.resolve()) if sweep.capture == "bodies" else None,
            exposed=list(metering.exposed),
            times=times,
            resources=requested,
            container=sweep.container.job(slot.tui, requested) if in_container else None,
            avoid=self._nodes.avoided,
        )

    def _note_node(self, slot: Slot, outcome: CellOutcome) -> None:
        if outcome.state == "stopped":
            return  # that says nothing of its node
        if self._nodes.note(outcome.node, slot.id, failed=outcome.state == "failed"):
            self._services.listener.message(
                f"node {outcome.node} is avoided from now on: {self._nodes.most} cells failed there, and "
                "none succeeded in between"
            )

    def _spend_of(self, cell_id: str, outcome: CellOutcome, first: Mapping[int, int]) -> CallTotals:
        self._ledger_mark.refresh()  # for cells that begin later; this one has its own
        if outcome.bundle is not None and self._services.sweep.executor.shared:
            sums = spend_by_cell(Path(outcome.bundle) / CALLS_FILE)
        else:
            # There is no slice for it, or a machine sent it that may say what it likes; its calls are in the
            # ledger all the same, behind its begin.
            sums = spend_by_cell(self._services.metering.ledger, cell_id, first)
        return sums.get(cell_id, CallTotals())

    def _write(self, entry: Begin | End) -> None:
        self._services.journal.write(entry)
        self._services.state.apply(entry)

    async def _may_retry_after(self, wait_s: float) -> bool:
        if self._may_start():
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._stopping.wait()
        return self._may_start()

    def _may_start(self) -> bool:
        reason = self._stop_reason or self._used_up()
        if reason is not None and self.halt_reason is None:
            self.halt_reason = reason
            self._services.listener.message(f"no more cells are started: {reason}")
        return reason is None

    def _used_up(self) -> str | None:
        sweep, wall_s = self._services.sweep, time.monotonic() - self._started_s
        if self._failed_in_a_row >= sweep.give_up_after:
            return f"the infrastructure failed {self._failed_in_a_row} cells in a row"
        used_up = spent(sweep.budget, self.spend, self._wall_before_s + wall_s)
        return f"the budget is spent: {used_up}" if used_up else None
