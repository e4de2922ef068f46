"""How the attempts of a cell's model calls went: ends, first tokens, output rate, money.

An attempt *succeeded* if its answer came to its end with a status below 400, or if the client left
after the answer had begun: many agents hang up once they have seen what they need.
"""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal, DecimalException

from cab.scoring.errors import BadRecord
from cab.scoring.ledger.records import CallEnd
from cab.scoring.timestamps import LONGEST_MS

UNFINISHED = "unfinished"
"""End of a call that has a START and no END."""

MOST_USD = Decimal(10) ** 12
"""No call costs that much."""

_EXPONENTS = range(-60, 13)
"""Of the last digit of a price: far finer than prices are quoted, and short when written out."""

_EXACT = Context(prec=100)
"""Sums of 10^15 such prices need no rounding."""

_CLASS_OF_REASON = {
    "client_gone": "client_gone",
    "crash": "crash",
    "timeout": "network",
    "upstream_cut": "network",
    "upstream_unreachable": "network",
}
"""End reason -> class of failure, where the status says nothing."""


@dataclass(slots=True)
class MoneyTotal:
    """A sum in US dollars that knows whether a part of it is missing."""

    known: Decimal = Decimal(0)
    """Sum of the prices that are known."""
    priced: int = 0
    """Attempts with a price."""
    missing: int = 0
    """Attempts that may have cost something and have none."""
    sources: set[str] = field(default_factory=set[str])
    """Where the prices are from."""

    @property
    def value(self) -> Decimal | None:
        """The sum, None while a price is missing."""
        return None if self.missing else self.known


def _no_times() -> "array[float]":
    return array("d")


@dataclass(slots=True)
class CallStats:
    """Running facts over attempts."""

    succeeded: int = 0
    """Attempts whose answer reached the agent."""
    rejected: int = 0
    """Requests for a completion that the proxy itself turned down; not among the attempts."""
    by_end_reason: dict[str, int] = field(default_factory=dict[str, int])
    """How the attempts ended."""
    failures: dict[str, int] = field(default_factory=dict[str, int])
    """Class of failure -> attempts that did not succeed."""
    ttft_ms: "array[float]" = field(default_factory=_no_times)
    """Times to first token, as far as they are known."""
    streamed_tokens: int = 0
    """Completion tokens of the streams whose writing was timed."""
    streaming_ms: float = 0.0
    """Time from first token to last byte of these streams."""
    cost: MoneyTotal = field(default_factory=MoneyTotal)
    """What the attempts cost."""

    def add(self, end: CallEnd, *, may_cost: bool) -> None:
        """Add an attempt; `may_cost` says whether one without a price leaves a gap.

        Raises:
            BadRecord: Its time to first token or its price is no measurement.
        """
        self._count(end)
        self._time(end)
        price = read_price(end)
        if price is not None:
            self.cost.known = _EXACT.add(self.cost.known, price)
            self.cost.priced += 1
            self.cost.sources.add(end.price_source or "unnamed")
        elif may_cost:
            self.cost.missing += 1

    def add_unfinished(self) -> None:
        """Add an attempt of which only the beginning is known."""
        _one_more(self.by_end_reason, UNFINISHED)
        _one_more(self.failures, UNFINISHED)
        self.cost.missing += 1

    def _count(self, end: CallEnd) -> None:
        _one_more(self.by_end_reason, end.end_reason)
        if has_succeeded(end):
            self.succeeded += 1
        else:
            _one_more(self.failures, failure_class(end))

    def _time(self, end: CallEnd) -> None:
        if end.ttft_ms is None:
            return
        if end.ttft_ms > LONGEST_MS:
            raise BadRecord(f"call {end.call_id}", None, "no call takes that long", field="ttft_ms")
        self.ttft_ms.append(end.ttft_ms)
        writing_ms = (end.latency_ms or 0.0) - end.ttft_ms
        if end.stream and end.completion_tokens is not None and writing_ms > 0:
            self.streamed_tokens += end.completion_tokens
            self.streaming_ms += writing_ms


def has_succeeded(end: CallEnd) -> bool:
    """Return whether an attempt's answer reached the agent."""
    if end.status is not None and end.status >= 400:
        return False
    if end.end_reason == "client_gone":
        return end.ttft_ms is not None
    return end.end_reason == "completed"


def failure_class(end: CallEnd) -> str:
    """Return the class of an attempt that did not succeed.

    `rate_limited` (status 429), `refused_request` (any other 4xx), `network` (unreachable, cut or
    too late), `endpoint` (it answered with an error), `client_gone`, `crash` (of the proxy).
    """
    by_reason = _CLASS_OF_REASON.get(end.end_reason)
    if by_reason is not None:
        return by_reason
    if end.status == 429:
        return "rate_limited"
    if end.status is not None and 400 <= end.status < 500:
        return "refused_request"
    return "endpoint"


def read_price(end: CallEnd) -> Decimal | None:
    """Return what an attempt cost in US dollars, None if nobody said.

    Raises:
        BadRecord: The price is no amount of money.
    """
    if end.cost_usd is None:
        return None
    price = money(str(end.cost_usd))
    if price is None:
        raise BadRecord(
            f"call {end.call_id}", None, f"{end.cost_usd!r} is no amount", field="cost_usd"
        )
    return price


def money(text: str) -> Decimal | None:
    """Return an amount of US dollars, None if the text is none."""
    try:
        amount = Decimal(text)
    except DecimalException:
        return None
    if not amount.is_finite() or amount < 0 or amount > MOST_USD:
        return None
    # Nothing is written out before this: an exponent of a billion is a gigabyte of zeros.
    return amount if amount.as_tuple().exponent in _EXPONENTS else None


def quantile(values: Sequence[float], pick: Callable[[Sequence[float]], float]) -> float | None:
    """Return what `pick` takes from the sorted values, None if there are none."""
    return pick(sorted(values)) if values else None


def median(ordered: Sequence[float]) -> float:
    """Return the middle of sorted values, the mean of the middle two of an even number."""
    low, high = (len(ordered) - 1) // 2, len(ordered) // 2
    return (ordered[low] + ordered[high]) / 2


def p95(ordered: Sequence[float]) -> float:
    """Return the smallest of sorted values that at least 95 % do not exceed (nearest rank)."""
    return ordered[-(-95 * len(ordered) // 100) - 1]


def _one_more(counts: dict[str, int], key: str) -> None:
    counts[key] = counts.get(key, 0) + 1
