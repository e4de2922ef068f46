"""The tables of the snapshot: for each ledger where reading ended, its cells, and its open calls."""

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from cab.proxy.ledger.snapshot.fold import OpenCall
from cab.proxy.ledger.snapshot.positions import ChainRead, Position
from cab.proxy.ledger.snapshot.rows import CellRow

FORM = 1
"""Of the tables and values; what has another one is refused."""
_APPLICATION = 0x43414253
_WAIT_S = 10.0
"""How long a write of another proxy with the same state folder is waited for."""
_TABLES = """
CREATE TABLE ledgers (id INTEGER PRIMARY KEY, made_by TEXT, path TEXT, instead_of INTEGER);
CREATE TABLE chains (
    ledger INTEGER, worker INTEGER, first_segment INTEGER, first_line TEXT,
    segment INTEGER, line INTEGER, begin INTEGER, end INTEGER, head TEXT,
    PRIMARY KEY (ledger, worker)
) WITHOUT ROWID;
CREATE TABLE cells (
    ledger INTEGER, cell_id, state BLOB NOT NULL, PRIMARY KEY (ledger, cell_id)
) WITHOUT ROWID;
CREATE TABLE open_calls (
    ledger INTEGER, call_id TEXT, place INTEGER, worker INTEGER, cell_id, start BLOB,
    PRIMARY KEY (ledger, call_id)
) WITHOUT ROWID;
CREATE INDEX open_calls_of_cell ON open_calls (ledger, cell_id);
"""
_NO_CELL = b""
"""What stands for no cell: no text is equal to it."""


class StoredLedger(NamedTuple):
    """A ledger that was read."""

    id: int
    made_by: str
    """By what rules its rows were made."""
    path: str
    """Where it lay then."""
    chains: dict[int, ChainRead]


class Database:
    """The tables; from any thread, one at a time.

    Args:
        file: Where they lie; `:memory:` keeps them for the life of this object.

    Raises:
        sqlite3.Error: The file cannot be read or written, or is no such database.
        ValueError: It has another form.
    """

    def __init__(self, file: Path | str) -> None:
        self.file = file
        self._connection = sqlite3.connect(
            file, timeout=_WAIT_S, isolation_level=None, check_same_thread=False
        )
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        run = self._connection.execute
        run("PRAGMA journal_mode = WAL")  # a lookup never waits for a write
        run("PRAGMA synchronous = NORMAL")  # what a power cut undoes is read again from the ledger
        if self._form() == (0, 0):
            with self:
                if self._form() == (0, 0):  # another proxy may have been faster
                    for statement in _TABLES.split(";"):
                        run(statement)
                    run(f"PRAGMA application_id = {_APPLICATION}")
                    run(f"PRAGMA user_version = {FORM}")
        if (found := self._form()) != (_APPLICATION, FORM):
            raise ValueError(f"its form is {found[1]}, and this version reads form {FORM}")

    def _form(self) -> tuple[int, int]:
        found = [self._connection.execute(f"PRAGMA {of}").fetchone()[0] for of in _VERSIONS]
        return found[0], found[1]

    def __enter__(self) -> "Database":
        """Begin a transaction: all that is written in it is there afterwards, or nothing is."""
        self._connection.execute("BEGIN IMMEDIATE")
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """End it."""
        try:
            if kind is None:
                self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def ledgers(self) -> list[StoredLedger]:
        """Return the ledgers that were read, the latest first."""
        chains: dict[int, dict[int, ChainRead]] = {}
        for ledger, worker, first_segment, first_line, *position in self._connection.execute(
            "SELECT * FROM chains"
        ):
            read = ChainRead(first_segment, first_line, Position(*position))
            chains.setdefault(ledger, {})[worker] = read
        found = self._connection.execute("SELECT id, made_by, path FROM ledgers ORDER BY id DESC")
        return [
            StoredLedger(number, made_by, path, chains.get(number, {}))
            for number, made_by, path in found
        ]

    def add_ledger(self, made_by: str, path: str, instead_of: int | None) -> int:
        """Add a ledger and return its number.

        Args:
            made_by: By what rules its rows are made.
            path: Where it lies.
            instead_of: The number that it had, if what was read then is not what is there now; by that it
                is not found again.
        """
        values = made_by, path, instead_of
        inserted = self._connection.execute(
            "INSERT INTO ledgers (made_by, path, instead_of) VALUES (?, ?, ?)", values
        )
        self._connection.execute("DELETE FROM chains WHERE ledger = ?", (instead_of,))
        return int(inserted.lastrowid or 0)

    def instead_of(self, ledger: int) -> int | None:
        """Return the number that a ledger had, until that is forgotten."""
        select = "SELECT instead_of FROM ledgers WHERE id = ?"
        number: int | None = self._connection.execute(select, (ledger,)).fetchone()[0]
        return number

    def forget_instead_of(self, ledger: int) -> None:
        """Forget which number a ledger had: what was read then counts as a ledger of its own."""
        self._connection.execute("UPDATE ledgers SET instead_of = NULL WHERE id = ?", (ledger,))

    def remove_ledger(self, ledger: int) -> None:
        """Remove all that is known of a ledger."""
        for table, column in _OF_LEDGER:
            self._connection.execute(f"DELETE FROM {table} WHERE {column} = ?", (ledger,))

    def store_chains(self, ledger: int, chains: dict[int, ChainRead]) -> None:
        """Store where reading ended."""
        self._connection.executemany(
            "INSERT OR REPLACE INTO chains VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (ledger, worker, read.first_segment, read.first_line, *read.position)
                for worker, read in chains.items()
            ],
        )

    def store_rows(self, ledger: int, rows: Iterable[tuple[str | None, CellRow]]) -> None:
        """Store cells."""
        self._connection.executemany(
            "INSERT OR REPLACE INTO cells VALUES (?, ?, ?)",
            ((ledger, _column(cell_id), row.packed()) for cell_id, row in rows),
        )

    def remove_row(self, ledger: int, cell_id: str | None) -> None:
        """Remove a cell."""
        which = ledger, _column(cell_id)
        self._connection.execute("DELETE FROM cells WHERE ledger = ? AND cell_id = ?", which)

    def row(self, ledger: int | None, cell_id: str | None) -> CellRow | None:
        """Return what is stored of a cell of a ledger."""
        found = self._connection.execute(
            "SELECT state FROM cells WHERE ledger = ? AND cell_id = ?", (ledger, _column(cell_id))
        ).fetchone()
        return None if found is None else CellRow.unpacked(found[0])

    def rows_of(self, cell_id: str | None) -> dict[int, CellRow]:
        """Return what is stored of a cell, by ledger."""
        found = self._connection.execute(
            "SELECT cells.ledger, state FROM ledgers CROSS JOIN cells ON cells.ledger = ledgers.id "
            "WHERE cell_id = ?",
            (_column(cell_id),),
        )
        return {ledger: CellRow.unpacked(state) for ledger, state in found}

    def rows_from(
        self, ledger: int | None, cell_id: str, limit: int = -1
    ) -> Iterator[tuple[str, CellRow]]:
        """Yield the cells of a ledger that have an id, from one on, sorted."""
        found = self._connection.execute(
            "SELECT cell_id, state FROM cells WHERE ledger = ? AND cell_id >= ? "
            "AND typeof(cell_id) = 'text' ORDER BY cell_id LIMIT ?",
            (ledger, _column(cell_id), limit),
        )
        return ((key, CellRow.unpacked(state)) for key, state in found)

    def store_open_calls(self, ledger: int, calls: dict[str, OpenCall]) -> None:
        """Store which calls of a ledger have no END."""
        self._connection.execute("DELETE FROM open_calls WHERE ledger = ?", (ledger,))
        self._connection.executemany(
            "INSERT INTO open_calls VALUES (?, ?, ?, ?, ?, ?)",
            [
                (ledger, call_id, place, worker, _column(start.get("cell_id")), orjson.dumps(start))
                for place, (call_id, (worker, start)) in enumerate(calls.items())
            ],
        )

    def open_calls(self, ledger: int) -> dict[str, OpenCall]:
        """Return which calls of a ledger have no END, in the order in which they were read."""
        select = "SELECT call_id, worker, start FROM open_calls WHERE ledger = ? ORDER BY place"
        found = self._connection.execute(select, (ledger,))
        return {call_id: OpenCall(worker, orjson.loads(start)) for call_id, worker, start in found}

    def open_calls_of(self, cell_id: str | None) -> list[tuple[int, dict[str, Any]]]:
        """Return the STARTs of a cell's calls without END, each with its ledger."""
        found = self._connection.execute(
            "SELECT ledgers.id, start FROM ledgers CROSS JOIN open_calls ON ledger = ledgers.id "
            "WHERE cell_id = ?",
            (_column(cell_id),),
        )
        return [(ledger, orjson.loads(start)) for ledger, start in found]


_VERSIONS = ("application_id", "user_version")
_OF_LEDGER = (
    ("ledgers", "id"),
    ("chains", "ledger"),
    ("cells", "ledger"),
    ("open_calls", "ledger"),
)


def _column(cell_id: str | None) -> str | bytes:
    if cell_id is None:
        return _NO_CELL
    # An id that is no UTF-8, as of a header, is in no ledger: it is looked up, and not found.
    data = cell_id.encode(errors="surrogatepass")
    return cell_id if data.decode(errors="ignore") == cell_id else data
