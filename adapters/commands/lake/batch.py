"""Rows on their way into a lake: a file per partition, all of them whole before one counts."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from cab.adapters.commands.lake.state import Move
from cab.adapters.commands.parquet import ParquetColumn, ParquetTable

MOST_ROWS = 100_000
"""Rows of a batch: as many may be in memory."""
MOST_FILES = 64
"""Files of a batch, which are open at the same time."""


class LakeBatch:
    """The rows that one commit adds to a table of a lake, as a context: what is open is closed at its end.

    Args:
        parts: Folder where the files are written.
        table: Name of the table.
        columns: Its columns.
        name: Of its files, without suffix; no other batch has it.
    """

    def __init__(
        self, parts: Path, table: str, columns: Sequence[ParquetColumn], name: str
    ) -> None:
        self._parts = parts
        self._table = table
        self._columns = columns
        self._name = name
        self._files: dict[str, tuple[IO[bytes], ParquetTable[list[Any]]]] = {}
        self.rows = 0
        """How many there are."""

    def __enter__(self) -> "LakeBatch":
        return self

    def __exit__(self, *_: object) -> None:
        for handle, table in self._files.values():
            try:
                table.close()
            finally:
                handle.close()

    @property
    def is_full(self) -> bool:
        """Whether it is time to commit."""
        return self.rows >= MOST_ROWS or len(self._files) >= MOST_FILES

    def file_of(self, partition: str) -> str:
        """Return where the rows of a partition will lie, from the lake's folder."""
        return f"{self._table}/{partition}/{self._name}.parquet"

    def add(self, partition: str, row: list[Any]) -> None:
        """Add a row.

        Raises:
            AdapterError: pyarrow is not installed, or a value does not fit its column.
            OSError: The file cannot be written.
        """
        if partition not in self._files:
            handle = (self._parts / f"{len(self._files)}.parquet").open("wb")
            self._files[partition] = handle, ParquetTable(handle, self._columns, list)
        self._files[partition][1].add(row)
        self.rows += 1

    def finish(self) -> list[Move]:
        """Write the rest, and return what puts the files in their place; errors as for `add`."""
        moves: list[Move] = []
        for partition, (handle, table) in self._files.items():
            table.finish()
            handle.flush()
            os.fsync(handle.fileno())
            moves.append(Move(Path(handle.name).name, self.file_of(partition)))
        return moves
