"""Tables in Parquet files. They need pyarrow, the extra `parquet`, which is loaded when it is used."""

import importlib
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import IO, Any, Generic, NamedTuple, TypeVar

from cab.adapters.errors import AdapterError
from cab.scoring.ledger.money import EXACT

_BATCH_ROWS = 10_000

_DIGITS, _SCALE = 38, 24

Item = TypeVar("Item")


class ParquetColumn(NamedTuple):
    """One column."""

    name: str
    kind: str
    """`text`, `integer`, `real`, `boolean`, `json`, `instant`: microseconds since 1970 in UTC, or `money`:
    an exact decimal, see `decimal_or_none`."""
    unit: str | None = None


class ParquetTable(Generic[Item]):
    """A table that is written batch by batch, so that few rows are in memory.

    Args:
        file: Where to; it is not closed.
        columns: What a row holds.
        row_of: Item -> its row, a value per column.

    Raises:
        AdapterError: pyarrow is not installed.
    """

    def __init__(
        self,
        file: IO[bytes],
        columns: Iterable[ParquetColumn],
        row_of: Callable[[Item], list[Any]],
    ) -> None:
        self._row_of = row_of
        self._arrow = pyarrow_module("pyarrow")
        types = {
            "integer": self._arrow.int64(),
            "real": self._arrow.float64(),
            "boolean": self._arrow.bool_(),
            "instant": self._arrow.timestamp("us", tz="UTC"),
            "money": self._arrow.decimal128(_DIGITS, _SCALE),
        }
        self._schema = self._arrow.schema(
            self._arrow.field(
                name,
                types.get(kind, self._arrow.string()),
                metadata={"unit": unit} if unit else None,
            )
            for name, kind, unit in columns
        )
        parquet = pyarrow_module("pyarrow.parquet")
        self._writer = parquet.ParquetWriter(file, self._schema, compression="zstd")
        self._rows: list[list[Any]] = []

    def add(self, item: Item) -> None:
        """Add the row of an item.

        Raises:
            AdapterError: A value does not fit its column.
        """
        self._rows.append(self._row_of(item))
        if len(self._rows) == _BATCH_ROWS:
            self._write()

    def finish(self) -> None:
        """Write the rest; errors as for `add`."""
        self._write()
        self._writer.close()

    def close(self) -> None:
        """Stop writing; without `finish` the table is not whole."""
        self._writer.close()

    def _write(self) -> None:
        try:
            arrays = [
                self._arrow.array([row[place] for row in self._rows], field.type)
                for place, field in enumerate(self._schema)
            ]
        except (self._arrow.ArrowException, OverflowError) as error:
            raise AdapterError(f"a value does not fit its column: {error}") from error
        if self._rows:
            self._writer.write_batch(self._arrow.record_batch(arrays, schema=self._schema))
        self._rows.clear()


def decimal_or_none(amount: Decimal | None) -> Decimal | None:
    """Return an amount that a column of kind `money` holds exactly, None for any other.

    The column has 38 digits, 24 of them after the point: a price that an endpoint computed in binary floating
    point has 17 significant digits, so that all from 10^-7 US dollars on fit. Nothing is rounded.
    """
    if amount is None:
        return None
    _, digits, exponent = amount.normalize(EXACT).as_tuple()
    if not isinstance(exponent, int) or exponent < -_SCALE:
        return None
    return amount if len(digits) + exponent <= _DIGITS - _SCALE else None


def pyarrow_module(module: str) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Return a module of pyarrow.

    Raises:
        AdapterError: pyarrow is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise AdapterError(
            "Parquet needs pyarrow; run: pip install 'coding-agent-bench[parquet]'"
        ) from error
