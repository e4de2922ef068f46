"""The board: running cells and the last minute, from the lines of a ledger as they are written.

Nothing on the way of a call knows of it. It sees a call when its line is in the ledger, of whichever
process of the proxy, and forgets what nobody would look at any more; so its memory is bounded.
"""

import math
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, islice
from typing import Any

import orjson

from cab.scoring.ledger.totals import CallTotals
from cab.scoring.printable import printable

WINDOW_S = 60
"""Rates, costs and percentiles are of so many last seconds."""
QUIET_S = 120.0
"""A cell without a call in flight counts as running for so long after its last one."""

_MOST_CELLS = 2000
_MOST_SHOWN = 200
_BARS = 24
_LIST = 12
"""Ended cells and failed calls that are listed."""
_NAME_CHARS = 200


@dataclass(slots=True)
class BoardCell:
    """A cell as far as the board has seen it."""

    cell_id: str | None
    first_s: float
    """When its first line was written, in seconds since the Unix epoch."""
    last_s: float
    totals: CallTotals = field(default_factory=CallTotals)
    """Of its calls that have ended, by the rules of the ledger."""
    ended: int = 0
    """Records that have ended, other requests than model calls too."""
    last_seq: int = 0
    open: dict[str, float] = field(default_factory=dict[str, float])
    """Calls in flight, each with its start."""
    failed: int = 0
    is_estimated: bool = False
    sealed_s: float | None = None
    bars: deque[tuple[int, int, bool]] = field(
        default_factory=lambda: deque[tuple[int, int, bool]](maxlen=_BARS)
    )
    """Start and length in ms, and success, of its last calls."""

    @property
    def is_whole(self) -> bool:
        """Whether the board has seen it from its first call on."""
        return self.last_seq <= self.ended + len(self.open)


@dataclass(slots=True)
class _Second:
    """What ended in one second."""

    totals: CallTotals = field(default_factory=CallTotals)
    estimated_tokens: int = 0
    failed: int = 0
    ttft_ms: list[float] = field(default_factory=list[float])


class Board:
    """What a live view shows."""

    def __init__(self) -> None:
        self._cells: OrderedDict[str | None, BoardCell] = OrderedDict()
        self._seconds: dict[int, _Second] = {}
        self._failures: deque[dict[str, Any]] = deque(maxlen=_LIST)
        self.lines = 0
        """Lines that were read; the board has changed if it has."""

    def read(self, lines: Iterable[bytes]) -> None:
        """Take lines of the ledger; what is not a record of a call or a cell is passed over."""
        for line in lines:
            self.lines += 1
            try:
                fields: dict[str, Any] = orjson.loads(line)
                self._take(fields)
            except (ValueError, TypeError, KeyError, AttributeError):
                continue  # a damaged line: cab ledger verify names it

    def _take(self, fields: dict[str, Any]) -> None:
        if not isinstance(fields.get("cell_id"), str | None):
            raise TypeError
        match fields["kind"]:
            case "start":
                at_s = _seconds(fields["started_at"])
                cell = self._cell(fields["cell_id"], at_s)
                cell.open[fields["call_id"]] = at_s
                cell.last_seq = max(cell.last_seq, fields["seq"] or 0)
            case "end":
                self._end(fields)
            case "cell_open":
                self._cell(fields["cell_id"], _seconds(fields["opened_at"]))
            case "cell_seal":
                at_s = _seconds(fields["sealed_at"])
                self._cell(fields["cell_id"], at_s).sealed_s = at_s
            case _:
                pass

    def _cell(self, cell_id: str | None, at_s: float) -> BoardCell:
        cell = self._cells.get(cell_id)
        if cell is None:
            cell = self._cells[cell_id] = BoardCell(cell_id, at_s, at_s)
            if len(self._cells) > _MOST_CELLS:
                self._forget()
        else:
            self._cells.move_to_end(cell_id)
        cell.last_s = max(cell.last_s, at_s)
        return cell

    def _forget(self) -> None:
        """Drop the cell that has been quiet for longest, one without calls in flight if there is one."""
        idle = next((key for key, cell in self._cells.items() if not cell.open), None)
        self._cells.pop(idle if idle in self._cells else next(iter(self._cells)))

    def _end(self, fields: dict[str, Any]) -> None:
        at_s, started_s = _seconds(fields["ended_at"]), _seconds(fields["started_at"])
        is_bad = fields["end_reason"] != "completed" or (fields["status"] or 0) >= 400
        cell = self._cell(fields["cell_id"], at_s)
        second = self._seconds.setdefault(int(at_s), _Second())
        for totals in (cell.totals, second.totals):
            totals.add(fields)
        cell.first_s = min(cell.first_s, started_s)
        cell.open.pop(fields["call_id"], None)
        cell.ended += 1
        cell.last_seq = max(cell.last_seq, fields["seq"] or 0)
        length_ms = round(1000 * (at_s - started_s))
        cell.bars.append((round(1000 * started_s), length_ms, not is_bad))
        if fields.get("usage_source") == "tokenizer":
            cell.is_estimated = True
            second.estimated_tokens += fields["total_tokens"] or 0
        if fields.get("ttft_ms") is not None:
            second.ttft_ms.append(float(fields["ttft_ms"]))
        if is_bad:
            cell.failed += 1
            second.failed += 1
            self._failures.append(
                {
                    "at": fields["ended_at"],
                    "cell_id": _name(cell.cell_id),
                    "status": fields["status"],
                    "end_reason": printable(str(fields["end_reason"]))[:40],
                }
            )

    def state(self, now_s: float) -> dict[str, Any]:
        """Return what is shown now; the members are named in docs/live.md.

        Args:
            now_s: Seconds since the Unix epoch.
        """
        running = [cell for cell in self._cells.values() if _runs(cell, now_s)]
        running.sort(key=lambda cell: cell.first_s)
        ended = [cell for cell in self._cells.values() if cell.sealed_s is not None]
        ended.sort(key=lambda cell: cell.sealed_s or 0.0, reverse=True)
        return {
            "at_ms": round(now_s * 1000),
            "running_cells": len(running),
            "calls_in_flight": sum(len(cell.open) for cell in running),
            "minute": self._last_minute(now_s),
            "cells": [_view(cell) for cell in running[:_MOST_SHOWN]],
            "ended": [_view(cell) for cell in ended[:_LIST]],
            "failures": list(reversed(self._failures)),
        }

    def _last_minute(self, now_s: float) -> dict[str, Any]:
        """Return sums and percentiles of the last minute, of which the current second is the last."""
        now = int(now_s)
        for old in [second for second in self._seconds if second <= now - WINDOW_S]:
            del self._seconds[old]
        seconds = [self._seconds.get(now - ago, _NOTHING) for ago in range(WINDOW_S - 1, -1, -1)]
        totals = sum((each.totals for each in seconds), CallTotals())
        ttft = sorted(chain.from_iterable(each.ttft_ms for each in seconds))
        priced = totals.calls - totals.cost.missing
        return {
            "calls": totals.calls,
            "failed": sum(each.failed for each in seconds),
            "tokens": totals.tokens.total.known,
            "estimated_tokens": sum(each.estimated_tokens for each in seconds),
            "uncounted_calls": totals.interval.unknown_calls,
            "cost_usd": f"{totals.cost.known:f}" if priced else None,
            "unpriced_calls": totals.cost.missing,
            "ttft_ms_p50": _percentile(ttft, 0.5),
            "ttft_ms_p95": _percentile(ttft, 0.95),
            "tokens_by_second": [each.totals.tokens.total.known for each in seconds],
            "failed_by_second": [each.failed for each in seconds],
        }


_NOTHING = _Second()


def _runs(cell: BoardCell, now_s: float) -> bool:
    if cell.sealed_s is not None:
        return False
    return bool(cell.open) or now_s - cell.last_s <= QUIET_S


def _view(cell: BoardCell) -> dict[str, Any]:
    cost = cell.totals.cost
    is_priced = cell.totals.calls > cost.missing
    return {
        "cell_id": _name(cell.cell_id),
        "first_ms": round(1000 * cell.first_s),
        "sealed_ms": None if cell.sealed_s is None else round(1000 * cell.sealed_s),
        "calls": cell.totals.calls,
        "in_flight": len(cell.open),
        "failed": cell.failed,
        "tokens": cell.totals.tokens.total.known,
        "tokens_mark": _mark(cell),
        "cost_usd": f"{cost.known:f}" if is_priced else None,
        "cost_is_least": bool(cost.missing) or not cell.is_whole,
        "bars": list(cell.bars),
        "open_ms": [round(1000 * at_s) for at_s in islice(cell.open.values(), _BARS)],
    }


def _mark(cell: BoardCell) -> str:
    """Return who counted a cell's tokens; `at least` where some calls were not seen or not counted."""
    if cell.totals.interval.unknown_calls or not cell.is_whole:
        return "at least" if cell.totals.tokens.total.known else "not recorded"
    if not cell.ended:
        return "none yet"
    return "estimated" if cell.is_estimated else "measured"


def _name(cell_id: str | None) -> str | None:
    return None if cell_id is None else printable(cell_id)[:_NAME_CHARS]


def _seconds(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()


def _percentile(ordered: list[float], share: float) -> float | None:
    """Return the nearest rank; None without values."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None
