"""Admission: which call may be made now, what its cell has spent, and when the cell is closed.

A proxy of one process keeps the cells' state itself. With several workers the parent keeps it, and lets
them admit calls by counters that they share (`shared_cell`); where these do not suffice they ask over a
socket (`cab.proxy.workers`). Both have the interface `CellRegistry`.

The order that all rests on: a call is in flight from `admit` until its END is on disk, and `finish`
is awaited before the client can take its answer for complete. So a seal either sees a call in
flight or is seen by it, and totals hold every call whose answer has ended.
"""

import asyncio
import time
from typing import Any, NamedTuple, Protocol

from cab.proxy.accounting.cell_state import CellState, CellStates, Waiter
from cab.proxy.accounting.limits import KeyLimits, OnUnknown
from cab.proxy.accounting.room import FREE, Room, room_for, windows_used, woken_next_minute
from cab.proxy.errors import Rejected
from cab.scoring.ledger.slices import SEALED
from cab.scoring.ledger.totals import CallTotals
from cab.scoring.printable import counted

LIMIT_REACHED = "cab_limit_reached"
"""Code of a refusal because of a limit."""
RATE_LIMITED = "cab_rate_limited"
"""Code of a refusal because of a limit per minute."""
AT_LIMIT = (LIMIT_REACHED, RATE_LIMITED)
"""Codes of refusals of calls that are in flight until their record is written."""
USED = "cell_used"
"""Code of a refusal to open a cell that has calls."""
IN_FLIGHT = "calls_in_flight"
"""Code of a seal that was not made because calls did not end in time."""
REGISTRY_LOST = "registry_lost"
"""Code of a refusal by a worker that cannot ask."""


class AdmissionRequest(NamedTuple):
    """A call that wants to be made."""

    cell_id: str | None
    """The cell that pays; None where no cell is known, which has no numbers and no limits."""
    call_id: str
    request_hash: str | None = None
    counts: bool = True
    """Whether it is a model call; others have a number, but use up no limit."""
    limits: KeyLimits = KeyLimits()
    expires_s: int | None = None
    """When its key expires, in seconds since the Unix epoch; None: it has none."""


class CellLimits(NamedTuple):
    """What a cell may spend, by the key of its last model call."""

    limits: KeyLimits
    expires_s: int | None
    """When that key expires, in seconds since the Unix epoch; None: the call came without one."""
    on_unknown: OnUnknown
    """What an uncounted call costs it."""
    elsewhere: CallTotals | None
    """What it has spent in other ledgers, which counts against the limits too."""
    windows: tuple[tuple[str, int | str | None], ...] = ()
    """What counts against each limit of a minute, a day and a month, by the limit's name: money as decimal
    text, None where all is used up by a call that nobody counted."""


class Admission(NamedTuple):
    """A call that may be made."""

    seq: int | None
    attempt: int
    retry_of: str | None
    queued_ms: float = 0.0
    """How long it waited for a free slot."""


class CellSnapshot(NamedTuple):
    """The state of a cell now."""

    cell_id: str | None
    sealed: bool
    in_flight: int
    totals: CallTotals
    """Of the model calls that have ended; goes on with them."""


class RegistryLoad(NamedTuple):
    """What goes on over all cells."""

    calls_in_flight: int
    ipc_round_trips: int
    """Calls that had to ask another process before they were made or refused, since the start."""


class CellRegistry(Protocol):
    """The state of all cells, kept here or by another process."""

    def try_admit(self, ask: AdmissionRequest) -> Admission | None:
        """Return a call's number; None if it must wait, be refused or ask, of which nothing is noted."""
        ...

    async def admit(self, ask: AdmissionRequest) -> Admission:
        """Return a call's number; from then on it is in flight until `finish`.

        Near a limit this waits: for a free slot, or until the calls in flight have shown what they
        cost.

        Raises:
            Rejected: The cell is sealed, a limit is reached, no slot came free in time, the call
                was withdrawn, or the state cannot be asked for. After a refusal with a code of
                `AT_LIMIT` the call must be finished too: a seal waits for its record.
        """
        ...

    def withdraw(self, cell_id: str | None, call_id: str) -> None:
        """End the wait of a call that is not admitted yet."""
        ...

    def client_left(self, cell_id: str | None, call_id: str) -> None:
        """Take note that the client of a call has gone: the same request once more repeats it."""
        ...

    async def finish(self, cell_id: str | None, call_id: str, end: dict[str, Any] | None) -> None:
        """Take a call out of flight, and its END record, if there is one, into the totals."""
        ...

    def finish_soon(self, cell_id: str | None, call_id: str, end: dict[str, Any] | None) -> None:
        """Do the same without waiting until it is done."""
        ...

    async def open(self, cell_id: str) -> None:
        """Make a cell known that has no calls yet.

        Raises:
            Rejected: It has calls, it is sealed, or the state cannot be asked for.
        """
        ...

    async def seal(self, cell_id: str, wait_s: float) -> CellSnapshot:
        """Close a cell, wait for its calls in flight, and return its state.

        Raises:
            Rejected: It is closed already, or calls are still in flight after `wait_s` seconds; it
                is open again then.
        """
        ...

    def reopen(self, cell_id: str) -> None:
        """Undo a seal whose record could not be written."""
        ...

    async def totals(
        self, prefix: str = "", after: str | None = None, limit: int | None = None
    ) -> list[CellSnapshot]:
        """Return the state of cells, sorted by id.

        Args:
            prefix: Only of cells whose id begins so.
            after: Only of cells whose id sorts behind this one.
            limit: Of so many cells at most.

        Raises:
            Rejected: The state cannot be asked for.
        """
        ...

    async def limits(self, cell_ids: list[str | None]) -> list[CellLimits | None]:
        """Return what cells may spend, in this order; None of those without a model call since the start.

        Raises:
            Rejected: The state cannot be asked for.
        """
        ...

    async def load(self) -> RegistryLoad:
        """Return what goes on over all cells."""
        ...

    def set_rules(
        self, slot_wait_s: float, on_unknown: OnUnknown, trusted_prices: str = ""
    ) -> None:
        """Take over settings that were reloaded; arguments as for `LocalCellRegistry`."""
        ...


class CallsElsewhere(Protocol):
    """Calls of the same cells that other processes admit."""

    ipc_round_trips: int
    """Calls that have asked this process."""

    async def settle(self, cell_id: str | None) -> None:
        """Return once this process knows of all calls of a cell, and none is admitted elsewhere."""
        ...

    async def settle_all(self) -> bool:
        """Return once this process knows of all calls of all cells, and whether it does."""
        ...


class LocalCellRegistry:
    """The state of all cells in this process.

    Args:
        cells: State of all cells.
        slot_wait_s: How long a call may wait near a limit.
        on_unknown: What an uncounted call costs a key that does not say so itself.
        trusted_prices: Words for whose prices the limits in money are kept by.
    """

    def __init__(
        self,
        cells: CellStates,
        slot_wait_s: float,
        on_unknown: OnUnknown = "charge",
        trusted_prices: str = "",
    ) -> None:
        self._trusted_prices = trusted_prices
        self._cells = cells
        self._slot_wait_s = slot_wait_s
        self.on_unknown: OnUnknown = on_unknown
        self.elsewhere: CallsElsewhere | None = None
        """Who else admits calls; None: nobody."""

    def set_rules(
        self, slot_wait_s: float, on_unknown: OnUnknown, trusted_prices: str = ""
    ) -> None:
        """Take over settings; cells that workers share now go by them when they ask the next time."""
        self._slot_wait_s, self.on_unknown = slot_wait_s, on_unknown
        self._trusted_prices = trusted_prices

    def cell(self, cell_id: str | None) -> CellState:
        """Return the state of a cell."""
        return self._cells[cell_id]

    async def admit(self, ask: AdmissionRequest) -> Admission:
        """Return a call's number; see `CellRegistry.admit`."""
        return self.admit_now(ask) or await self.admit_later(ask)

    def try_admit(self, ask: AdmissionRequest) -> Admission | None:
        """Return a call's number; None if it must wait, or be refused, of which nothing is noted."""
        cell, limits = self._cells[ask.cell_id], ask.limits
        if cell.sealed:
            return None
        self.note_limits(ask)
        if not limits.bound_nothing and (
            self._room(cell, ask) != FREE or self._must_queue(cell, ask)
        ):
            return None
        return self._admitted(cell, ask)

    def _must_queue(self, cell: CellState, ask: AdmissionRequest) -> bool:
        """Return whether calls that came earlier wait for the same room: first come, first served."""
        return ask.counts and cell.has_waiting and cell.is_behind(ask.call_id, ask.limits)

    def _room(self, cell: CellState, ask: AdmissionRequest) -> Room:
        on_unknown = ask.limits.on_unknown or self.on_unknown
        return room_for(cell, ask.limits, on_unknown, counts=ask.counts)

    def admit_now(self, ask: AdmissionRequest) -> Admission | None:
        """Return a call's number; None if it must wait.

        Raises:
            Rejected: The cell is sealed, or a limit is reached.
        """
        cell = self._cells[ask.cell_id]
        self.note_limits(ask)
        if cell.sealed:
            raise Rejected(
                SEALED, f"cell {cell.cell_id} is sealed{_where(cell)}: its calls are final"
            )
        room = self._room(cell, ask)
        if room.reached is not None:
            raise _refused(cell, ask, f"has reached its limit of {self._explained(room.reached)}")
        if room != FREE or (not ask.limits.bound_nothing and self._must_queue(cell, ask)):
            return None
        return self._admitted(cell, ask)

    def _explained(self, limit: str) -> str:
        """Return a limit with whose prices it goes by, if it is one of money."""
        is_money = "(max_cost_usd" in limit and self._trusted_prices
        return f"{limit}; {self._trusted_prices}" if is_money else limit

    def _admitted(self, cell: CellState, ask: AdmissionRequest) -> Admission:
        seq = cell.next_seq()
        attempt = cell.attempt(ask.request_hash, ask.call_id)
        cell.begin(ask.call_id, counts=ask.counts)
        return Admission(seq, attempt.number, attempt.retry_of)

    async def admit_later(self, ask: AdmissionRequest) -> Admission:
        """Return a call's number once there is room for it; see `CellRegistry.admit`.

        What the calls of other processes have cost is known before anything is decided.
        """
        wait = _Wait()
        try:
            admission = await self._slot(ask, wait)
        except Rejected as error:
            error.queued_ms = wait.queued_ms()
            raise
        return admission._replace(queued_ms=wait.queued_ms())

    async def _slot(self, ask: AdmissionRequest, wait: "_Wait") -> Admission:
        cell = self._cells[ask.cell_id]
        with cell.waiting(ask.call_id, ask.limits) as waiter:
            # Not cut off: that others are asked first is no wait for room.
            clock = asyncio.get_running_loop().time
            until = clock() + self._slot_wait_s
            admission = await self._attempt(cell, ask, waiter)
            try:
                async with asyncio.timeout_at(max(until, clock())):
                    while admission is None and not waiter.withdrawn:
                        wait.begin()
                        with woken_next_minute(cell, ask.limits, waiter):
                            await waiter.changed()
                        admission = await self._attempt(cell, ask, waiter)
            except TimeoutError:
                raise self._waited(cell, ask) from None
            waiter.admitted = admission is not None
        if admission is None:
            raise _refused(cell, ask, "was at a limit of its key, and the call was given up")
        return admission

    async def _attempt(
        self, cell: CellState, ask: AdmissionRequest, waiter: Waiter
    ) -> Admission | None:
        await self._settle(cell)
        return None if waiter.withdrawn else self.admit_now(ask)

    def _waited(self, cell: CellState, ask: AdmissionRequest) -> Rejected:
        room, waited = self._room(cell, ask), f"waited {self._slot_wait_s:g} s"
        if room.minute is None:
            why = f"is at a limit of its key and {waited} for calls in flight"
            return _refused(cell, ask, why)
        why = f"{waited} and is at its limit of {self._explained(room.minute)}"
        refusal = str(_refused(cell, ask, why))
        return Rejected(RATE_LIMITED, refusal, retry_after_s=room.minute_s)

    async def _settle(self, cell: CellState) -> None:
        if self.elsewhere is not None:
            await self.elsewhere.settle(cell.cell_id)

    def withdraw(self, cell_id: str | None, call_id: str) -> None:
        """End the wait of a call that is not admitted yet."""
        if (cell := self._cells.loaded(cell_id)) is not None:
            cell.withdraw(call_id)

    def client_left(self, cell_id: str | None, call_id: str) -> None:
        """Take note that the client of a call has gone; see `CellRegistry.client_left`."""
        if (cell := self._cells.loaded(cell_id)) is not None:
            cell.client_left(call_id)

    async def finish(self, cell_id: str | None, call_id: str, end: dict[str, Any] | None) -> None:
        """Take a call out of flight; see `CellRegistry.finish`."""
        self.finish_soon(cell_id, call_id, end)

    def finish_soon(self, cell_id: str | None, call_id: str, end: dict[str, Any] | None) -> None:
        """Take a call out of flight; see `CellRegistry.finish`."""
        cell = self._cells[cell_id]
        if end is not None:
            cell.add(end)
        else:
            cell.enter_windows()
        cell.finish(call_id)

    async def open(self, cell_id: str) -> None:
        """Make a cell known; see `CellRegistry.open`."""
        cell = self._cells[cell_id]
        fix = "name another cell (run-cell: --run N)"
        if cell.last_seq or cell.in_flight:
            raise Rejected(USED, f"the ledger has calls of {cell_id} already; {fix}")
        if cell.sealed:
            raise Rejected(SEALED, f"cell {cell_id} is sealed already{_where(cell)}; {fix}")

    async def seal(self, cell_id: str, wait_s: float) -> CellSnapshot:
        """Close a cell; see `CellRegistry.seal`."""
        cell = self._cells[cell_id]
        if cell.sealed:
            raise Rejected(SEALED, f"cell {cell_id} is sealed already{_where(cell)}")
        cell.sealed = True  # first, so that no call slips in while the others finish
        cell.wake()
        idle = False
        try:
            await self._settle(cell)
            idle = await cell.idle(wait_s)
        finally:
            cell.sealed = idle
        if not idle:
            message = f"{counted(len(cell.in_flight), 'call')} of cell {cell_id} still in flight"
            raise Rejected(IN_FLIGHT, message)
        return _snapshot(cell)

    def reopen(self, cell_id: str) -> None:
        """Undo a seal whose record could not be written."""
        self._cells[cell_id].sealed = False

    async def totals(
        self, prefix: str = "", after: str | None = None, limit: int | None = None
    ) -> list[CellSnapshot]:
        """Return the state of cells, sorted by id; see `CellRegistry.totals`."""
        if self.elsewhere is not None and not await self.elsewhere.settle_all():
            raise Rejected(REGISTRY_LOST, "a worker does not say what its calls have come to")
        return [_snapshot(cell) for cell in self._cells.page(prefix, after, limit)]

    def note_limits(self, ask: AdmissionRequest) -> None:
        """Remember the limits of a call's key."""
        if ask.counts:  # of others, some come without the limits of their key
            cell = self._cells[ask.cell_id]
            cell.limits, cell.expires_s = ask.limits, ask.expires_s

    async def limits(self, cell_ids: list[str | None]) -> list[CellLimits | None]:
        """Return what cells may spend; see `CellRegistry.limits`."""
        return [self._limits(self._cells.loaded(cell_id)) for cell_id in cell_ids]

    def _limits(self, cell: CellState | None) -> CellLimits | None:
        if cell is None or cell.limits is None:
            return None
        on_unknown = cell.limits.on_unknown or self.on_unknown
        used = windows_used(cell, cell.limits, on_unknown)
        return CellLimits(cell.limits, cell.expires_s, on_unknown, cell.elsewhere, used)

    async def load(self) -> RegistryLoad:
        """Return what goes on over all cells; see `CellRegistry.load`."""
        trips = 0
        if self.elsewhere is not None:
            await self.elsewhere.settle_all()
            trips = self.elsewhere.ipc_round_trips
        return RegistryLoad(self._cells.in_flight(), trips)


class _Wait:
    """How long a call waits for calls in flight."""

    def __init__(self) -> None:
        self._began_s: float | None = None

    def begin(self) -> None:
        """Take note that it must wait."""
        if self._began_s is None:
            self._began_s = time.monotonic()  # uvloop's own time is of whole milliseconds

    def queued_ms(self) -> float:
        """Return how long it has waited; 0 if it need not."""
        if self._began_s is None:
            return 0.0
        return round((time.monotonic() - self._began_s) * 1000, 3)


def _snapshot(cell: CellState) -> CellSnapshot:
    return CellSnapshot(cell.cell_id, cell.sealed, len(cell.in_flight), cell.totals)


def _where(cell: CellState) -> str:
    return " in another ledger of this state folder" if cell.sealed_elsewhere else ""


def _refused(cell: CellState, ask: AdmissionRequest, why: str) -> Rejected:
    cell.begin(ask.call_id, counts=False)  # until its record is written: a seal waits for that
    return Rejected(LIMIT_REACHED, f"cell {cell.cell_id} {why}; nothing was forwarded")
