"""Calls in a Parquet file, written batch by batch. It needs pyarrow, the extra `parquet`."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from cab.adapters.commands.arrow import arrow_type, pyarrow
from cab.adapters.commands.ledger.columns import COLUMNS, instant_of, values_of
from cab.adapters.errors import AdapterError
from cab.adapters.output.whole_file import partial_of, put_in_place
from cab.scoring.ledger.reading import Found

_BATCH_CALLS = 20_000


def write_parquet(file: Path, calls: Iterable[Found]) -> int:
    """Write calls to a file, whole or not at all; return their number.

    Args:
        file: Replaced if it is there.
        calls: The calls.

    Raises:
        AdapterError: pyarrow is not installed, or a value does not fit its column.
        BadRecord: A call cannot be read.
    """
    arrow, parquet = pyarrow("pyarrow"), pyarrow("pyarrow.parquet")
    schema = arrow.schema([(column.name, arrow_type(arrow, column.kind)) for column in COLUMNS])
    partial = partial_of(file)
    count = 0
    try:
        with parquet.ParquetWriter(partial, schema, compression="zstd") as writer:
            for rows in _batches(calls):
                columns = [list(column) for column in zip(*rows, strict=True)]
                arrays = [
                    arrow.array(values, field.type)
                    for values, field in zip(columns, schema, strict=True)
                ]
                writer.write_batch(arrow.record_batch(arrays, schema=schema))
                count += len(rows)
        put_in_place(file)
    except (arrow.ArrowException, OverflowError) as error:
        raise AdapterError(f"{file} does not take the calls: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return count


def _batches(calls: Iterable[Found]) -> Iterator[list[list[Any]]]:
    rows = (_row(found) for found in calls)
    while batch := list(islice(rows, _BATCH_CALLS)):
        yield batch


def _row(found: Found) -> list[Any]:
    values = values_of(found)
    for place, column in enumerate(COLUMNS):
        if column.kind == "instant":
            values[place] = instant_of(values[place], found)
    return values
