"""The model calls of a cell, as rows of its page."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from cab.adapters.report.render.marks import Mark, mark_class, mark_of, mark_of_price
from cab.adapters.report.render.numbers import duration, integer
from cab.adapters.report.render.script_data import ColumnData
from cab.scoring.errors import BadRecord
from cab.scoring.ledger.money import dollars
from cab.scoring.ledger.reading import iter_records
from cab.scoring.ledger.records import CallEnd, CallStart
from cab.scoring.prices.sources import price_kind
from cab.scoring.timestamps import instant_us

ROWS_IN_PAGE = 100
"""Up to so many calls are rows of the page; of more, the script draws them from columns."""

UNFINISHED = "unfinished"
"""End of a call of which only the beginning was recorded."""


@dataclass(slots=True)
class PageCall:
    """One request of the agent, from its START and its END."""

    call_id: str
    seq: int
    at_ms: float
    """Offset from the cell's start."""
    started_at: str
    endpoint: str
    request_hash: str | None
    end: CallEnd | None
    """None if only the beginning was recorded."""
    step: int = field(default=-1)
    """Its number in the replay."""

    @property
    def ok(self) -> bool:
        """Whether its answer reached the agent."""
        end = self.end
        return end is not None and end.end_reason == "completed" and (end.status or 0) < 400

    @property
    def latency_ms(self) -> float | None:
        """How long it took."""
        return self.end.latency_ms if self.end else None

    @property
    def ttft_ms(self) -> float | None:
        """Time to its first token."""
        return self.end.ttft_ms if self.end else None

    @property
    def attempt(self) -> int:
        """1 for the first try."""
        return self.end.attempt if self.end else 1

    @property
    def first_call(self) -> str:
        """`call_id` of its first attempt."""
        return (self.end.retry_of if self.end else None) or self.call_id

    @property
    def mark(self) -> Mark:
        """Who counted its tokens; a count that does not cover the whole answer is "at least"."""
        if self.end is None:
            return "not recorded"
        mark = mark_of(self.end.usage_source)
        partial = self.end.usage_status == "partial" and mark != "not recorded"
        return "at least" if partial else mark

    @property
    def source(self) -> str:
        """Who counted: `upstream`, `tokenizer` or `none`."""
        return self.end.usage_source if self.end else "none"

    @property
    def counted_by(self) -> str:
        """The same in words."""
        return {"upstream": "endpoint", "tokenizer": "tokenizer"}.get(self.source, "nobody")

    @property
    def finish(self) -> str:
        """How it ended: the finish reason of an answer, else what went wrong."""
        if self.end is None:
            return UNFINISHED
        if self.ok:
            return self.end.finish_reason or "completed"
        reason = self.end.end_reason.replace("_", " ")
        return f"{reason} {self.end.status}" if self.end.status else reason

    @property
    def error(self) -> str | None:
        """What the record says of a failure."""
        error = self.end.error if self.end else None
        return f"{error.type}: {error.message}" if error else None


def read_calls(path: Path, started_at: str) -> list[PageCall]:
    """Return the calls of a slice in the order of their numbers.

    Args:
        path: The slice.
        started_at: When the cell began.

    Raises:
        BadRecord: The slice cannot be read.
    """
    records: dict[str, CallStart | CallEnd] = {}
    for record in iter_records(path):
        if isinstance(record, CallStart | CallEnd):
            records[record.call_id] = record
    began_us = instant_us(started_at)
    try:
        calls = [_call(record, began_us) for record in records.values()]
    except ValueError as error:
        raise BadRecord(str(path), None, str(error), field="started_at") from error
    return sorted(calls, key=lambda call: (call.seq, call.at_ms))


def _call(record: CallStart | CallEnd, began_us: int) -> PageCall:
    return PageCall(
        call_id=record.call_id,
        seq=record.seq or 0,
        at_ms=(instant_us(record.started_at) - began_us) / 1000,
        started_at=record.started_at,
        endpoint=record.endpoint,
        request_hash=record.request_hash,
        end=record if isinstance(record, CallEnd) else None,
    )


class CallCell(NamedTuple):
    """One field of the table of calls."""

    text: str
    """As it is shown."""
    raw: str | float | None
    """As it sorts and as it is copied; None if it is not known."""
    mark: str
    """Class of its mark, or nothing."""


class CallsColumn(NamedTuple):
    """One column of the table of calls."""

    title: str
    kind: Literal["number", "code", "text"]
    """How its fields look."""
    field_of: Callable[[PageCall], CallCell]


UNKNOWN = CallCell("–", None, "")


def _count(name: str) -> Callable[[PageCall], CallCell]:
    def of(call: PageCall) -> CallCell:
        value: int | None = getattr(call.end, name, None)
        shown = integer(value)
        return UNKNOWN if shown is None else CallCell(shown, value, mark_class(call.mark))

    return of


def _time(name: str) -> Callable[[PageCall], CallCell]:
    def of(call: PageCall) -> CallCell:
        value: float | None = getattr(call, name)
        shown = duration(value)
        return UNKNOWN if shown is None or value is None else CallCell(shown, round(value, 3), "m")

    return of


def _cost(call: PageCall) -> CallCell:
    price = call.end.cost_usd if call.end else None
    shown = dollars(price)
    if shown is None or call.end is None:
        return UNKNOWN
    mark = mark_of_price(price_kind(call.end.price_source))
    return CallCell(shown, str(price), mark_class(mark))


def _hash(call: PageCall) -> CallCell:
    found = call.request_hash
    return UNKNOWN if found is None else CallCell(found.partition(":")[2][:12], found, "")


def _timestamp(call: PageCall) -> CallCell:
    return CallCell(call.started_at[11:23], call.started_at, "")


def _counted_by(call: PageCall) -> CallCell:
    return CallCell(call.counted_by, call.counted_by, "")


def _finish(call: PageCall) -> CallCell:
    return CallCell(call.finish, call.finish, "")


def _attempt(call: PageCall) -> CallCell:
    return CallCell(str(call.attempt), call.attempt, "")


COLUMNS: Sequence[CallsColumn] = (
    CallsColumn("timestamp", "code", _timestamp),
    CallsColumn("request hash", "code", _hash),
    CallsColumn("prompt", "number", _count("prompt_tokens")),
    CallsColumn("completion", "number", _count("completion_tokens")),
    CallsColumn("cached", "number", _count("cache_read_tokens")),
    CallsColumn("reasoning", "number", _count("reasoning_tokens")),
    CallsColumn("counted by", "text", _counted_by),
    CallsColumn("latency", "number", _time("latency_ms")),
    CallsColumn("first token", "number", _time("ttft_ms")),
    CallsColumn("finish", "text", _finish),
    CallsColumn("attempt", "number", _attempt),
    CallsColumn("cost", "number", _cost),
)
"""What is shown of a call behind its number; names and order are the published page's."""


def call_rows(calls: Iterable[PageCall]) -> list[tuple[PageCall, list[CallCell]]]:
    """Return each call with its fields, one for each column."""
    return [(call, [column.field_of(call) for column in COLUMNS]) for call in calls]


def calls_as_columns(calls: Sequence[PageCall]) -> dict[str, Any]:
    """Return the fields of many calls by column, for the script that draws the rows."""
    rows = call_rows(calls)
    numbers = ColumnData("step", [str(call.seq) for call in calls], [call.seq for call in calls])
    columns = [
        ColumnData(
            column.kind,
            [fields[at].text for _, fields in rows],
            [fields[at].raw for _, fields in rows],
            mark=[fields[at].mark for _, fields in rows],
        )
        for at, column in enumerate(COLUMNS)
    ]
    first = {**numbers.as_data(), "steps": [call.step for call in calls]}
    bad = [index for index, call in enumerate(calls) if not call.ok]
    return {"bad": bad, "columns": [first, *(column.as_data() for column in columns)]}


def known_sum(values: Iterable[float | None]) -> float | None:
    """Return a sum; None if a part of it is unknown, or if there is none."""
    parts = list(values)
    if not parts or any(part is None for part in parts):
        return None
    return sum(part for part in parts if part is not None)
