"""What a lake knows of itself: what is in it, and which files are about to be put in their place.

The state is a SQLite file in `_state/`. A batch of files is written to `_state/parts/` first. Then one
transaction says what the batch holds and where its files go; from then on it counts. A kill before it leaves
nothing, after it the next export moves the files that are not in their place yet.
"""

import os
import shutil
import sqlite3
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from cab.adapters.commands.parquet import ParquetColumn
from cab.adapters.errors import AdapterError
from cab.proxy.ledger.file_lock import lock_file

_FORM = 1
_TABLES = """
CREATE TABLE columns (lake_table TEXT, name TEXT, kind TEXT, PRIMARY KEY (lake_table, name));
CREATE TABLE pending (number INTEGER PRIMARY KEY, part TEXT, file TEXT NOT NULL);
CREATE TABLE chains (first_hash TEXT PRIMARY KEY, segment INTEGER, line INTEGER, last_sha256 TEXT, hash TEXT,
    damaged INTEGER, calls INTEGER);
CREATE TABLE sources (path TEXT PRIMARY KEY, signature TEXT);
CREATE TABLE cells (run_key TEXT PRIMARY KEY, source TEXT, digest TEXT, file TEXT);
CREATE INDEX cells_source ON cells (source);
CREATE TABLE batches (number INTEGER PRIMARY KEY);
"""


class Move(NamedTuple):
    """One step of a batch."""

    part: str | None
    """File in `_state/parts/`; None if the other one is removed."""
    file: str
    """Where it goes, from the lake's folder."""


class LakeState:
    """The state of a lake, held by one process; see `open_lake`.

    Args:
        folder: The lake's.
        database: Its state.
    """

    def __init__(self, folder: Path, database: sqlite3.Connection) -> None:
        self.folder = folder
        self.parts = folder / "_state" / "parts"
        self.database = database

    def check_columns(self, table: str, columns: Iterable[ParquetColumn]) -> None:
        """Note the columns of a table.

        Raises:
            AdapterError: One has another type in the lake: no reader could read both.
        """
        query = "SELECT name, kind FROM columns WHERE lake_table = ?"
        known = dict(self.database.execute(query, (table,)))
        for column in columns:
            if known.get(column.name, column.kind) != column.kind:
                raise AdapterError(
                    f"{self.folder}: {table}.{column.name} is {known[column.name]} there and {column.kind} "
                    "in this version; export to a new folder"
                )
        with self.database:
            self.database.executemany(
                "INSERT OR IGNORE INTO columns VALUES (?, ?, ?)",
                [(table, column.name, column.kind) for column in columns],
            )

    @contextmanager
    def commit(self, moves: Sequence[Move]) -> Generator[sqlite3.Connection]:
        """Make a batch count: the block writes what it holds, in the same transaction.

        Files are removed and replaced before new ones come, so that a reader never finds a row twice.

        Args:
            moves: The steps; the parts are whole, and on disk.

        Raises:
            OSError: The disk is full, or the like; the next export takes it up.
        """
        with self.database:
            self.database.executemany("INSERT INTO pending (part, file) VALUES (?, ?)", moves)
            yield self.database
        self.place()

    def place(self) -> None:
        """Put the files of the last batch in their place, as far as they are not there."""
        pending = self.database.execute("SELECT part, file FROM pending ORDER BY number").fetchall()
        folders: set[Path] = set()
        for part, name in pending:
            file = self.folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            folders.add(file.parent)
            if part is None:
                file.unlink(missing_ok=True)
            elif (self.parts / part).exists():
                (self.parts / part).replace(file)
        for folder in folders:
            _sync_folder(folder)
        if pending:
            with self.database:
                self.database.execute("DELETE FROM pending")


@contextmanager
def open_lake(folder: Path) -> Generator[LakeState]:
    """Open a lake for an export, and finish what the last one left.

    Args:
        folder: Made if it is missing or empty.

    Raises:
        AdapterError: It is something else, another export writes to it, or its state cannot be read.
        OSError: It cannot be written.
    """
    state = folder / "_state"
    if folder.exists() and not state.is_dir() and (not folder.is_dir() or any(folder.iterdir())):
        raise AdapterError(f"{folder} is not a lake: there is no _state in it; give a new folder")
    state.mkdir(parents=True, exist_ok=True)
    with (state / "lock").open("wb") as lock:
        _take(lock, folder)
        try:
            database = sqlite3.connect(state / "state.sqlite")
        except sqlite3.Error as error:
            raise AdapterError(f"{state}: {error}") from error
        try:
            _prepare(database)
            found = LakeState(folder, database)
            found.place()
            shutil.rmtree(
                found.parts, ignore_errors=True
            )  # of an export that did not get to its commit
            found.parts.mkdir()
            yield found
        except sqlite3.Error as error:
            raise AdapterError(
                f"{state / 'state.sqlite'}: {error}; without it the lake is made again: export to a new folder"
            ) from error
        finally:
            database.close()


def _take(lock: IO[bytes], folder: Path) -> None:
    if not lock_file(lock):
        raise AdapterError(f"another export writes to {folder}; wait until it has ended")


def _prepare(database: sqlite3.Connection) -> None:
    database.execute("PRAGMA synchronous = FULL")
    [form] = database.execute("PRAGMA user_version").fetchone()
    if form == 0:
        database.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {_FORM}; COMMIT;")
    elif form != _FORM:
        raise AdapterError(
            f"the lake's state is of form {form}, this version reads {_FORM}; use the version that wrote it"
        )


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
