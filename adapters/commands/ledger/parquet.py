"""Calls in a Parquet file."""

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from cab.adapters.commands.export.files import Files
from cab.adapters.commands.ledger.columns import COLUMNS, instant_of, values_of
from cab.adapters.commands.parquet import ParquetColumn, ParquetTable
from cab.scoring.ledger.reading import Found


def write_parquet(file: Path, calls: Iterable[list[Any]]) -> int:
    """Write calls to a file, whole or not at all; return their number.

    Args:
        file: Replaced if it exists.
        calls: Their values in the order of the columns; see `parquet_row`.

    Raises:
        AdapterError: pyarrow is not installed, or a value does not fit its column.
    """
    count = 0
    columns = [ParquetColumn(column.name, column.kind) for column in COLUMNS]
    with (
        Files(file, file.suffix, "calls") as files,
        closing(ParquetTable(files.open("calls"), columns, _as_it_is)) as table,
    ):
        for row in calls:
            table.add(row)
            count += 1
        table.finish()
        files.place()
    return count


def parquet_row(found: Found) -> list[Any]:
    """Return a call's values in the order of the columns, instants in microseconds since 1970.

    Raises:
        BadRecord: As `values_of`, or an instant is none.
    """
    values = values_of(found)
    for place, column in enumerate(COLUMNS):
        if column.kind == "instant":
            values[place] = instant_of(values[place], found)
    return values


def _as_it_is(row: list[Any]) -> list[Any]:
    return row
