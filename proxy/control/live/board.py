"""The board: running cells and the last minute, from the lines of a ledger as they are written.

Nothing on the way of a call knows of it. It sees a call when its line is in the ledger, of whichever
process of the proxy, and forgets what nobody would look at any more; so its memory is bounded.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import orjson

from cab.proxy.accounting.admission import CellLimits
from cab.proxy.control.live.board_cell import BoardCell, shown_name
from cab.proxy.control.live.last_minute import LastMinute, sums_of
from cab.scoring.ledger.records import SCHEMA
from cab.scoring.printable import printable

QUIET_S = 120.0
"""A cell without a call in flight counts as running for so long after its last one."""

_MOST_CELLS = 2000
_MOST_SHOWN = 200
_LIST = 12
"""Ended cells and failed calls that are listed."""
_START, _END = (
    b'{"schema":"%b","kind":"%b","call_id":"' % (SCHEMA.encode(), kind)
    for kind in (b"start", b"end")
)
"""How lines of calls begin that this proxy writes."""


class Board:
    """What a live view shows."""

    def __init__(self) -> None:
        self._cells: OrderedDict[str | None, BoardCell] = OrderedDict()
        self._minute = LastMinute()
        self._failures: deque[dict[str, Any]] = deque(maxlen=_LIST)
        self._changed: set[str | None] = set()

    def read(self, lines: Iterable[bytes]) -> None:
        """Take lines of the ledger; what is not a record of a call or a cell is passed over."""
        begun: dict[bytes, bytes] = {}
        for line in lines:
            if line.startswith(_START):
                # Most calls have ended by the next look, and an END says all that its START does.
                begun[_id(line, _START)] = line
            elif self._read(line) and line.startswith(_END):
                begun.pop(_id(line, _END), None)
        for line in begun.values():
            self._read(line)

    def _read(self, line: bytes) -> bool:
        """Take a line; return whether it could be read."""
        try:
            self._take(orjson.loads(line))
        except (ValueError, TypeError, KeyError, AttributeError):
            return False  # a damaged line: cab ledger verify names it
        return True

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
        cell.shown = None
        self._changed.add(cell_id)
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
        before = sums_of(cell.totals)
        cell.totals.add(fields)
        self._minute.add(at_s, before, sums_of(cell.totals), fields, is_bad=is_bad)
        cell.first_s = min(cell.first_s, started_s)
        cell.open.pop(fields["call_id"], None)
        cell.ended += 1
        cell.last_seq = max(cell.last_seq, fields["seq"] or 0)
        length_ms = round(1000 * (at_s - started_s))
        cell.bars.append((round(1000 * started_s), length_ms, not is_bad))
        if fields.get("usage_source") == "tokenizer":
            cell.is_estimated = True
        if is_bad:
            self._failed(cell, fields)

    def _failed(self, cell: BoardCell, fields: dict[str, Any]) -> None:
        cell.failed += 1
        self._failures.append(
            {
                "at": fields["ended_at"],
                "cell_id": shown_name(cell.cell_id),
                "status": fields["status"],
                "end_reason": printable(str(fields["end_reason"]))[:40],
            }
        )

    def changed(self) -> list[str | None]:
        """Return the cells of which lines were read since the last time, and that are known still."""
        changed, self._changed = self._changed, set()
        return [cell_id for cell_id in changed if cell_id in self._cells]

    def limit(self, limits: Iterable[tuple[str | None, CellLimits | None]]) -> None:
        """Take what cells may spend; None is not known, and what was known before stays."""
        for cell_id, found in limits:
            cell = self._cells.get(cell_id)
            if cell is not None and found is not None:
                cell.limits, cell.shown = found, None

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
            "minute": self._minute.state(now_s),
            "cells": [cell.view() for cell in running[:_MOST_SHOWN]],
            "ended": [cell.view() for cell in ended[:_LIST]],
            "failures": list(reversed(self._failures)),
        }


def _runs(cell: BoardCell, now_s: float) -> bool:
    if cell.sealed_s is not None:
        return False
    return bool(cell.open) or now_s - cell.last_s <= QUIET_S


def _id(line: bytes, beginning: bytes) -> bytes:
    """Return the id of a call from its line, which begins so."""
    return line[len(beginning) : line.find(b'"', len(beginning))]


def _seconds(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()
