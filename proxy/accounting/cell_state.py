"""What the proxy knows of each cell while it runs: numbers, calls in flight, totals, sealed or not."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import NamedTuple, Protocol

from cab.proxy.accounting.limits import KeyLimits
from cab.proxy.accounting.windows import MINUTE_NS, Sums, Windows, sums_of
from cab.scoring.ledger.totals import CallTotals, Fields

_REMEMBERED_REQUESTS = 64
"""Requests per cell whose repetition is recognised; agents retry at once, not after hundreds."""


class AttemptNumber(NamedTuple):
    """Where a request stands among the repetitions of the same call."""

    number: int
    retry_of: str | None


@dataclass(slots=True)
class _Seen:
    """The last attempt of one request hash."""

    first_call_id: str
    last_call_id: str
    number: int
    failed: bool
    """It failed, or its client has gone without having seen the end of its answer."""


@dataclass(slots=True)
class Waiter:
    """Waits for changes of a cell; those that come while it does something else are not missed."""

    limits: KeyLimits | None = None
    """Those of the call that waits; None: it is not a call."""
    admitted: bool = False
    """Whether it got what it waited for."""
    withdrawn: bool = False
    """Whether its wait was ended."""
    _change: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        """Take note of a change."""
        self._change.set()

    async def changed(self) -> bool:
        """Wait for the next change; return False if the wait was ended."""
        await self._change.wait()
        self._change.clear()
        return not self.withdrawn


@dataclass(slots=True)
class CellState:
    """One cell's state. `None` as id stands for calls that no cell was named for."""

    cell_id: str | None
    last_seq: int = 0
    sealed: bool = False
    totals: CallTotals = field(default_factory=CallTotals)
    """Of the calls that have ended."""
    elsewhere: CallTotals | None = None
    """What it has spent in other ledgers of the same state folder; no part of `totals`."""
    sealed_elsewhere: bool = False
    """Whether its seal is in one of those."""
    largest_tokens: int = 0
    """Tokens of the largest call so far."""
    limits: KeyLimits | None = None
    """Those of the key of its last model call; None: it has made none since the start."""
    expires_s: int | None = None
    """When that key expires, in seconds since the Unix epoch; None: the call came without one."""
    in_flight: set[str] = field(default_factory=set[str])
    """All that a seal waits for: calls, and refusals that are being recorded."""
    running: set[str] = field(default_factory=set[str])
    """Those of them that are model calls; limits count these."""
    windows: Windows = field(default_factory=Windows)
    wall_ns: Callable[[], int] = time.time_ns
    """Nanoseconds since the Unix epoch."""
    unused: list[int] = field(default_factory=list[int])
    """Numbers that were taken for calls that were never made; a heap."""
    _waiting: dict[str, Waiter] = field(default_factory=dict[str, Waiter])
    _seen: OrderedDict[str, _Seen] = field(default_factory=OrderedDict[str, _Seen])

    @property
    def charged(self) -> CallTotals:
        """What counts against its limits."""
        return self.totals if self.elsewhere is None else self.totals + self.elsewhere

    def enter_windows(self, minute: int | None = None) -> None:
        """Begin the minute, day and month of a minute, if they have not begun.

        Args:
            minute: Since the Unix epoch; None: the one that the clock shows.
        """
        if minute is None:
            minute = self.wall_ns() // MINUTE_NS
        if minute > self.windows.minute:
            self.windows.enter(minute, self._sums())

    @contextmanager
    def told(self, minute: int | None) -> Generator[None]:
        """Have what is told of the cell in the context count in the minute in which it has come about.

        Args:
            minute: Since the Unix epoch; None: the one that the clock shows.
        """
        self.enter_windows(minute)
        if minute is None or minute == self.windows.minute:
            yield
            return
        before = self._sums()
        yield
        self.windows.heard_late(minute, self._sums().minus(before))

    def window(self, period: int) -> Sums:
        """Return what has come about in the present window; those in flight count as admitted.

        Args:
            period: Which one of `PERIODS`.
        """
        self.enter_windows()
        return self._sums().minus(self.windows.before[period])

    def _sums(self) -> Sums:
        return sums_of(self.totals, self.totals.calls + len(self.running))

    def next_seq(self) -> int | None:
        """Return the number of the next call, 1-based; None where there is no cell to count in."""
        if self.cell_id is None:
            return None
        if self.unused:
            return heappop(self.unused)
        self.last_seq += 1
        return self.last_seq

    def give_back(self, number: int) -> None:
        """Have the next call take a number that was taken, and under which no record was written."""
        if self.cell_id is not None:
            heappush(self.unused, number)

    def attempt(self, request_hash: str | None, call_id: str) -> AttemptNumber:
        """Return which attempt of which call a request is, and remember it.

        A request repeats the one before it with the same hash if that one failed, or if its client
        has gone. What a client says of itself (`x-stainless-retry-count`) does not count: an agent
        could make one call of five by it.
        """
        if request_hash is None:
            return AttemptNumber(1, None)
        seen = self._seen.pop(request_hash, None)
        if seen is None or not seen.failed:
            self._remember(request_hash, _Seen(call_id, call_id, 1, failed=False))
            return AttemptNumber(1, None)
        seen.last_call_id = call_id
        seen.number += 1
        seen.failed = False
        self._remember(request_hash, seen)
        return AttemptNumber(seen.number, seen.first_call_id)

    def _remember(self, request_hash: str, seen: _Seen) -> None:
        self._seen[request_hash] = seen
        if len(self._seen) > _REMEMBERED_REQUESTS:
            self._seen.popitem(last=False)

    def client_left(self, call_id: str) -> None:
        """Take note that the client of a call in flight has gone: the same request repeats it."""
        for seen in self._seen.values():
            if seen.last_call_id == call_id:
                seen.failed = True

    def attempt_failed(
        self, request_hash: str, call_id: str, first_call_id: str, number: int
    ) -> None:
        """Take note that a call has failed, or its client has gone, that was admitted elsewhere or here.

        Args:
            request_hash: Of its request.
            call_id: The call.
            first_call_id: The first call that it repeats, or itself.
            number: Which attempt it was, 1-based.
        """
        seen = self._seen.pop(request_hash, None)
        # Ids sort by time: what is remembered may be an earlier call, which had not failed.
        if seen is None or seen.last_call_id < call_id:
            seen = _Seen(first_call_id, call_id, number, failed=True)
        seen.failed = True
        self._remember(request_hash, seen)

    def failed_requests(self) -> list[str]:
        """Return the hashes of the requests whose repetition is a further attempt."""
        return [request_hash for request_hash, seen in self._seen.items() if seen.failed]

    def begin(self, call_id: str, *, counts: bool = True) -> None:
        """Count a call as in flight; `counts` says whether it is one for the limits as well."""
        self.enter_windows()
        self.take_begun(call_id, counts=counts)

    def take_begun(self, call_id: str, *, counts: bool) -> None:
        """Do the same for a call that was admitted elsewhere, where `told` says when."""
        self.in_flight.add(call_id)
        if counts:
            self.running.add(call_id)

    def finish(self, call_id: str) -> None:
        """Count a call as no longer in flight."""
        self.in_flight.discard(call_id)
        self.running.discard(call_id)
        self.wake()

    @property
    def has_waiting(self) -> bool:
        """Whether somebody waits for a change."""
        return bool(self._waiting)

    def wake(self) -> None:
        """Let all that wait for a change look again, first come first."""
        for waiter in self._waiting.values():
            waiter.wake()

    def withdraw(self, call_id: str) -> None:
        """End the wait of a call, if it waits."""
        waiter = self._waiting.get(call_id)
        if waiter is not None:
            waiter.withdrawn = True
            waiter.wake()

    @contextmanager
    def waiting(self, who: str, limits: KeyLimits | None = None) -> Generator[Waiter]:
        """Give what waits for changes, each of which it sees while the context is open.

        Args:
            who: The call that waits, if it is one.
            limits: Of its key.
        """
        waiter = self._waiting[who] = Waiter(limits)
        try:
            yield waiter
        finally:
            self._waiting.pop(who, None)
            # Those that came later have stood behind it, and there may be room for more than one.
            self._wake_next(limits) if waiter.admitted else self.wake()

    def _wake_next(self, limits: KeyLimits | None) -> None:
        for waiter in self._waiting.values():
            if waiter.limits == limits:
                waiter.wake()
                return

    def is_behind(self, call_id: str, limits: KeyLimits) -> bool:
        """Return whether another call that came earlier waits for room within the same limits."""
        for who, waiter in self._waiting.items():
            if who == call_id:
                return False
            if waiter.limits == limits and not waiter.withdrawn:
                return True
        return False

    def add(self, call: Fields) -> None:
        """Add a call to the totals, by its END, or by its START if its END is lost."""
        self.enter_windows()
        seen = self._seen.get(call.get("request_hash") or "")
        if seen is not None and call.get("end_reason") != "rejected":
            seen.failed = call.get("end_reason") != "completed"
        tokens = self.totals.tokens.total
        tokens_before = tokens.known
        self.totals.add(call)
        self.largest_tokens = max(self.largest_tokens, tokens.known - tokens_before)

    def merge(self, totals: CallTotals, largest_tokens: int) -> None:
        """Add calls that were added up elsewhere, where `told` says when."""
        self.totals = self.totals + totals
        self.largest_tokens = max(self.largest_tokens, largest_tokens)

    async def idle(self, limit_s: float) -> bool:
        """Wait until no call is in flight; return whether that came true within the limit."""
        try:
            async with asyncio.timeout(limit_s):
                with self.waiting("") as waiter:
                    while self.in_flight:
                        await waiter.changed()
        except TimeoutError:
            return False
        return True


class StoredCells(Protocol):
    """What is known of cells that nobody has asked for since the start."""

    def load(self, cell_id: str | None) -> CellState | None:
        """Return a cell, None if nothing is known of it.

        Raises:
            Rejected: It cannot be looked up.
        """
        ...

    def page(self, prefix: str, after: str | None, limit: int | None) -> Iterable[CellState]:
        """Return the ledger's cells whose id begins with a text, sorted by id.

        Args:
            prefix: The text.
            after: Only ids that sort behind this one.
            limit: So many at most.
        """
        ...


class CellStates:
    """All cells that the ledger or a client has named.

    Args:
        stored: Knows the cells of the ledger; each is loaded when it is first asked for. None: there are
            none yet.
        wall_ns: Nanoseconds since the Unix epoch, by which minutes, days and months begin.
    """

    def __init__(
        self, stored: StoredCells | None = None, wall_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._stored = stored
        self._wall_ns = wall_ns
        self._cells: dict[str | None, CellState] = {}

    def __getitem__(self, cell_id: str | None) -> CellState:
        cell = self._cells.get(cell_id)
        if cell is None:
            loaded = None if self._stored is None else self._stored.load(cell_id)
            cell = self._cells[cell_id] = loaded or CellState(cell_id)
            cell.wall_ns = self._wall_ns
        return cell

    def loaded(self, cell_id: str | None) -> CellState | None:
        """Return a cell if it was asked for since the start."""
        return self._cells.get(cell_id)

    def page(
        self, prefix: str = "", after: str | None = None, limit: int | None = None
    ) -> list[CellState]:
        """Return the cells whose id begins with a text, sorted by id; see `StoredCells.page`."""
        found = {
            cell_id: cell
            for cell_id, cell in self._cells.items()
            if cell_id is not None
            and cell_id.startswith(prefix)
            and (after is None or cell_id > after)
        }
        if self._stored is not None:
            stored = self._stored.page(prefix, after, limit)
            found = {str(cell.cell_id): cell for cell in stored} | found
        return [found[cell_id] for cell_id in sorted(found)[:limit]]

    def in_flight(self) -> int:
        """Return the number of calls in flight over all cells."""
        return sum(len(cell.in_flight) for cell in self._cells.values())
