"""Whether the limits of a key leave room for a further call of its cell."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from decimal import Decimal
from typing import NamedTuple

from cab.proxy.accounting.cell_state import CellState, Waiter
from cab.proxy.accounting.limits import KeyLimits, OnUnknown, WindowLimit
from cab.proxy.accounting.spending import Spent, charged, spent_of
from cab.proxy.accounting.windows import MINUTE, MINUTE_NS, PERIODS, next_begin, until_s
from cab.scoring.ledger.money import EXACT
from cab.scoring.printable import counted


class Room(NamedTuple):
    """What stands in the way of a call, at most one of the four."""

    reached: str | None = None
    """The limit that leaves no room before tomorrow, in words."""
    minute: str | None = None
    """The limit that leaves no room before the next minute, or until calls in flight have ended."""
    minute_s: int = 0
    """How long the present minute still lasts, in whole seconds rounded up."""
    crowded: bool = False
    """Whether it must wait for those in flight."""


FREE = Room()


def room_for(cell: CellState, limits: KeyLimits, on_unknown: OnUnknown, *, counts: bool) -> Room:
    """Return what stands in the way of a call.

    Args:
        cell: The cell; it has calls of no other process that are not known here.
        limits: Of the call's key.
        on_unknown: What an uncounted call costs them.
        counts: Whether it is a model call; others do not wait.
    """
    if limits.bound_nothing:
        return FREE
    totals = cell.charged
    spent, dearest = spent_of(totals, on_unknown), totals.cost.largest
    if (limit := _reached(cell, totals.calls, spent, limits)) is not None:
        return Room(reached=limit)
    uses = [_use(cell, window, dearest, on_unknown) for window in limits.windows]
    for use in uses:
        if use.is_reached and use.window.period != MINUTE:
            return Room(reached=_no_more(cell, use))
    for use in uses if counts else ():
        if use.is_reached or use.may_fill:
            return _wait(cell, use)
    return Room(crowded=counts and _crowded(cell, dearest, spent, limits))


class _Use(NamedTuple):
    window: WindowLimit
    used: int | Decimal
    uncounted: str
    """Words for a refusal: how many calls are part of it without a count."""
    may_fill: bool
    """Whether the calls in flight would use up the limit, if each were the largest so far."""

    @property
    def is_reached(self) -> bool:
        return self.used >= self.window.most


def _use(cell: CellState, window: WindowLimit, dearest: Decimal, on_unknown: OnUnknown) -> _Use:
    """Return what counts against a limit of a window."""
    sums, running = cell.window(window.period), len(cell.running)
    spent = charged(sums, dearest, on_unknown)
    if window.amount == "calls":
        return _Use(window, sums.calls, "", may_fill=False)
    if window.amount == "tokens":
        full = running > 0 and spent.tokens + running * cell.largest_tokens >= window.most
        return _Use(window, spent.tokens, spent.unknown_tokens, full)
    full = running > 0 and EXACT.fma(dearest, running, spent.usd) >= window.most
    return _Use(window, spent.usd, spent.unknown_usd, full)


def _wait(cell: CellState, use: _Use) -> Room:
    if use.window.period != MINUTE:
        return Room(crowded=True)
    left_s = until_s(next_begin(MINUTE, cell.windows.names[MINUTE]), cell.wall_ns())
    return Room(minute=f"{_named(use.window)}{use.uncounted}", minute_s=left_s)


def _no_more(cell: CellState, use: _Use) -> str:
    begin = next_begin(use.window.period, cell.windows.names[use.window.period])
    name = PERIODS[use.window.period]
    return f"{_named(use.window)}{use.uncounted}; the next {name} begins at {begin}"


_UNITS = {"calls": "calls", "tokens": "tokens", "cost_usd": "US dollars"}


def _named(window: WindowLimit) -> str:
    most = window.most if isinstance(window.most, int) else f"{window.most:f}"
    return f"{most} {_UNITS[window.amount]} per {PERIODS[window.period]} ({window.name})"


def _reached(cell: CellState, ended: int, spent: Spent, limits: KeyLimits) -> str | None:
    """Return the limit that leaves no room for any further call; None if there is none."""
    calls = ended + len(cell.running)
    if limits.max_calls is not None and calls >= limits.max_calls:
        return f"{counted(limits.max_calls, 'call')} (max_calls)"
    if limits.max_tokens is not None and spent.tokens >= limits.max_tokens:
        return f"{limits.max_tokens} tokens (max_tokens){spent.unknown_tokens}"
    if limits.max_cost_usd is not None and spent.usd >= limits.max_cost_usd:
        return f"{limits.max_cost_usd:f} US dollars (max_cost_usd){spent.unknown_usd}"
    return None


def _crowded(cell: CellState, dearest: Decimal, spent: Spent, limits: KeyLimits) -> bool:
    """Return whether a call must wait for those in flight.

    What they will cost is not known. If each of them is taken for the largest call so far and that
    would use up a limit, the next call waits until they have ended: near a limit calls go one by
    one, so that it is passed by at most one of them.
    """
    running = len(cell.running)
    if running == 0:
        return False
    if limits.max_concurrency is not None and running >= limits.max_concurrency:
        return True
    tokens = spent.tokens + running * cell.largest_tokens
    if limits.max_tokens is not None and tokens >= limits.max_tokens:
        return True
    cost = EXACT.fma(dearest, running, spent.usd)
    return limits.max_cost_usd is not None and cost >= limits.max_cost_usd


def windows_used(
    cell: CellState, limits: KeyLimits, on_unknown: OnUnknown
) -> tuple[tuple[str, int | str | None], ...]:
    """Return what counts against the limits of a minute, a day and a month; see `CellLimits.windows`.

    Args:
        cell: The cell.
        limits: Of its key.
        on_unknown: What an uncounted call costs them.
    """
    dearest = cell.charged.cost.largest if limits.windows else Decimal(0)
    found: list[tuple[str, int | str | None]] = []
    for window in limits.windows:
        used = _use(cell, window, dearest, on_unknown).used
        shown = used if isinstance(used, int) else f"{used:f}" if used.is_finite() else None
        found.append((window.name, shown))
    return tuple(found)


@contextmanager
def woken_next_minute(cell: CellState, limits: KeyLimits, waiter: Waiter) -> Generator[None]:
    """Wake what waits when the next minute begins, if that can give it room."""
    if not limits.windows:
        yield
        return
    left_s = (MINUTE_NS - cell.wall_ns() % MINUTE_NS) / 1e9
    # Timers of an event loop are of whole milliseconds, and another clock: not too early.
    timer = asyncio.get_running_loop().call_later(left_s + 0.002, waiter.wake)
    try:
        yield
    finally:
        timer.cancel()
