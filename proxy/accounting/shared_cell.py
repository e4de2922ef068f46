"""A cell that each worker may admit calls of, by counters that all of them share.

The decision is that of the cell registry (`admission`), made by the same numbers. It is yes only where the
registry would say yes; whatever is not a plain yes, the registry decides.
"""

import math
from decimal import Decimal
from typing import Any, NamedTuple

from cab.proxy.accounting.admission import AdmissionRequest
from cab.proxy.accounting.cell_state import CellState
from cab.proxy.accounting.limits import KeyLimits, OnUnknown
from cab.proxy.accounting.shared_memory import Counters, SharedMemory
from cab.proxy.accounting.windows import PERIODS
from cab.scoring.ledger.money import EXACT
from cab.scoring.ledger.totals import CallTotals

_PICO = 12
MOST = 1 << 62
"""Counters that come near to what a place can hold close it."""


class WindowFloor(NamedTuple):
    """What the counters of a cell held when a window began, so that what they hold over it is of the window."""

    calls: int
    tokens: int
    picodollars: int
    """Rounded down."""


class CellShare(NamedTuple):
    """What a worker needs to know of a cell to admit its calls, besides the counters."""

    on_unknown: OnUnknown
    """What an uncounted call costs a key that does not say so itself."""
    uncounted: bool
    """Whether calls have ended that nobody counted."""
    uncounted_tokens: int
    """What these are charged with, over what is known of them."""
    unpriced: int
    """How many of them are charged as the dearest call, at most."""
    minute: int
    """The one in which it was shared, since the Unix epoch."""
    floors: list[WindowFloor | None]
    """Of that minute, its day and its month; None: a call in it has no count or no price."""
    without_price: int
    """How many calls had no price when the cell was shared."""
    failed: frozenset[str]
    """Hashes of requests whose repetition would be a further attempt: the registry numbers it."""

    def packed(self) -> list[Any]:
        """Return it as JSON values."""
        floors = [None if each is None else list(each) for each in self.floors]
        return [*self[:-3], floors, self.without_price, list(self.failed)]

    @classmethod
    def unpacked(cls, values: list[Any]) -> "CellShare":
        """Return what `packed` packed."""
        on_unknown, uncounted, uncounted_tokens, unpriced, minute, floors, *rest, failed = values
        known = [None if each is None else WindowFloor(*each) for each in floors]
        sums = uncounted, uncounted_tokens, unpriced
        return cls(on_unknown, *sums, minute, known, rest[0], frozenset(failed))


class Used(NamedTuple):
    """What a call that has ended adds to the counters of its cell."""

    calls: int = 0
    """1 if it is part of the totals as a model call."""
    tokens: int = 0
    usd: Decimal | None = None
    """Its price; None where none was stated."""
    unpriced: int = 0
    """1 if it was counted and has no price."""
    is_plain: bool = True
    """Whether this is all that it adds: it was counted, and did not fail."""


def counters_of(cell: CellState) -> Counters:
    """Return the counters of a cell now."""
    charged, running = cell.charged, len(cell.running)
    tokens = charged.tokens.total.known
    prices = picodollars(charged.cost.known), picodollars(charged.cost.largest)
    unpriced = charged.cost.unpriced
    calls = charged.calls + running
    cell.enter_windows()
    sums = tokens, cell.largest_tokens, *prices, unpriced
    return Counters(cell.last_seq, calls, running, *sums, cell.windows.minute)


def share_of(cell: CellState, on_unknown: OnUnknown) -> CellShare:
    """Return what workers need to know of a cell besides its counters.

    Args:
        cell: The cell.
        on_unknown: What an uncounted call costs a key that does not say so itself.
    """
    charged = cell.charged
    tokens = charged.tokens.total
    uncounted = tokens.missing + tokens.least > 0
    over = charged.charged_tokens - tokens.known
    floors = [_floor(cell, charged, period) for period in range(len(PERIODS))]
    return CellShare(
        on_unknown,
        uncounted,
        over,
        charged.unknown_prices,
        cell.windows.minute,
        floors,
        charged.cost.unpriced,
        frozenset(cell.failed_requests()),
    )


def _floor(cell: CellState, charged: CallTotals, period: int) -> WindowFloor | None:
    used = cell.window(period)
    if used.uncounted or used.unknown_prices or used.unpriced:
        return None
    usd = EXACT.scaleb(EXACT.subtract(charged.cost.known, used.usd), _PICO)
    calls = charged.calls + len(cell.running) - used.calls
    return WindowFloor(calls, charged.tokens.total.known - used.tokens, math.floor(usd))


def picodollars(usd: Decimal) -> int:
    """Return an amount in 10^-12 US dollars, rounded up: a limit is never found further away than it is."""
    return math.ceil(EXACT.scaleb(usd, _PICO))


def has_room(
    share: CellShare, counters: tuple[int, ...], limits: KeyLimits, *, counts: bool
) -> bool:
    """Return whether a further call keeps within limits, whatever the calls in flight will cost.

    Args:
        share: What is known of the cell besides its counters.
        counters: In the order of `Counters`.
        limits: Of the call's key.
        counts: Whether it is a model call.
    """
    calls, running = counters[1:3]
    if limits.windows and not _windows_have_room(share, counters, limits, running if counts else 0):
        return False
    if limits.max_calls is not None and calls >= limits.max_calls:
        return False
    if counts and running and running >= (limits.max_concurrency or running + 1):
        return False
    return _may_spend(share, counters, limits, running if counts else 0)


def _windows_have_room(
    share: CellShare, counters: tuple[int, ...], limits: KeyLimits, running: int
) -> bool:
    """Return the same for the limits of the present minute, day and month; arguments as for `_may_spend`."""
    calls, _, tokens, largest, spent, dearest, unpriced = counters[1:8]
    for window in limits.windows:
        floor = share.floors[window.period]
        if floor is None:
            return False
        if window.amount == "calls":
            has_room = calls - floor.calls < window.most
        elif window.amount == "tokens":
            has_room = tokens - floor.tokens + running * largest < window.most
        else:
            most = math.floor(EXACT.scaleb(Decimal(window.most), _PICO))
            used = spent - floor.picodollars + running * dearest
            has_room = unpriced == share.without_price and used < most
        if not has_room:
            return False
    return True


def _may_spend(
    share: CellShare, counters: tuple[int, ...], limits: KeyLimits, running: int
) -> bool:
    """Return whether the calls that have ended, and those that run, leave a part of each limit.

    Args:
        share: What is known of the cell besides its counters.
        counters: In the order of `Counters`.
        limits: Of the call's key.
        running: How many are taken for as large as the largest so far.
    """
    if limits.max_tokens is None and limits.max_cost_usd is None:
        return True
    tokens, largest, spent, dearest, unpriced = counters[3:8]
    on_unknown = limits.on_unknown or share.on_unknown
    if limits.max_cost_usd is not None and unpriced and on_unknown != "ignore":
        return False
    mode = on_unknown if share.uncounted else "ignore"
    if mode == "exhaust":
        return False
    if mode == "charge":
        tokens += share.uncounted_tokens
        spent += share.unpriced * dearest
    if limits.max_tokens is not None and tokens + running * largest >= limits.max_tokens:
        return False
    if limits.max_cost_usd is None:
        return True
    return spent + running * dearest < math.floor(EXACT.scaleb(limits.max_cost_usd, _PICO))


class SharedCell:
    """A shared cell as a worker uses it.

    Args:
        memory: Where the counters are.
        place: Their place.
        generation: They hold while the place is open to it.
        share: What is known of the cell besides; None: the worker admits no calls, but those that it has
            in flight will end.
    """

    __slots__ = ("_memory", "_place", "generation", "share")

    def __init__(
        self, memory: SharedMemory, place: int, generation: int, share: CellShare | None
    ) -> None:
        self._memory = memory
        self._place = place
        self.generation = generation
        self.share = share

    def admit(self, ask: AdmissionRequest, minute: int | None) -> int | None:
        """Return the number of a call, which runs from now on; None if the registry must decide.

        Args:
            ask: The call.
            minute: The present one, since the Unix epoch; None: the registry must decide.
        """
        memory, place, share, limits = self._memory, self._place, self.share, ask.limits
        if share is None or minute is None or ask.request_hash in share.failed:
            return None
        if limits.windows and minute > share.minute:
            return None  # where the next one begins, only the registry knows
        if not memory.holds(place, self.generation) or not memory.lock(place):
            return None
        try:
            if not memory.holds(place, self.generation):
                return None
            counters = memory.read(place)
            if not (limits.bound_nothing or has_room(share, counters, limits, counts=ask.counts)):
                return None
            last_seq, calls, running, *spent, latest = counters
            seq, more = last_seq + 1, int(ask.counts)
            memory.write(place, seq, calls + more, running + more, *spent, max(latest, minute))
        finally:
            memory.unlock(place)
        return seq

    def minute(self, now: int) -> int | None:
        """Return in which minute what happens now counts; None: when the registry is told, which must be at once.

        Args:
            now: What the clock shows, since the Unix epoch. One that was set back leaves no minute that has begun.
        """
        memory, place = self._memory, self._place
        if self.share is None or not memory.holds(place, self.generation):
            return None
        return max(now, memory.minute(place))

    def finish(self, used: Used, minute: int | None, *, counts: bool) -> bool:
        """Take a call out of flight, and what it used into the counters.

        Args:
            used: What it adds.
            minute: When; see `minute`.
            counts: Whether it is a model call that was admitted.

        Returns:
            Whether the next call may go by the counters; if not, the parent needs a report.
        """
        memory, place = self._memory, self._place
        if not memory.lock(place):
            self.close()  # what hangs with the lock admits nothing meanwhile, and neither do others
            return False
        try:
            if not memory.holds(place, self.generation):
                self.close()
                return False
            self._add(used, minute or 0, less=int(counts))
            if not used.is_plain:
                self.close()
        finally:
            memory.unlock(place)
        return minute is not None and memory.holds(place, self.generation)

    def _add(self, used: Used, minute: int, less: int) -> None:
        counters = self._memory.read(self._place)
        last_seq, calls, running, tokens, largest, spent, dearest, unpriced, latest = counters
        price = 0 if used.usd is None else picodollars(used.usd)
        tokens, spent = tokens + used.tokens, spent + price
        if max(tokens, spent) > MOST:
            self.close()
            return
        calls, running = calls + used.calls - less, running - less
        largest, dearest = max(largest, used.tokens), max(dearest, price)
        unpriced += used.unpriced
        sums = tokens, largest, spent, dearest, unpriced, max(latest, minute)
        self._memory.write(self._place, last_seq, calls, running, *sums)

    def close(self) -> None:
        """Have the registry decide about the next call: something has happened that it must know."""
        self._memory.bar(self._place, self.generation)
