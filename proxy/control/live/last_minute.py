"""What ended in the last minute, by seconds."""

import math
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import chain
from typing import Any, NamedTuple

from cab.proxy.control.live.board_cell import shown_sources
from cab.scoring.ledger.money import EXACT, source_of_price
from cab.scoring.ledger.totals import CallTotals

WINDOW_S = 60
"""Rates, costs and percentiles are of so many last seconds."""


class _Sums(NamedTuple):
    calls: int
    tokens: int
    uncounted: int
    cost: Decimal
    unpriced: int


def sums_of(totals: CallTotals) -> _Sums:
    """Return those sums of which the last minute has its part."""
    total, cost = totals.tokens.total, totals.cost
    return _Sums(totals.calls, total.known, total.missing + total.least, cost.known, cost.missing)


@dataclass(slots=True)
class _Second:
    calls: int = 0
    failed: int = 0
    tokens: int = 0
    estimated: int = 0
    uncounted: int = 0
    cost: Decimal = Decimal(0)
    unpriced: int = 0
    sources: set[str] = field(default_factory=set[str])
    ttft_ms: list[float] = field(default_factory=list[float])


_NOTHING = _Second()


class LastMinute:
    """Sums of calls by the second in which they ended."""

    def __init__(self) -> None:
        self._seconds: dict[int, _Second] = {}

    def add(
        self, at_s: float, before: _Sums, after: _Sums, call: dict[str, Any], *, is_bad: bool
    ) -> None:
        """Add a call that has ended.

        Args:
            at_s: When, in seconds since the Unix epoch.
            before: Sums of its cell without it.
            after: The same with it: a call is added up once, by the rules of the ledger.
            call: Members of its END.
            is_bad: Whether it failed.
        """
        second = self._seconds.get(int(at_s))
        if second is None:
            second = self._seconds[int(at_s)] = _Second()
        second.calls += after.calls - before.calls
        second.tokens += after.tokens - before.tokens
        second.uncounted += after.uncounted - before.uncounted
        second.unpriced += after.unpriced - before.unpriced
        if after.cost is not before.cost:
            second.cost = EXACT.add(second.cost, EXACT.subtract(after.cost, before.cost))
            second.sources.add(source_of_price(call))
        if call.get("usage_source") == "tokenizer":
            second.estimated += call["total_tokens"] or 0
        if call.get("ttft_ms") is not None:
            second.ttft_ms.append(float(call["ttft_ms"]))
        second.failed += is_bad

    def state(self, now_s: float) -> dict[str, Any]:
        """Return what is shown; the current second is the last one.

        Args:
            now_s: Seconds since the Unix epoch.
        """
        now = int(now_s)
        for old in [second for second in self._seconds if second <= now - WINDOW_S]:
            del self._seconds[old]
        seconds = [self._seconds.get(now - ago, _NOTHING) for ago in range(WINDOW_S - 1, -1, -1)]
        calls, unpriced = sum(s.calls for s in seconds), sum(s.unpriced for s in seconds)
        ttft = sorted(chain.from_iterable(s.ttft_ms for s in seconds))
        cost = Decimal(0)
        for second in seconds:
            cost = EXACT.add(cost, second.cost)
        return {
            "calls": calls,
            "failed": sum(s.failed for s in seconds),
            "tokens": sum(s.tokens for s in seconds),
            "estimated_tokens": sum(s.estimated for s in seconds),
            "uncounted_calls": sum(s.uncounted for s in seconds),
            "cost_usd": f"{cost:f}" if calls > unpriced else None,
            "unpriced_calls": unpriced,
            **shown_sources({source for second in seconds for source in second.sources}),
            "ttft_ms_p50": _percentile(ttft, 0.5),
            "ttft_ms_p95": _percentile(ttft, 0.95),
            "tokens_by_second": [s.tokens for s in seconds],
            "failed_by_second": [s.failed for s in seconds],
        }


def _percentile(ordered: list[float], share: float) -> float | None:
    """Return the nearest rank; None without values."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None
