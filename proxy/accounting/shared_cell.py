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
from cab.scoring.ledger.money import EXACT

_PICO = 12
MOST = 1 << 62
"""Counters that come near to what a place can hold close it."""


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
    failed: frozenset[str]
    """Hashes of requests whose repetition would be a further attempt: the registry numbers it."""

    def packed(self) -> list[Any]:
        """Return it as JSON values."""
        return [*self[:-1], list(self.failed)]

    @classmethod
    def unpacked(cls, values: list[Any]) -> "CellShare":
        """Return what `packed` packed."""
        on_unknown, uncounted, uncounted_tokens, unpriced, failed = values
        return cls(on_unknown, uncounted, uncounted_tokens, unpriced, frozenset(failed))


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
    return Counters(cell.last_seq, calls, running, tokens, cell.largest_tokens, *prices, unpriced)


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
    failed = frozenset(cell.failed_requests())
    return CellShare(on_unknown, uncounted, over, charged.unknown_prices, failed)


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
    if limits.windows:
        return False  # the counters do not say when
    calls, running = counters[1:3]
    if limits.max_calls is not None and calls >= limits.max_calls:
        return False
    if counts and running and running >= (limits.max_concurrency or running + 1):
        return False
    return _may_spend(share, counters, limits, running if counts else 0)


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

    def admit(self, ask: AdmissionRequest) -> int | None:
        """Return the number of a call, which runs from now on; None if the registry must decide."""
        memory, place, share, limits = self._memory, self._place, self.share, ask.limits
        if share is None or ask.request_hash in share.failed:
            return None
        if not memory.holds(place, self.generation) or not memory.lock(place):
            return None
        try:
            if not memory.holds(place, self.generation):
                return None
            counters = memory.read(place)
            if not (limits.bound_nothing or has_room(share, counters, limits, counts=ask.counts)):
                return None
            last_seq, calls, running, *spent = counters
            seq, more = last_seq + 1, int(ask.counts)
            memory.write(place, seq, calls + more, running + more, *spent)
        finally:
            memory.unlock(place)
        return seq

    def finish(self, used: Used, *, counts: bool) -> bool:
        """Take a call out of flight, and what it used into the counters.

        Args:
            used: What it adds.
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
            self._add(used, less=int(counts))
            if not used.is_plain:
                self.close()
        finally:
            memory.unlock(place)
        return memory.holds(place, self.generation)

    def _add(self, used: Used, less: int) -> None:
        counters = self._memory.read(self._place)
        last_seq, calls, running, tokens, largest, spent, dearest, unpriced = counters
        price = 0 if used.usd is None else picodollars(used.usd)
        tokens, spent = tokens + used.tokens, spent + price
        if max(tokens, spent) > MOST:
            self.close()
            return
        calls, running = calls + used.calls - less, running - less
        largest, dearest = max(largest, used.tokens), max(dearest, price)
        unpriced += used.unpriced
        sums = tokens, largest, spent, dearest, unpriced
        self._memory.write(self._place, last_seq, calls, running, *sums)

    def close(self) -> None:
        """Have the registry decide about the next call: something has happened that it must know."""
        self._memory.bar(self._place, self.generation)
