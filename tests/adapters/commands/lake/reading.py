"""Lakes read by DuckDB, as docs/lake.md shows it."""

import re
from pathlib import Path
from typing import Any

import duckdb

PAGE = Path(__file__).parents[4] / "docs" / "lake.md"
_BLOCKS = re.compile(r"^### (.+?)\n.*?```sql\n(.*?)```", re.DOTALL | re.MULTILINE)
_VIEWS = re.compile(r"```sql\n(CREATE VIEW.*?)```", re.DOTALL)


def queries() -> dict[str, str]:
    """Return the queries of the page by their question."""
    return dict(_BLOCKS.findall(PAGE.read_text()))


def connect() -> duckdb.DuckDBPyConnection:
    """Return a connection with the page's views of the folder `lake`, as far as its tables have files."""
    found = _VIEWS.search(PAGE.read_text())
    assert found is not None
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    for statement in found[1].strip().split(";\n"):
        name = re.findall(r"VIEW (\w+)", statement)[0]
        if any(Path("lake", name).rglob("*.parquet")):
            connection.execute(statement)
    return connection


def ask(query: str) -> list[tuple[Any, ...]]:
    """Return the rows that a query gives on the folder `lake`."""
    with connect() as connection:
        return connection.execute(query).fetchall()
