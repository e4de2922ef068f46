"""How a cell's model calls went: ends, first tokens, output rate.

A call *succeeded* if its answer came to its end with a status below 400, or if the client left
after the answer had begun: many agents hang up once they have seen what they need.
"""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from cab.scoring.errors import BadRecord
from cab.scoring.ledger.money import money
from cab.scoring.ledger.records import CallEnd
from cab.scoring.timestamps import LONGEST_MS

UNFINISHED = "unfinished"
"""End of a call that has a START and no END."""

_CLASS_OF_REASON = {
    "client_gone": "client_gone",
    "crash": "crash",
    "timeout": "network",
    "upstream_cut": "network",
    "upstream_unreachable": "network",
}
"""End reason -> class of failure, where the status says nothing."""


def _no_times() -> "array[float]":
    return array("d")


@dataclass(slots=True)
class CallStats:
    """Running facts over attempts."""

    succeeded: int = 0
    """Attempts whose answer reached the agent."""
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

    def add(self, end: CallEnd) -> None:
        """Add a call.

        Raises:
            BadRecord: Its time to first token or its price is not a measurement.
        """
        self._count(end)
        self._time(end)
        read_price(end)  # as a check; the sum of prices is made elsewhere

    def add_unfinished(self) -> None:
        """Add a call of which only the beginning is known."""
        _one_more(self.by_end_reason, UNFINISHED)
        _one_more(self.failures, UNFINISHED)

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
            raise BadRecord(
                f"call {end.call_id}", None, "is longer than any call takes", field="ttft_ms"
            )
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
        BadRecord: The price is not an amount of money.
    """
    if end.cost_usd is None:
        return None
    price = money(str(end.cost_usd))
    if price is None:
        raise BadRecord(
            f"call {end.call_id}", None, f"{end.cost_usd!r} is not an amount", field="cost_usd"
        )
    return price


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
