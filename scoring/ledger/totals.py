"""What each cell of a ledger came to, in one pass: memory grows with the cells, not with the calls.

The score of one cell is made by `sum_calls`, which also recognises overlaps and repetitions across the
whole cell; here are the sums that a ledger of any size gives.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from cab.scoring.ledger.call_sums import TokenTotals, Total, is_model_call, may_have_cost, total_of
from cab.scoring.ledger.records import AnyRecord, CallEnd, CallStart


def _no_time() -> Total[float]:
    return Total(0.0)


@dataclass(slots=True)
class CellTotals:
    """Sums over the model calls of one cell."""

    attempts: int = 0
    """Calls as they were recorded, repetitions included."""
    repetitions: int = 0
    """Those of them that repeat an earlier one."""
    unmeasured: int = 0
    """Those that may have cost something and were not counted, a START without its END included."""
    rejected: int = 0
    """Calls that the proxy refused; no part of the others."""
    tokens: TokenTotals = field(default_factory=TokenTotals)
    """A sum is unknown while a call is unmeasured; what is known of it is kept apart."""
    latency_ms: Total[float] = field(default_factory=_no_time)
    """Sum over all attempts."""
    first_at: str | None = None
    """Start of the first call, as recorded; None if there is none."""
    last_at: str | None = None
    """Start of the last."""


def total_cells(records: Iterable[AnyRecord]) -> dict[str | None, CellTotals]:
    """Return the totals of every cell, in the order in which the cells first appear.

    Args:
        records: Of a ledger, such as `iter_records` gives them; None stands for calls without a cell.
    """
    cells: dict[str | None, CellTotals] = {}
    open_calls: dict[str, CallStart] = {}
    for record in records:
        if isinstance(record, CallStart):
            open_calls[record.call_id] = record
            cells.setdefault(record.cell_id, CellTotals())
        elif isinstance(record, CallEnd):
            open_calls.pop(record.call_id, None)
            _add(cells.setdefault(record.cell_id, CellTotals()), record)
    for start in open_calls.values():
        if is_model_call(start):
            _add_unfinished(cells[start.cell_id], start)
    return cells


def _add(cell: CellTotals, end: CallEnd) -> None:
    if end.end_reason == "rejected":
        cell.rejected += 1
    if not is_model_call(end):
        return
    cell.attempts += 1
    cell.repetitions += end.attempt > 1
    cell.latency_ms.add(end.latency_ms)
    _stretch(cell, end.started_at)
    if end.usage_source != "none" or may_have_cost(end):
        cell.tokens.add(end)
        cell.unmeasured += total_of(end) is None


def _add_unfinished(cell: CellTotals, start: CallStart) -> None:
    cell.attempts += 1
    cell.unmeasured += 1
    cell.latency_ms.add(None)
    cell.tokens.add_unknown()
    _stretch(cell, start.started_at)


def _stretch(cell: CellTotals, started_at: str) -> None:
    # RFC 3339 in UTC and of one width: the text sorts as the time does.
    cell.first_at = min(cell.first_at or started_at, started_at)
    cell.last_at = max(cell.last_at or started_at, started_at)
