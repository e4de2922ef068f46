"""What calls come to in the present minute, day and month, all of UTC.

A window is one minute, day or month of the calendar, and is named by the beginning of an instant's text:
`2026-12-01T02:38`, `2026-12-01`, `2026-12`. A call counts in the window in which it was admitted, what it
has used in the window in which it ended. A window that has begun is never left for an earlier one, so that
a clock that is set back makes nothing fresh.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from cab.scoring.ledger.money import EXACT
from cab.scoring.ledger.totals import CallTotals, Fields
from cab.scoring.timestamps import instant_us, rfc3339

PERIODS = ("minute", "day", "month")
MINUTE, DAY, MONTH = range(3)
MINUTE_NS = 60_000_000_000
_NAME_CHARS = (16, 10, 7)
_INSTANT_CHARS = 20


class Sums(NamedTuple):
    """What limits ask of a set of calls; those of a part of the set can be taken away."""

    calls: int = 0
    """Model calls that were admitted."""
    tokens: int = 0
    """What is known of the tokens of those that have ended."""
    usd: Decimal = Decimal(0)
    """What is known of their prices, in US dollars."""
    uncounted: int = 0
    """Calls that may have cost something and were not counted wholly."""
    uncounted_tokens: int = 0
    """What these are charged with, over what is known of them."""
    unknown_prices: int = 0
    """Calls that are charged as the dearest one; see `CallTotals.unknown_prices`."""
    unpriced: int = 0
    """Calls that were counted, and whose model has no price that is known."""

    def plus(self, more: "Sums") -> "Sums":
        """Return the sums of both sets."""
        return Sums(
            self.calls + more.calls,
            self.tokens + more.tokens,
            EXACT.add(self.usd, more.usd),
            self.uncounted + more.uncounted,
            self.uncounted_tokens + more.uncounted_tokens,
            self.unknown_prices + more.unknown_prices,
            self.unpriced + more.unpriced,
        )

    def minus(self, less: "Sums") -> "Sums":
        """Return the sums of what is left without a part."""
        return Sums(
            self.calls - less.calls,
            self.tokens - less.tokens,
            EXACT.subtract(self.usd, less.usd),
            self.uncounted - less.uncounted,
            self.uncounted_tokens - less.uncounted_tokens,
            self.unknown_prices - less.unknown_prices,
            self.unpriced - less.unpriced,
        )

    def at_least_nothing(self) -> "Sums":
        """Return the sums with 0 in the place of what is below it."""
        usd = max(self.usd, Decimal(0))
        counts = (max(count, 0) for count in self[3:])
        return Sums(max(self.calls, 0), max(self.tokens, 0), usd, *counts)


NOTHING = Sums()


def sums_of(totals: CallTotals, calls: int) -> Sums:
    """Return what calls have come to.

    Args:
        totals: Of those that have ended.
        calls: How many were admitted.
    """
    total, cost = totals.tokens.total, totals.cost
    over = total.at_most + totals.tokens.assumed
    uncounted, unpriced = total.missing + total.least, (totals.unknown_prices, cost.unpriced)
    return Sums(calls, total.known, cost.known, uncounted, over, *unpriced)


@dataclass(slots=True)
class WindowSums:
    """What the calls of a cell came to in the latest windows that their records name."""

    names: list[str] = field(default_factory=lambda: ["", "", ""])
    """Of the windows, in the order of `PERIODS`; empty: no record names one."""
    sums: list[Sums] = field(default_factory=lambda: [NOTHING, NOTHING, NOTHING])

    def add(self, instant: str, sums: Sums) -> None:
        """Add what came about at an instant; where that is not known, in the latest windows."""
        for period, chars in enumerate(_NAME_CHARS):
            self._add(period, instant[:chars], sums)

    def _add(self, period: int, name: str, sums: Sums) -> None:
        if name > self.names[period]:
            self.names[period], self.sums[period] = name, sums
        elif not name or name == self.names[period]:
            self.sums[period] = self.sums[period].plus(sums)

    def add_call(self, call: Fields, spent: Sums) -> None:
        """Add a call by its END, or by its START where that is all there is.

        Args:
            call: The members of the record.
            spent: What it adds to the sums.
        """
        began = _admitted_at(call)
        ended = _instant(call, "ended_at") or began
        if began[:16] == ended[:16]:
            self.add(ended, spent)
            return
        if spent.calls:
            self.add(began, Sums(calls=spent.calls))
        self.add(ended, spent._replace(calls=0))

    def merge(self, others: "WindowSums") -> None:
        """Add those of the same cell in another ledger."""
        for period in range(len(PERIODS)):
            if name := others.names[period]:
                self._add(period, name, others.sums[period])

    def without(self, others: "WindowSums") -> "WindowSums":
        """Return what these hold over others, never less than nothing."""
        left = WindowSums(list(self.names), list(self.sums))
        for period in range(len(PERIODS)):
            if others.names[period] == left.names[period]:
                rest = left.sums[period].minus(others.sums[period])
                left.sums[period] = rest.at_least_nothing()
        return left

    def packed(self) -> list[Any]:
        """Return it as JSON values; money as text."""
        sums = [[*each[:2], str(each.usd), *each[3:]] for each in self.sums]
        return [self.names, sums]

    @classmethod
    def unpacked(cls, values: list[Any]) -> "WindowSums":
        """Return what `packed` packed."""
        names, sums = values
        return cls(names, [Sums(c, t, Decimal(usd), *rest) for c, t, usd, *rest in sums])


def _instant(call: Fields, name: str) -> str:
    """Return an instant of a record that nobody may have checked; empty if it is not one."""
    text = call.get(name)
    return text if isinstance(text, str) and len(text) >= _INSTANT_CHARS and text < "A" else ""


def _admitted_at(call: Fields) -> str:
    """Return when a call was admitted: it may have waited for that over the end of a minute."""
    started, queued_ms = _instant(call, "started_at"), call.get("queued_ms")
    if not started or not queued_ms or type(queued_ms) not in (int, float):
        return started
    try:
        return rfc3339((instant_us(started) + round(queued_ms * 1000)) * 1000)
    except (ValueError, OverflowError):
        return started


@dataclass(slots=True)
class Windows:
    """The present windows of a cell while the proxy runs."""

    minute: int = -1
    """Number of the present minute since the Unix epoch."""
    names: list[str] = field(default_factory=lambda: ["", "", ""])
    before: list[Sums] = field(default_factory=lambda: [NOTHING, NOTHING, NOTHING])
    """What the cell had come to when each of them began."""

    @classmethod
    def of(cls, stored: WindowSums, now: Sums) -> "Windows":
        """Return the windows of a cell that has calls.

        Args:
            stored: What they came to in the latest windows, in all ledgers.
            now: What they came to in all, in the present ledger.
        """
        return cls(-1, list(stored.names), [now.minus(each) for each in stored.sums])

    def enter(self, minute: int, now: Sums) -> None:
        """Begin the windows of a minute that is later than the present one.

        Args:
            minute: Since the Unix epoch.
            now: What the cell has come to before that.
        """
        self.minute, instant = minute, rfc3339(minute * MINUTE_NS)
        for period, chars in enumerate(_NAME_CHARS):
            if (name := instant[:chars]) > self.names[period]:
                self.names[period], self.before[period] = name, now

    def heard_late(self, minute: int, sums: Sums) -> None:
        """Take what has come about in an earlier minute, and is only now a part of all sums.

        Args:
            minute: Since the Unix epoch.
            sums: What it adds to them.
        """
        instant = rfc3339(minute * MINUTE_NS)
        for period, chars in enumerate(_NAME_CHARS):
            if instant[:chars] < self.names[period]:
                self.before[period] = self.before[period].plus(sums)


def next_begin(period: int, name: str) -> str:
    """Return when the window behind another one begins, as RFC 3339 in UTC to the second.

    Args:
        period: Which one of `PERIODS`.
        name: Of the window that is present; a clock that was set back does not end it earlier.

    >>> next_begin(MONTH, "2026-12"), next_begin(MINUTE, "2026-12-31T23:59")
    ('2027-01-01T00:00:00Z', '2027-01-01T00:00:00Z')
    """
    if period == MONTH:
        year, month = divmod(int(name[:4]) * 12 + int(name[5:7]), 12)
        return f"{year:04d}-{month + 1:02d}-01T00:00:00Z"
    width_ns = MINUTE_NS if period == MINUTE else 24 * 60 * MINUTE_NS
    begin = f"{name}{'2026-01-01T00:00:00Z'[len(name) :]}"
    return f"{rfc3339(instant_us(begin) * 1000 + width_ns)[:19]}Z"


def until_s(instant: str, wall_ns: int) -> int:
    """Return how long it is to an instant, in whole seconds rounded up, 1 at least."""
    return max(1, -(-(instant_us(instant) * 1000 - wall_ns) // 1_000_000_000))
