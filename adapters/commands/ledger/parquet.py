"""Calls in a Parquet file."""

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from cab.adapters.commands.export.files import Files
from cab.adapters.commands.ledger.columns import COLUMNS, instant_of, values_of
from cab.adapters.commands.parquet import ParquetColumn, ParquetTable
from cab.scoring.ledger.reading import Found


def write_parquet(file: Path, calls: Iterable[Found]) -> int:
    """Write calls to a file, whole or not at all; return their number.

    Args:
        file: Replaced if it exists.
        calls: The calls.

    Raises:
        AdapterError: pyarrow is not installed, or a value does not fit its column.
        BadRecord: A call cannot be read.
    """
    count = 0
    columns = [ParquetColumn(column.name, column.kind) for column in COLUMNS]
    with (
        Files(file, file.suffix, "calls") as files,
        closing(ParquetTable(files.open("calls"), columns, _row)) as table,
    ):
        for found in calls:
            table.add(found)
            count += 1
        table.finish()
        files.place()
    return count


def _row(found: Found) -> list[Any]:
    values = values_of(found)
    for place, column in enumerate(COLUMNS):
        if column.kind == "instant":
            values[place] = instant_of(values[place], found)
    return values
