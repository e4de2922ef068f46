"""What `cab export` writes cells to: one sink per kind of file."""

from collections.abc import Callable
from typing import Any, Protocol

from cab.adapters.commands.export.files import Files
from cab.adapters.commands.parquet import ParquetColumn, ParquetTable
from cab.scoring.errors import BadRecord
from cab.scoring.exports.inspect.log import Group, InspectLog
from cab.scoring.exports.inspect.sample import sample
from cab.scoring.exports.plain import dollars
from cab.scoring.exports.source import Source, source_of
from cab.scoring.exports.table import COLUMNS, CellColumn, row_of
from cab.scoring.score import ScoredCell

OnFault = Callable[[BadRecord], None]

_ONE = "cells"
"""Name of the file where there is only one."""


class Sink(Protocol):
    """Takes cells one by one."""

    def add(self, scored: ScoredCell, /) -> None:
        """Write a cell, or nothing of it.

        Raises:
            ScoringError: The cell cannot be written; others can.
        """

    def finish(self) -> None:
        """Write what comes after the last cell."""

    def close(self) -> None:
        """Close the files, whole or not."""


class TextSink:
    """Files of text, to which each cell adds a part.

    Args:
        files: Where they are.
        make: Cell -> its part.
        name_of: Cell -> name of its file.
        key_of: Cell -> what is unique among the parts of a file; None where anything goes.
    """

    def __init__(
        self,
        files: Files,
        make: Callable[[Source], bytes],
        name_of: Callable[[Source], str] = lambda _: _ONE,
        key_of: Callable[[Source], str] | None = None,
    ) -> None:
        self._files = files
        self._make = make
        self._name_of = name_of
        self._key_of = key_of
        self._seen: set[tuple[str, str]] = set()

    def add(self, scored: ScoredCell, /) -> None:
        """Add a cell's part to its file."""
        source = source_of(scored)
        name, part = self._name_of(source), self._make(source)
        if self._key_of is not None:
            key = name, self._key_of(source)
            if key in self._seen:
                raise BadRecord(str(source.path), None, f"{key[1]} is in the file already")
            self._seen.add(key)
        self._files.append(name, part)

    def finish(self) -> None:
        """Do nothing: every part is written."""

    def close(self) -> None:
        """Do nothing: no file stays open."""


class InspectSink:
    """One log per agent and model.

    Args:
        files: Where they are.
        on_fault: Is told of what cannot be read of the messages; None if they are not asked for.
    """

    def __init__(self, files: Files, on_fault: OnFault | None = None) -> None:
        self._files = files
        self._on_fault = on_fault
        self._logs: dict[str, InspectLog] = {}

    def add(self, scored: ScoredCell, /) -> None:
        """Add a cell to the log of its agent and model."""
        source = source_of(scored)
        captured = source.messages(self._on_fault) if self._on_fault else None
        made = sample(source, captured)  # may fail: before a log is begun for it
        name, cell_id = group_of(source), source.cell_id
        if name not in self._logs:
            group = Group(cell_id.sweep, cell_id.tui, cell_id.model)
            self._logs[name] = InspectLog(self._files.open(name), group)
        self._logs[name].add(source, made)

    def finish(self) -> None:
        """End the logs."""
        for log in self._logs.values():
            log.finish()

    def close(self) -> None:
        """End the files."""
        for log in self._logs.values():
            log.close()


def parquet_sink(files: Files) -> Sink:
    """Return what writes one table, a row per cell.

    Raises:
        AdapterError: pyarrow is not installed.
    """
    columns = (ParquetColumn(column.name, _kind(column), column.unit) for column in COLUMNS)
    return ParquetTable(files.open(_ONE), columns, _plain_row)


def _kind(column: CellColumn) -> str:
    # A lake has exact decimals; readers of this file know its prices as numbers since it exists.
    return "real" if column.kind == "money" else column.kind


def _plain_row(scored: ScoredCell) -> list[Any]:
    values = zip(COLUMNS, row_of(scored), strict=True)
    return [dollars(value) if column.kind == "money" else value for column, value in values]


def group_of(source: Source) -> str:
    """Return sweep, agent and model of a cell, as a path."""
    cell_id = source.cell_id
    return f"{cell_id.sweep}/{cell_id.tui}/{cell_id.model_part}"
