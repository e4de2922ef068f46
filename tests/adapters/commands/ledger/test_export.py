import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from cab.adapters.cli import main
from tests.scoring.builders import end_fields
from tests.scoring.ledgers import calls, overlong, write_ledger


def rows(file: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(file)) as database:
        return database.execute(query).fetchall()


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """A ledger of two cells."""
    write_ledger(
        tmp_path / "cab-ledger", [*calls(3, "a"), end_fields("x", cell_id="b", stream=True)]
    )
    return tmp_path / "cab-ledger"


@pytest.mark.usefixtures("ledger")
def test_sqlite_answers_questions(capsys: pytest.CaptureFixture[str]) -> None:
    """Calls are rows with typed columns, and a second export changes nothing."""
    for _ in range(2):
        assert main(["ledger", "export", "--sqlite", "c.db"]) == 0
        assert capsys.readouterr().out == "c.db: 4 calls\n"
        query = "SELECT cell_id, count(*), sum(total_tokens), max(stream) FROM calls GROUP BY 1"
        assert rows(Path("c.db"), query) == [("a", 3, 360, None), ("b", 1, 120, 1)]
    [types] = rows(
        Path("c.db"),
        "SELECT typeof(latency_ms), typeof(seq), typeof(started_at) FROM calls LIMIT 1",
    )
    assert types == ("real", "integer", "text")


def test_sqlite_takes_new_calls_and_keeps_the_others(tmp_path: Path) -> None:
    """A file gathers the calls of several ledgers, and a call that is there already is replaced."""
    write_ledger(tmp_path / "l", calls(1))
    assert main(["ledger", "export", "l", "--sqlite", "c.db"]) == 0
    write_ledger(tmp_path / "l", calls(2, prompt_tokens=7))
    assert main(["ledger", "export", "l", "--sqlite", "c.db"]) == 0
    assert rows(tmp_path / "c.db", "SELECT call_id, prompt_tokens FROM calls ORDER BY 1") == [
        ("c1", 7),
        ("c2", 7),
    ]


@pytest.mark.usefixtures("ledger")
def test_filters_hold() -> None:
    """Only what is asked for is exported."""
    assert main(["ledger", "export", "--sqlite", "c.db", "--cell", "b"]) == 0
    assert rows(Path("c.db"), "SELECT call_id FROM calls") == [("x",)]
    assert main(["ledger", "export", "--sqlite", "d.db", "--cell", "c"]) == 1
    assert rows(Path("d.db"), "SELECT call_id FROM calls") == []


@pytest.mark.parametrize("content", [b"hello, this is a text and no database\n" * 9, None])
@pytest.mark.usefixtures("ledger")
def test_a_file_that_is_something_else_is_left_alone(
    content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that is not a SQLite file, or whose table is another one, is refused and not touched."""
    if content is None:
        rows(Path("c.db"), "CREATE TABLE calls (number INTEGER)")
    else:
        Path("c.db").write_bytes(content)
    before = Path("c.db").read_bytes()
    assert main(["ledger", "export", "--sqlite", "c.db"]) == 2
    err = capsys.readouterr().err
    assert "c.db does not take the calls" in err
    assert err.count("\n") == 1
    assert Path("c.db").read_bytes() == before


@pytest.mark.parametrize("option", ["--sqlite", "--parquet"])
@pytest.mark.parametrize(
    ("changes", "said"),
    [({"prompt_tokens": 2**63}, "int too")],
)
def test_a_call_that_does_not_fit_stops_all(
    tmp_path: Path,
    option: str,
    changes: dict[str, Any],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An export is whole or not there at all: one call that does not fit, and none is written."""
    write_ledger(tmp_path / "l", [end_fields("a"), end_fields("b", **changes)])
    assert main(["ledger", "export", "l", option, "file"]) == 2
    assert said in capsys.readouterr().err
    if option == "--sqlite":
        assert rows(tmp_path / "file", "SELECT count(*) FROM calls") == [(0,)]
    else:
        assert sorted(path.name for path in tmp_path.iterdir()) == ["l"]


@pytest.mark.parametrize("option", ["--sqlite", "--parquet"])
def test_a_damaged_line_is_named_and_the_others_are_exported(
    tmp_path: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line that is no call is named, all other calls are in the file, and the exit code is 1."""
    records = [end_fields("a"), end_fields("b", seq="1"), end_fields("c", status="x")]
    [file] = write_ledger(tmp_path / "l", [*records, end_fields("d")])
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:1], b"no JSON\n", overlong(), *lines[1:]]))
    assert main(["ledger", "export", "l", option, "file"]) == 1
    out, err = capsys.readouterr()
    assert out == "file: 2 calls\n"
    assert [line.split("jsonl:")[1].split(":")[0] for line in err.splitlines()] == list("2345")
    if option == "--sqlite":
        assert rows(tmp_path / "file", "SELECT call_id FROM calls") == [("a",), ("d",)]


@pytest.mark.usefixtures("ledger")
def test_parquet_has_types(capsys: pytest.CaptureFixture[str]) -> None:
    """Calls are rows with typed columns, instants as instants; a file that is there is replaced."""
    for _ in range(2):
        assert main(["ledger", "export", "--parquet", "c.parquet"]) == 0
    assert capsys.readouterr().out.endswith("c.parquet: 4 calls\n")
    table = pyarrow.parquet.read_table("c.parquet")
    assert table.num_rows == 4
    types = {field.name: str(field.type) for field in table.schema}
    assert (types["started_at"], types["stream"]) == ("timestamp[us, tz=UTC]", "bool")
    assert (types["seq"], types["cost_usd"], types["usage_raw"]) == ("int64", "double", "string")
    assert table["started_at"][0].as_py().isoformat() == "2026-11-20T12:00:00+00:00"
    assert table["prompt_tokens"].to_pylist() == [100] * 4


def test_parquet_of_nothing_is_a_table_without_rows(tmp_path: Path) -> None:
    """A ledger without calls gives a file with all columns and no rows."""
    write_ledger(tmp_path / "l", [{"kind": "proxy_start"}])
    assert main(["ledger", "export", "l", "--parquet", "c.parquet"]) == 0
    assert pyarrow.parquet.read_table("c.parquet").num_rows == 0


@pytest.mark.usefixtures("ledger")
def test_without_pyarrow_the_fix_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a machine without pyarrow, --parquet is one line that says what to install."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert main(["ledger", "export", "--parquet", "c.parquet"]) == 2
    assert "pip install 'coding-agent-bench[parquet]'" in capsys.readouterr().err
