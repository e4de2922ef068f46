"""A line as a row: its typed columns, and what it adds to sums. Of a damaged line the bytes are all.

Nothing in a line can make the row fail: a value that is not of a column's kind is null there.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from cab.proxy.ledger.shipping.sink import ChainIdentity, ShippedLine
from cab.scoring.errors import BadRecord
from cab.scoring.ledger.bounds import MAX_COUNT, MAX_LINE_BYTES
from cab.scoring.ledger.money import money
from cab.scoring.ledger.reading import damaged_fields
from cab.scoring.ledger.records import parse_fields
from cab.scoring.ledger.totals import DAMAGED_LINE, CellTotals
from cab.scoring.timestamps import instant_us

UNDATED = date(1970, 1, 1)
"""Month of lines without a time that can be read, or with one that only a wrong clock shows."""
_YEARS = range(2000, 2200)
"""Years whose months have partitions of their own."""

_TEXTS = (
    *("kind", "call_id", "cell_id", "key_id", "endpoint", "model_requested", "model_served"),
    *("end_reason", "usage_source", "usage_status", "price_source"),
)
_COUNTS = (
    *("prompt_tokens", "completion_tokens", "total_tokens"),
    *("cache_read_tokens", "cache_write_tokens", "reasoning_tokens"),
)
_NUMBERS = ("latency_ms", "ttft_ms", "queued_ms")
_TIMES = ("started_at", "ended_at", "opened_at", "sealed_at", "at")
_COUNTED_KINDS = ("start", "end", DAMAGED_LINE)

COLUMNS = (
    *("ledger", "chain", "segment", "line", "part", "month", "raw", "damage"),
    *_TEXTS,
    *("seq", "started_at", "ended_at", "status", "attempt"),
    *_COUNTS,
    "cost_usd",
    *_NUMBERS,
    *("adds_calls", "adds_attempts", "adds_repetitions", "adds_partial", "adds_rejected"),
    *("adds_prompt", "adds_prompt_unknown", "adds_completion", "adds_completion_unknown"),
    *("adds_total", "adds_total_unknown", "adds_total_least", "adds_total_bounded"),
    *("adds_total_at_most", "adds_cache_read", "adds_cache_read_unknown"),
    *("adds_cache_write", "adds_cache_write_unknown", "adds_reasoning", "adds_reasoning_unknown"),
    *("adds_cost", "adds_cost_unknown", "adds_latency_ms", "adds_latency_unknown"),
)
"""Columns of `cab.lines` that a shipper writes, in the order of `row_of`; `doc` is made by the database."""

_TYPED = len(COLUMNS) - 8
_ADDS = sum(name.startswith("adds_") for name in COLUMNS)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SURROGATES = re.compile("[\ud800-\udfff\x00]")


def row_of(identity: ChainIdentity, shipped: ShippedLine) -> tuple[object, ...]:
    """Return the values of a line for `COLUMNS`."""
    if not shipped.is_whole:
        what = "the line is cut off, its newline is missing"
        if shipped.part or len(shipped.raw) >= MAX_LINE_BYTES:
            what = "the line is longer than any that is read"
        return (*_place(identity, shipped, UNDATED), what, *(None,) * _TYPED)
    try:
        fields: Mapping[str, Any] = parse_fields(shipped.raw)
    except BadRecord as error:
        known = damaged_fields(shipped.raw)
        damage = _text(error.reason) or "damaged"
        typed = {name: known.get(name) for name in ("call_id", "cell_id", "seq", "started_at")}
        return (*_place(identity, shipped, _month(typed)), damage, *_columns(typed), *_adds(known))
    return (*_place(identity, shipped, _month(fields)), None, *_columns(fields), *_adds(fields))


def bare_row(identity: ChainIdentity, shipped: ShippedLine, reason: str) -> tuple[object, ...]:
    """Return a row with nothing but the bytes, for a line that the database did not take with columns."""
    what = f"the database does not take its columns: {_text(reason)}"
    return (*_place(identity, shipped, UNDATED), what, *(None,) * _TYPED)


def _place(identity: ChainIdentity, shipped: ShippedLine, month: date) -> tuple[object, ...]:
    ledger = bytes.fromhex(identity.ledger)
    return ledger, identity.chain, shipped.segment, shipped.line, shipped.part, month, shipped.raw


def _columns(fields: Mapping[str, Any]) -> tuple[object, ...]:
    cost = fields.get("cost_usd")
    return (
        *(_text(fields.get(name)) for name in _TEXTS),
        _whole(fields.get("seq"), 1 << 53),
        _instant(fields.get("started_at")),
        _instant(fields.get("ended_at")),
        _whole(fields.get("status"), 999),
        _whole(fields.get("attempt"), MAX_COUNT),
        *(_whole(fields.get(name), 2 * MAX_COUNT) for name in _COUNTS),
        None if cost is None else money(str(cost)),
        *(_real(fields.get(name)) for name in _NUMBERS),
    )


def _adds(fields: Mapping[str, Any]) -> tuple[object, ...]:
    """Return what a line adds to the sum of its cell, by the one rule of `CellTotals`; else nulls."""
    if "call_id" not in fields or fields.get("kind") not in _COUNTED_KINDS:
        return (None,) * _ADDS
    sums = CellTotals()
    sums.add(fields)
    tokens, total = sums.tokens, sums.tokens.total
    return (
        *(sums.calls, sums.attempts, sums.repetitions, sums.partial_calls, sums.rejected),
        *(tokens.prompt.known, tokens.prompt.missing),
        *(tokens.completion.known, tokens.completion.missing),
        *(total.known, total.missing, total.least, total.bounded, total.at_most),
        *(tokens.cache_read.known, tokens.cache_read.missing),
        *(tokens.cache_write.known, tokens.cache_write.missing),
        *(tokens.reasoning.known, tokens.reasoning.missing),
        *(sums.cost.known, sums.cost.missing),
        *(_exact(sums.latency_ms.known), sums.latency_ms.missing),
    )


def _month(fields: Mapping[str, Any]) -> date:
    at = next((found for name in _TIMES if (found := _instant(fields.get(name))) is not None), None)
    return UNDATED if at is None or at.year not in _YEARS else date(at.year, at.month, 1)


def _instant(value: object) -> datetime | None:
    if type(value) is not str:
        return None
    try:
        return _EPOCH + timedelta(microseconds=instant_us(value))
    except (ValueError, OverflowError):
        return None


def _text(value: object) -> str | None:
    # PostgreSQL's texts hold no NUL, and no half of a pair.
    return _SURROGATES.sub("\ufffd", value) if type(value) is str else None


def _whole(value: object, most: int) -> int | None:
    return value if type(value) is int and 0 <= value <= most else None


def _real(value: object) -> float | None:
    is_number = type(value) in (int, float)
    try:
        number = float(value) if is_number else math.nan  # type: ignore[arg-type]
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _exact(value: float) -> Decimal | None:
    return Decimal(repr(float(value))) if math.isfinite(value) else None
