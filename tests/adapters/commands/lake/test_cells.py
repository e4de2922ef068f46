"""`cab export lake`: each cell once, in its last version."""

import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from cab.adapters.cli import main
from cab.adapters.commands.lake import cells
from cab.scoring.cells.cell import Timing
from tests.adapters.commands.lake.reading import ask
from tests.scoring.builders import PAGES, end_fields
from tests.scoring.exports.cells import bundle, cell_id

ALL = "SELECT run, passed FROM cells ORDER BY run"


def export(*runs: str, expected: int = 0) -> None:
    assert main(["export", "lake", *(runs or ("runs",)), "-o", "lake"]) == expected


def timing(day: int) -> dict[str, Any]:
    return {
        "started_at": f"2026-11-{day}T12:00:00.000000Z",
        "ended_at": f"2026-11-{day}T12:00:03.000000Z",
        "duration_ms": 3000.0,
    }


def cell(tmp_path: Path, run: int, *, day: int = 20, **changes: Any) -> Path:
    facts = {"timing": Timing.of_run(*timing(day).values()), **changes}
    return bundle(tmp_path / "runs" / str(run), cell_id(run=run), **facts)


def test_only_new_and_changed_cells_are_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """New cells are added, a changed one replaces its row, others are not even scored again."""
    cell(tmp_path, 1)
    cell(tmp_path, 2, day=21)
    export()
    cell(tmp_path, 3)
    shutil.rmtree(tmp_path / "runs" / "1")
    cell(tmp_path, 1, passed=False)
    (tmp_path / "runs" / "2" / "before.json").chmod(0)  # nobody looks at it, so nobody misses it
    export()
    export()
    assert ask(ALL) == [(1, False), (2, True), (3, True)]
    said = [line.split(": ")[1] for line in capsys.readouterr().out.splitlines()]
    assert said == ["2 new cells", "1 new cell, 1 replaced", "0 new cells"]


def test_a_new_run_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    """A cell that was run again in its folder is one row, that of the later run, on its own day."""
    folder = cell(tmp_path, 1)
    cell(tmp_path, 2)
    export()
    shutil.rmtree(folder)
    cell(tmp_path, 1, day=23, passed=False)
    export()
    assert ask(ALL) == [(1, False), (2, True)]
    days = sorted(path.parent.name for path in Path("lake").rglob("*.parquet"))
    assert days == ["day=2026-11-20", "day=2026-11-23"]


def test_a_bundle_that_moved_is_the_same_cell(tmp_path: Path) -> None:
    """A copy adds nothing; if another run takes the old place, both runs are there."""
    folder = cell(tmp_path, 1)
    export()
    shutil.copytree(folder, tmp_path / "runs" / "copy")
    export()
    assert ask(ALL) == [(1, True)]
    shutil.rmtree(folder)
    cell(tmp_path, 1, day=22, passed=False)
    (tmp_path / "runs" / "copy" / "stdout.txt").write_text("touched\n")
    export()
    assert ask("SELECT run, passed, day::VARCHAR FROM cells ORDER BY day") == [
        (1, True, "2026-11-20"),
        (1, False, "2026-11-22"),
    ]


def test_a_cell_that_cannot_be_read_keeps_its_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A broken bundle is named at each export and the others count; what it held stays."""
    broken = cell(tmp_path, 1)
    export()
    (broken / "cell.json").write_bytes(b"{")
    cell(tmp_path, 2)
    for _ in range(2):
        export(expected=2)
        assert "cell.json" in capsys.readouterr().err
    assert ask(ALL) == [(1, True), (2, True)]


def test_types_and_unknown_days(tmp_path: Path) -> None:
    """Money is an exact decimal, nulls have types, and a page without dates lies under no day."""
    cell(tmp_path, 1, calls=[end_fields(cost_usd="0.1"), end_fields("c2", cost_usd="0.2")])
    cell(tmp_path, 2, calls=[end_fields(cost_usd=None)])
    export("runs", str(PAGES[0]))
    assert ask("SELECT cost_usd FROM cells WHERE run IS NOT NULL ORDER BY run") == [
        (Decimal("0.3"),),
        (None,),
    ]
    assert ask("SELECT count(*) FROM cells WHERE day IS NULL") == [(1,)]
    schemas = [pyarrow.parquet.read_schema(file) for file in Path("lake").rglob("*.parquet")]
    assert len(schemas) == 2
    assert schemas[0] == schemas[1]
    assert str(schemas[0].field("cost_usd").type) == "decimal128(38, 24)"


def test_many_bundles_are_taken_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was taken counts before the last cell is scored, so that a kill loses little."""
    monkeypatch.setattr(cells, "MOST_SOURCES", 2)
    for run in range(1, 6):
        cell(tmp_path, run)
    export()
    assert [run for run, _ in ask(ALL)] == [1, 2, 3, 4, 5]
    assert len(list(Path("lake").rglob("*.parquet"))) == 3


def test_messages_have_no_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was said in calls is not for a lake."""
    cell(tmp_path, 1)
    assert main(["export", "lake", "runs", "-o", "lake", "--messages"]) == 2
    assert "lake has no place for messages" in capsys.readouterr().err
