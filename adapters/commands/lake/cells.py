"""The table `cells` of a lake: scored cells, each once, in their last version."""

import hashlib
import importlib.metadata
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from cab.adapters.commands.lake.batch import MOST_FILES, LakeBatch
from cab.adapters.commands.lake.partitions import partition_of
from cab.adapters.commands.lake.rewriting import without_cells
from cab.adapters.commands.lake.state import LakeState
from cab.adapters.commands.parquet import ParquetColumn, decimal_or_none
from cab.adapters.ui.cell_inputs import run_identity, scored_cells
from cab.adapters.ui.progress import complain
from cab.scoring.errors import ScoringError
from cab.scoring.exports.table import COLUMNS, row_of
from cab.scoring.profiles.builtin import DEFAULT_PROFILE
from cab.scoring.score import ScoredCell, find_cells

TABLE = "cells"

CELL_COLUMNS = (
    ParquetColumn("run_key", "text"),
    *(ParquetColumn(c.name, c.kind, c.unit) for c in COLUMNS if c.name != "sweep"),
)
"""All columns; `sweep` and `day` are in the folders' names. A money that no decimal holds is null."""

_SWEEP = [column.name for column in COLUMNS].index("sweep")
_START = [column.name for column in COLUMNS].index("started_at")
_MONEY = [place for place, column in enumerate(COLUMNS) if column.kind == "money"]
MOST_SOURCES = 10_000
"""Bundles of a batch: a kill loses no more work than that."""
_SCORER = importlib.metadata.version("coding-agent-bench"), CELL_COLUMNS


class AddedCells(NamedTuple):
    """What an export did."""

    added: int
    """Cells that are new in the lake."""
    replaced: int
    """Cells that were there in another version, or whose place another run of the cell took."""
    unchanged: int
    """Bundles and files that are as they were."""


class _Row(NamedTuple):
    source: str
    key: str
    digest: str
    partition: str
    values: list[Any]


def add_cells(
    lake: LakeState, paths: Iterable[Path], on_error: Callable[[ScoringError], None]
) -> AddedCells:
    """Add the cells below some paths that are new or have changed; others are not scored again.

    Args:
        lake: The lake.
        paths: Bundles, folders of bundles, and files of cells.
        on_error: Is told of each cell that cannot be read; the others count.

    Raises:
        AdapterError: pyarrow is not installed, or the lake has other types.
    """
    lake.check_columns(TABLE, CELL_COLUMNS)
    export = _CellExport(lake, on_error)
    for path in paths:
        try:
            for source in find_cells(path, lambda note: complain(str(note))):
                export.take(source)
        except ScoringError as error:
            on_error(error)
    export.commit()
    return AddedCells(export.added, export.replaced, export.unchanged)


class _CellExport:
    """One run of the export."""

    def __init__(self, lake: LakeState, on_error: Callable[[ScoringError], None]) -> None:
        self._lake = lake
        self._on_error = on_error
        self._met: set[str] = set()
        self._signatures: dict[str, str] = {}
        self._rows: list[_Row] = []
        self._gone: dict[str, set[str]] = {}
        self._partitions: set[str] = set()
        self.added = self.replaced = self.unchanged = 0

    def take(self, source: Path) -> None:
        """Take a bundle or a file, unless it is as it was."""
        place, signature = str(source.resolve()), _signature(source)
        query = "SELECT signature FROM sources WHERE path = ?"
        if self._lake.database.execute(query, (place,)).fetchone() == (signature,):
            self.unchanged += 1
            return
        failed: list[ScoringError] = []
        keys = [self._take(place, scored) for scored in _scored(source, failed.append)]
        for error in failed:
            self._on_error(error)
        if not failed:  # else it is looked at again, and what it held stays
            self._drop_others(place, keys)
            self._signatures[place] = signature
        if len(self._signatures) >= MOST_SOURCES or len(self._partitions) >= MOST_FILES:
            self.commit()

    def _take(self, place: str, scored: ScoredCell) -> str:
        """Take a cell; return its key. A copy of one that was met is passed over."""
        row = _row(place, scored)
        if row.key in self._met:
            return row.key
        self._met.add(row.key)
        query = "SELECT digest, file FROM cells WHERE run_key = ?"
        known = self._lake.database.execute(query, (row.key,)).fetchone()
        if known is None:
            self.added += 1
        elif known[0] == row.digest and row.key not in self._gone.get(known[1], ()):
            return row.key
        else:
            self.replaced += 1
            self._gone.setdefault(known[1], set()).add(row.key)
        self._rows.append(row)
        self._partitions.add(row.partition)
        return row.key

    def _drop_others(self, place: str, keys: list[str]) -> None:
        """Take out of the lake what a place held before: another run of the cell is there now."""
        query = "SELECT run_key, file FROM cells WHERE source = ?"
        for key, file in self._lake.database.execute(query, (place,)).fetchall():
            if key not in keys and key not in self._met:
                self.replaced += 1
                self._gone.setdefault(file, set()).add(key)

    def commit(self) -> None:
        """Put what was taken into the lake."""
        lake = self._lake
        [number] = lake.database.execute(
            "SELECT coalesce(max(number), 0) + 1 FROM batches"
        ).fetchone()
        with LakeBatch(lake.parts, TABLE, CELL_COLUMNS, f"cells-{number:08d}") as batch:
            for row in self._rows:
                batch.add(row.partition, row.values)
            moves = [*without_cells(lake, self._gone), *batch.finish()]
            with lake.commit(moves) as database:
                database.execute("INSERT INTO batches VALUES (?)", (number,))
                gone = [(key,) for keys in self._gone.values() for key in keys]
                database.executemany("DELETE FROM cells WHERE run_key = ?", gone)
                rows = [(r.key, r.source, r.digest, batch.file_of(r.partition)) for r in self._rows]
                database.executemany("INSERT INTO cells VALUES (?, ?, ?, ?)", rows)
                database.executemany(
                    "INSERT OR REPLACE INTO sources VALUES (?, ?)", self._signatures.items()
                )
        for done in (self._rows, self._gone, self._signatures, self._partitions):
            done.clear()


def _scored(source: Path, on_error: Callable[[ScoringError], None]) -> Iterator[ScoredCell]:
    return scored_cells([source], DEFAULT_PROFILE, on_error)


def _row(place: str, scored: ScoredCell) -> _Row:
    values = row_of(scored)
    for at in _MONEY:
        values[at] = decimal_or_none(values[at])
    digest = hashlib.sha256(repr(values).encode(errors="surrogatepass")).hexdigest()
    key = hashlib.sha256(repr(run_identity(scored)).encode(errors="surrogatepass")).hexdigest()[:32]
    partition = partition_of(values[_SWEEP], values[_START])
    return _Row(place, key, digest, partition, [key, *values[:_SWEEP], *values[_SWEEP + 1 :]])


def _signature(source: Path) -> str:
    """Return what changes whenever a cell's files do, or the version that scores them."""
    files = [source] if source.is_file() else sorted(source.iterdir())
    stats = [(file.name, file.lstat()) for file in files]
    seen = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
    return hashlib.sha256(repr((_SCORER, seen)).encode(errors="surrogatepass")).hexdigest()
