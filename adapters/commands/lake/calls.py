"""The table `calls` of a lake: the END records of ledgers."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from cab.adapters.commands.lake.batch import LakeBatch
from cab.adapters.commands.lake.chains import (
    ChainLine,
    ChainPosition,
    LedgerChain,
    ledger_chains,
)
from cab.adapters.commands.lake.partitions import partition_of
from cab.adapters.commands.lake.state import LakeState
from cab.adapters.commands.ledger.columns import COLUMNS, instant_of, values_of
from cab.adapters.commands.parquet import ParquetColumn, decimal_or_none
from cab.adapters.errors import AdapterError
from cab.scoring.errors import BadCellId, BadRecord
from cab.scoring.ids import CellId, parse_cell_id
from cab.scoring.ledger.money import money
from cab.scoring.ledger.reading import Found, is_start_line
from cab.scoring.ledger.records import parse_fields
from cab.scoring.ledger.totals import CallTotals

TABLE = "calls"

_OWN = (
    *(ParquetColumn(name, "text") for name in ("tui", "model", "family", "task")),
    ParquetColumn("run", "integer"),
    ParquetColumn("model_call", "boolean"),
    ParquetColumn("counted_tokens", "integer", "tokens"),
    ParquetColumn("tokens_unknown", "boolean"),
    ParquetColumn("cost_unknown", "boolean"),
    ParquetColumn("cost_recorded", "text"),
    ParquetColumn("chain_hash", "text"),
    ParquetColumn("chain", "text"),
    ParquetColumn("segment", "integer"),
    ParquetColumn("line", "integer"),
)
CALL_COLUMNS = (
    *(
        ParquetColumn(column.name, "money" if column.name == "cost_usd" else column.kind)
        for column in COLUMNS
    ),
    *_OWN,
)
"""All columns; `sweep` and `day` are in the folders' names."""

_INSTANTS = [place for place, column in enumerate(COLUMNS) if column.kind == "instant"]
_INTEGERS = [place for place, column in enumerate(COLUMNS) if column.kind == "integer"]
_COST = [column.name for column in COLUMNS].index("cost_usd")
_START = [column.name for column in COLUMNS].index("started_at")
_MOST = (1 << 63) - 1


class AddedCalls(NamedTuple):
    """What an export did."""

    added: int
    """Calls that are new in the lake."""
    damaged: int
    """Damaged lines of these chains that are not in the lake, earlier exports' included."""
    faults: list[str]
    """Why chains were not read further."""


def add_calls(lake: LakeState, ledger: Path, on_damage: Callable[[BadRecord], None]) -> AddedCalls:
    """Add the calls of a ledger that are not in the lake yet.

    Args:
        lake: The lake.
        ledger: The ledger's folder, or that of an archive.
        on_damage: Is told of each damaged line, once.

    Raises:
        AdapterError: pyarrow is not installed, or the lake has other types.
        BadRecord: The ledger cannot be read; what was read before is in the lake.
    """
    lake.check_columns(TABLE, CALL_COLUMNS)
    added, damaged, faults = 0, 0, list[str]()
    for chain in ledger_chains(ledger):
        if chain.first_hash is None:
            continue
        export = _ChainExport(lake, chain, chain.first_hash, on_damage)
        try:
            export.run()
        except _ChainFault as error:
            faults.append(str(error))
        added += export.added
        damaged += export.damaged
    return AddedCalls(added, damaged, faults)


class _ChainFault(AdapterError):
    """A chain cannot be read further; others can."""


class _ChainExport:
    """One chain on its way into the lake."""

    def __init__(
        self,
        lake: LakeState,
        chain: LedgerChain,
        first_hash: str,
        on_damage: Callable[[BadRecord], None],
    ) -> None:
        self._lake = lake
        self._chain = chain
        self._first_hash = first_hash
        self._on_damage = on_damage
        row = lake.database.execute(
            "SELECT segment, line, last_sha256, hash, damaged, calls FROM chains WHERE first_hash = ?",
            (first_hash,),
        ).fetchone()
        self._read = None if row is None else ChainPosition(*row[:4])
        self.damaged: int = 0 if row is None else row[4]
        self._calls: int = 0 if row is None else row[5]
        self.added = 0

    def run(self) -> None:
        """Add what is new, batch by batch."""
        lines = self._new_lines()
        while (line := next(lines, None)) is not None:
            place = line.position
            name = (
                f"{self._chain.name}-{self._first_hash[:12]}-{place.segment:06d}-{place.line:07d}"
            )
            with LakeBatch(self._lake.parts, TABLE, CALL_COLUMNS, name) as batch:
                read = self._take(line, batch)
                while not batch.is_full and (line := next(lines, None)) is not None:
                    read = self._take(line, batch)
                self._commit(batch, read)

    def _new_lines(self) -> Iterator[ChainLine]:
        try:
            yield from self._chain.lines_after(self._read)
        except AdapterError as error:
            raise _ChainFault(str(error)) from error

    def _take(self, line: ChainLine, batch: LakeBatch) -> ChainPosition:
        place = line.position
        if is_start_line(line.line):
            return place
        try:
            fields = parse_fields(line.line, str(line.path), place.line)
            if fields.get("kind") == "end":
                found = Found(line.path, place.line, line.line, fields)
                position = [self._first_hash, self._chain.name, place.segment, place.line]
                partition, row = call_row(found)
                batch.add(partition, [*row, *position])
        except BadRecord as error:
            self.damaged += 1
            self._on_damage(error)
        return place

    def _commit(self, batch: LakeBatch, read: ChainPosition) -> None:
        with self._lake.commit(batch.finish()) as database:
            database.execute(
                "INSERT OR REPLACE INTO chains VALUES (?, ?, ?, ?, ?, ?, ?)",
                (self._first_hash, *read, self.damaged, self._calls + batch.rows),
            )
        self._calls += batch.rows
        self.added += batch.rows


def call_row(found: Found) -> tuple[str, list[Any]]:
    """Return the partition of a call, and its values in the order of the columns, but for its position.

    Raises:
        BadRecord: A member is missing, of the wrong type, or no column holds it.
    """
    values = values_of(found)
    for place in _INSTANTS:
        values[place] = instant_of(values[place], found)
    for place in _INTEGERS:
        if values[place] is not None and values[place] > _MOST:
            raise BadRecord(str(found.path), found.number, "is too large", COLUMNS[place].name)
    recorded = found.fields.get("cost_usd")
    price = None if recorded is None else money(str(recorded))
    values[_COST] = decimal_or_none(price)
    totals = CallTotals()
    totals.add(found.fields)
    cell = _cell_of(found.fields.get("cell_id"))
    values += [
        *((cell.tui, cell.model, cell.family, cell.task, cell.run) if cell else (None,) * 5),
        totals.calls == 1,
        totals.tokens.total.known,
        totals.unmeasured_calls > 0,
        totals.cost.missing > 0 or (price is not None and values[_COST] is None),
        None if recorded is None else str(recorded),
    ]
    return partition_of(cell.sweep if cell else None, values[_START]), values


def _cell_of(text: str | None) -> CellId | None:
    """Return the parts of a cell id; None without one, and of one that has no such parts."""
    try:
        return None if text is None else parse_cell_id(text)
    except BadCellId:
        return None
