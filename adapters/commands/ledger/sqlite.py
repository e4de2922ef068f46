"""Calls in a SQLite file: one row per call, however often it is exported."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from cab.adapters.commands.ledger.columns import COLUMNS, CallColumnKind
from cab.adapters.errors import AdapterError

_TYPES: dict[CallColumnKind, str] = {
    "text": "TEXT",
    "integer": "INTEGER",
    "real": "REAL",
    "boolean": "INTEGER",
    "instant": "TEXT",
    "json": "TEXT",
}
_TABLE = ", ".join(
    f'"{column.name}" {_TYPES[column.kind]}{" PRIMARY KEY" if column.name == "call_id" else ""}'
    for column in COLUMNS
)
_NAMES = ", ".join(f'"{column.name}"' for column in COLUMNS)
_MARKS = ", ".join("?" for _ in COLUMNS)


def write_sqlite(file: Path, calls: Iterable[list[Any]]) -> int:
    """Write calls to the table `calls` of a file, all or none; return their number.

    Args:
        file: Made if missing.
        calls: Their values in the order of the columns; a call that is in the table already replaces
            its row.

    Raises:
        AdapterError: The file is not a SQLite file, is in use, or has another table of this name.
    """
    count = 0

    def rows() -> Iterable[list[object]]:
        nonlocal count
        for row in calls:
            yield row
            count += 1

    try:
        with closing(sqlite3.connect(file)) as database, database:
            database.execute(f"CREATE TABLE IF NOT EXISTS calls ({_TABLE})")
            for name in ("cell_id", "started_at"):
                database.execute(f"CREATE INDEX IF NOT EXISTS calls_{name} ON calls ({name})")
            insert = f"INSERT OR REPLACE INTO calls ({_NAMES}) VALUES ({_MARKS})"
            database.executemany(insert, rows())
    except (sqlite3.Error, OverflowError) as error:
        raise AdapterError(f"{file} does not take the calls: {error}; give another file") from error
    return count
