"""What the ledger says of one cell, in one pass over its records: all that its axes are made from."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from cab.scoring.errors import BadRecord
from cab.scoring.ledger.call_stats import CallStats
from cab.scoring.ledger.records import AnyRecord, CallEnd, CallStart, CellOpen
from cab.scoring.ledger.totals import (
    CallPairing,
    CallTotals,
    TokenTotals,
    counts_as_call,
)
from cab.scoring.timestamps import LONGEST_MS, instant_us


@dataclass(slots=True)
class SourceTotals:
    """Calls whose tokens one source counted."""

    calls: int = 0
    tokens: TokenTotals = field(default_factory=TokenTotals)


@dataclass(slots=True)
class CallSums(CallTotals):
    """The call total of a cell, and what only its whole slice shows."""

    model_calls: int = 0
    """Calls as the agent sees them; the repetitions of one call count once."""
    by_source: dict[str, SourceTotals] = field(default_factory=dict[str, SourceTotals])
    """`upstream` and `tokenizer`, as far as they counted anything."""
    busy_ms: float | None = 0.0
    """Time in which at least one call was under way; None while a latency is missing."""
    facts: CallStats = field(default_factory=CallStats)
    """How the calls went."""


def sum_calls(records: Iterable[AnyRecord]) -> CallSums | None:
    """Return the sums over the records of one cell, in one pass; None if none is of a call or a cell.

    No record means that nobody looked, as with a wrong id, and not zero. Zeros are measured ones where
    a `cell_open` or `cell_seal` of the cell is among the records.

    Args:
        records: END records, with or without START and other records. A START without its END is a
            call whose cost is not known. `iter_records` gives the opening and the seal of a cell too,
            `iter_calls` does not.

    Raises:
        BadRecord: The start of a call is not an instant, or its latency, its time to first token or
            its price is not a measurement.
    """
    sums, retry_of = CallSums(), dict[str, str]()
    call_ids: list[str] = []
    intervals_us: list[tuple[int, int]] = []
    pairing = CallPairing(sums.add)
    metered = False
    for record in records:
        calls = sums.calls
        pairing.take(vars(record))
        metered = metered or _shows_metering(record)
        if not isinstance(record, CallEnd):
            continue
        if record.retry_of is not None:
            retry_of[record.call_id] = record.retry_of
        if sums.calls > calls:  # it is a model call
            call_ids.append(record.call_id)
            if record.latency_ms is not None:
                intervals_us.append(_interval_us(record, record.latency_ms))
            sums.facts.add(record)
            if record.usage_source != "none":
                source = sums.by_source.setdefault(record.usage_source, SourceTotals())
                source.calls += 1
                source.tokens.add(vars(record))
    for start in filter(counts_as_call, pairing.finish()):
        call_ids.append(start["call_id"])
        sums.facts.add_unfinished()
    sums.model_calls = len(set(_first_attempts(call_ids, retry_of)))
    sums.busy_ms = None if sums.latency_ms.missing else union_us(intervals_us) / 1000
    return sums if metered else None


def _shows_metering(record: AnyRecord) -> bool:
    return isinstance(record, CallStart | CallEnd | CellOpen) or record.kind == "cell_seal"


def _first_attempts(call_ids: Iterable[str], retry_of: dict[str, str]) -> Iterator[str]:
    """Yield for each attempt the first attempt of its call, as far back as it is known."""
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
        raise BadRecord(
            f"call {end.call_id}", None, "is longer than any call takes", field="latency_ms"
        )
    # The call waited first: it was being answered at the end of that time, not at its beginning.
    start += round(min(end.queued_ms or 0.0, LONGEST_MS) * 1000)
    return start, start + round(latency_ms * 1000)
