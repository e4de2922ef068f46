"""Adds records to the rows of their cells, just as a reading of the whole ledger would."""

from collections.abc import Callable
from typing import Any, NamedTuple

from cab.proxy.ledger.scan import carried
from cab.proxy.ledger.snapshot.rows import CellRow
from cab.scoring.ledger.totals import DAMAGED_LINE
from cab.scoring.ledger.verification.call_ids import CallIds


class WholeReadNeeded(Exception):
    """What a record adds depends on records that are not remembered: read the ledger from its start."""


class OpenCall(NamedTuple):
    """A call without END, as far as was read."""

    worker: int
    start: dict[str, Any]


class Fold:
    """The state of a ledger's cells while its records are read.

    Args:
        load: Gives a cell's row as it is stored; a new one if there is none.
        open_calls: Calls without END where reading begins.
        whole: Whether it begins at the ledger's start. Then each ended call is remembered, so that a second
            END counts nothing. Else a record that may be such a one ends the reading.
    """

    def __init__(
        self,
        load: Callable[[str | None], CellRow],
        open_calls: dict[str, OpenCall],
        *,
        whole: bool,
    ) -> None:
        self._load = load
        self.open_calls = open_calls
        self.rows: dict[str | None, CellRow] = {}
        """Those that were changed since they were last taken out."""
        self._ended = CallIds() if whole else None

    @property
    def whole(self) -> bool:
        """Whether all that came before is remembered."""
        return self._ended is not None

    def take(self, worker: int, record: dict[str, Any]) -> None:
        """Take the next record of a chain, or what stands for a damaged line.

        Raises:
            WholeReadNeeded: Nobody knows what it adds.
        """
        cell_id = record.get("cell_id")
        row = self.rows.get(cell_id)
        if row is None:
            row = self.rows[cell_id] = self._load(cell_id)
        match record.get("kind"):
            case "start":
                row.last_seq = max(row.last_seq, record.get("seq") or 0)
                self._open(worker, record)
            case "end":
                self._end(row, record)
            case "cell_seal":
                row.sealed = True
            case kind if kind == DAMAGED_LINE:
                row.last_seq = max(row.last_seq, record.get("seq") or 0)
                self._damaged(worker, record)
            case _:
                pass

    def _open(self, worker: int, record: dict[str, Any]) -> None:
        if self._ended is None or _identity(record) not in self._ended:
            start = {**carried(record), "kind": "start"}
            self.open_calls[str(record.get("call_id"))] = OpenCall(worker, start)

    def _end(self, row: CellRow, record: dict[str, Any]) -> None:
        was_open = self.open_calls.pop(str(record.get("call_id")), None) is not None
        if record.get("call_id") is None:
            row.add(record)
        elif self._ended is not None:
            if self._ended.add(_identity(record)):
                row.add(record)
        elif was_open or record.get("end_reason") == "rejected":
            row.add(record)
        else:
            raise WholeReadNeeded("an END without its START")

    def _damaged(self, worker: int, record: dict[str, Any]) -> None:
        if self._ended is None:
            raise WholeReadNeeded("a damaged line")
        if _identity(record) not in self._ended:
            self.open_calls.setdefault(str(record.get("call_id")), OpenCall(worker, record))


def _identity(call: dict[str, Any]) -> str:
    return f"{call.get('call_id')}\n{call.get('cell_id')}"
