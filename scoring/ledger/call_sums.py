"""What the ledger says of a cell, in one pass over its records.

A *call* is a request for a completion as the agent sees it, an *attempt* is one HTTP request on
the wire. A call counts if it went to a metered endpoint and the proxy did not reject it. A sum is
known only if every part of it is: one call that may have cost something and has no count makes the
cell's total unknown, and the sum of the rest is kept apart as what is known.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from cab.scoring.errors import BadRecord
from cab.scoring.ledger.call_stats import CallStats
from cab.scoring.ledger.records import METERED_ENDPOINTS, AnyRecord, CallEnd, CallStart
from cab.scoring.timestamps import LONGEST_MS, instant_us

_NUMBER = TypeVar("_NUMBER", int, float)

_PROXY_GAVE_UP = frozenset({502, 504})
"""Statuses with which a proxy answers for an endpoint that took the request and then failed."""


@dataclass(slots=True)
class Total(Generic[_NUMBER]):
    """A sum that knows whether a part of it is missing."""

    known: _NUMBER
    """Sum of the parts that are known."""
    missing: int = 0
    """Number of parts that are not."""

    @property
    def value(self) -> _NUMBER | None:
        """The sum, None while a part is missing."""
        return None if self.missing else self.known

    def add(self, part: _NUMBER | None) -> None:
        """Add a part, None where it is not known."""
        if part is None:
            self.missing += 1
        else:
            self.known += part


def _no_tokens() -> Total[int]:
    return Total(0)


@dataclass(slots=True)
class TokenTotals:
    """Tokens of a set of calls; the last three are parts of the first two."""

    prompt: Total[int] = field(default_factory=_no_tokens)
    completion: Total[int] = field(default_factory=_no_tokens)
    total: Total[int] = field(default_factory=_no_tokens)
    cache_read: Total[int] = field(default_factory=_no_tokens)
    cache_write: Total[int] = field(default_factory=_no_tokens)
    reasoning: Total[int] = field(default_factory=_no_tokens)

    def add(self, end: CallEnd) -> None:
        """Add a call's counts."""
        self.prompt.add(end.prompt_tokens)
        self.completion.add(end.completion_tokens)
        self.total.add(total_of(end))
        self.cache_read.add(end.cache_read_tokens)
        self.cache_write.add(end.cache_write_tokens)
        self.reasoning.add(end.reasoning_tokens)

    def add_unknown(self) -> None:
        """Add a call of which no count is known."""
        parts = (self.cache_read, self.cache_write, self.reasoning)
        for total in (self.prompt, self.completion, self.total, *parts):
            total.add(None)


@dataclass(slots=True)
class SourceTotals:
    """Calls whose tokens one source counted."""

    calls: int = 0
    tokens: TokenTotals = field(default_factory=TokenTotals)


@dataclass(slots=True)
class CallSums:
    """All that tokens, latency, calls and cost of a cell are made from."""

    model_calls: int
    """Calls; the attempts of one call count once."""
    attempts: int
    """HTTP requests, repetitions included."""
    unmeasured_calls: int
    """Attempts that may have cost something and have no count."""
    partial_calls: int
    """Attempts whose count does not cover the whole answer."""
    tokens: TokenTotals
    by_source: dict[str, SourceTotals]
    """`upstream` and `tokenizer`, as far as they counted anything."""
    latency_ms: Total[float]
    """Sum over all attempts."""
    busy_ms: float | None
    """Time in which at least one attempt was under way; None while a latency is missing."""
    facts: CallStats = field(default_factory=CallStats)
    """How the attempts went, and what they cost in money."""


def sum_calls(records: Iterable[AnyRecord]) -> CallSums:
    """Return the sums over the records of one cell, in one pass.

    Args:
        records: END records, with or without START and other records. A START without its END is a
            call whose cost is not known.

    Raises:
        BadRecord: The start of a call is no instant, or its latency, its time to first token or
            its price is no measurement.
    """
    tally = _Tally()
    for record in records:
        tally.add(record)
    return tally.sums()


def is_model_call(record: CallStart | CallEnd) -> bool:
    """Return whether a record is an attempt of a model call: metered, and not rejected by us."""
    rejected = isinstance(record, CallEnd) and record.end_reason == "rejected"
    return record.endpoint in METERED_ENDPOINTS and not rejected


def may_have_cost(end: CallEnd) -> bool:
    """Return whether an attempt without a count may have cost tokens all the same.

    It has not if it never reached the endpoint, or if the endpoint answered with an error. It may
    have if an answer began, or if nobody knows how far it came.
    """
    if end.upstream_attempts == 0 or end.end_reason in {"rejected", "upstream_unreachable"}:
        return False
    if end.status is None or end.status < 400:
        return True
    return end.end_reason in {"timeout", "upstream_cut"} and end.status in _PROXY_GAVE_UP


def total_of(end: CallEnd) -> int | None:
    """Return a call's total tokens, from its parts where the total itself is not stated."""
    if end.total_tokens is not None:
        return end.total_tokens
    if end.prompt_tokens is None or end.completion_tokens is None:
        return None
    return end.prompt_tokens + end.completion_tokens


class _Tally:
    """The running sums of one pass."""

    def __init__(self) -> None:
        self._open: dict[str, CallStart] = {}
        self._counted: list[str] = []
        self._retry_of: dict[str, str] = {}
        self._attempts = 0
        self._unmeasured = 0
        self._partial = 0
        self._tokens = TokenTotals()
        self._by_source: dict[str, SourceTotals] = {}
        self._latency_ms: Total[float] = Total(0.0)
        self._busy_us: list[tuple[int, int]] = []
        self._facts = CallStats()

    def add(self, record: AnyRecord) -> None:
        if isinstance(record, CallStart):
            self._open[record.call_id] = record
        elif isinstance(record, CallEnd):
            self._open.pop(record.call_id, None)
            if record.retry_of is not None:
                self._retry_of[record.call_id] = record.retry_of
            if is_model_call(record):
                self._add_end(record)
            else:
                self._facts.rejected += record.endpoint in METERED_ENDPOINTS

    def sums(self) -> CallSums:
        for start in self._open.values():
            if is_model_call(start):
                self._add_unfinished(start)
        return CallSums(
            model_calls=len(set(_first_attempts(self._counted, self._retry_of))),
            attempts=self._attempts,
            unmeasured_calls=self._unmeasured,
            partial_calls=self._partial,
            tokens=self._tokens,
            by_source=self._by_source,
            latency_ms=self._latency_ms,
            busy_ms=None if self._latency_ms.missing else union_us(self._busy_us) / 1000,
            facts=self._facts,
        )

    def _add_end(self, end: CallEnd) -> None:
        self._counted.append(end.call_id)
        # A proxy that resends a request itself says so; that is one more request on the wire.
        self._attempts += max(1, end.upstream_attempts or 1)
        self._partial += end.usage_status in {"partial", "overflow"}
        self._latency_ms.add(end.latency_ms)
        if end.latency_ms is not None:
            self._busy_us.append(_interval_us(end, end.latency_ms))
        counted = end.usage_source != "none"
        if counted:
            source = self._by_source.setdefault(end.usage_source, SourceTotals())
            source.calls += 1
            source.tokens.add(end)
        may_cost = counted or may_have_cost(end)
        self._facts.add(end, may_cost=may_cost)
        if may_cost:
            self._tokens.add(end)
            self._unmeasured += total_of(end) is None

    def _add_unfinished(self, start: CallStart) -> None:
        self._counted.append(start.call_id)
        self._attempts += 1
        self._unmeasured += 1
        self._tokens.add_unknown()
        self._latency_ms.add(None)
        self._facts.add_unfinished()


def _first_attempts(call_ids: Iterable[str], retry_of: dict[str, str]) -> Iterator[str]:
    """Yield for each attempt the first attempt of its call, as far back as it is told."""
    for call_id in call_ids:
        first, seen = call_id, {call_id}
        while (before := retry_of.get(first)) is not None and before not in seen:
            first = before
            seen.add(before)
        # Shorten the way for the next attempt: a long chain must not cost its square.
        retry_of.update(dict.fromkeys(seen - {first}, first))
        yield first


def union_us(intervals: Iterable[tuple[int, int]]) -> int:
    """Return how long at least one of the intervals lasts, where overlaps count once."""
    busy = 0
    reached: int | None = None
    for start, end in sorted(intervals):
        begin = start if reached is None else max(start, reached)
        busy += max(0, end - begin)
        reached = end if reached is None else max(reached, end)
    return busy


def _interval_us(end: CallEnd, latency_ms: float) -> tuple[int, int]:
    try:
        start = instant_us(end.started_at)
    except ValueError as error:
        raise BadRecord(f"call {end.call_id}", None, str(error), field="started_at") from error
    if latency_ms > LONGEST_MS:
        raise BadRecord(f"call {end.call_id}", None, "no call takes that long", field="latency_ms")
    return start, start + round(latency_ms * 1000)
