import sys
from pathlib import Path

import pyarrow.parquet
import pytest

from cab.adapters.cli import main
from cab.adapters.commands import parquet
from cab.scoring.exports.table import COLUMNS
from tests.scoring.builders import PAGES, end_fields
from tests.scoring.exports.cells import bundle, cell_id

TYPES = {
    "text": "string",
    "integer": "int64",
    "real": "double",
    "money": "double",
    "boolean": "bool",
    "instant": "timestamp[us, tz=UTC]",
}


def test_a_table_has_typed_columns_with_units(tmp_path: Path) -> None:
    """Another reader finds a row per cell, the columns' types and units, and nulls for unknown."""
    bundle(tmp_path / "runs" / "a", calls=[end_fields()])
    assert main(["export", "parquet", "runs", str(PAGES[0]), "-o", "cells.parquet"]) == 0
    table = pyarrow.parquet.read_table("cells.parquet")
    assert table.column_names == [column.name for column in COLUMNS]
    assert [str(field.type) for field in table.schema] == [TYPES[c.kind] for c in COLUMNS]
    assert table.schema.field("wall_clock_ms").metadata == {b"unit": b"ms"}
    assert table.schema.field("tui").metadata is None
    ours, page = table.to_pylist()
    assert (ours["cell_id"], ours["total_tokens"]) == (cell_id(), 120)
    assert ours["started_at"].isoformat() == "2026-11-20T12:00:00+00:00"
    assert (page["total_tokens"], page["started_at"]) == (None, None)
    assert page["wall_clock_ms"] > 0


def test_rows_are_written_batch_by_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many cells there are, few rows are in memory, and all of them are in the file."""
    monkeypatch.setattr(parquet, "_BATCH_ROWS", 2)
    for number in range(1, 6):
        bundle(tmp_path / "runs" / str(number), cell_id(run=number))
    assert main(["export", "parquet", "runs", "-o", "c.parquet"]) == 0
    file = pyarrow.parquet.ParquetFile("c.parquet")
    assert file.num_row_groups == 3
    assert file.read().column("run").to_pylist() == [1, 2, 3, 4, 5]


def test_without_pyarrow_the_fix_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing package is one line with the command that installs it; other formats do without."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    bundle(tmp_path / "runs" / "a")
    assert main(["export", "parquet", "runs", "-o", "c.parquet"]) == 2
    assert "pip install 'coding-agent-bench[parquet]'" in capsys.readouterr().err
    assert not list(tmp_path.glob("c.parquet*"))
    assert main(["export", "cell", "runs", "-o", "c.jsonl"]) == 0


def test_a_figure_too_large_for_its_column(tmp_path: Path) -> None:
    """A count that 64 bits do not hold is no count: unknown, and not a wrapped number."""
    huge = (1 << 63) + 1
    call = end_fields(prompt_tokens=huge, completion_tokens=0, total_tokens=huge)
    bundle(tmp_path / "runs" / "a", calls=[call])
    assert main(["export", "parquet", "runs", "-o", "c.parquet"]) == 0
    [row] = pyarrow.parquet.read_table("c.parquet").to_pylist()
    assert row["total_tokens"] is None
