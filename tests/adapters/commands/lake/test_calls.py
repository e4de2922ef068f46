"""`cab ledger export --lake`: each call once, whatever happens in between."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow.dataset
import pyarrow.parquet
import pytest

from cab.adapters.cli import main
from cab.adapters.commands.lake import batch
from cab.adapters.commands.lake.state import open_lake
from cab.proxy.ledger.writer import LedgerOptions, Writer
from tests.adapters.commands.lake.reading import ask
from tests.proxy.ledger.snapshot.ledgers import AT
from tests.scoring.builders import end_fields
from tests.scoring.ledgers import calls, overlong, write_ledger


def export(ledger: str = "l", expected: int = 0) -> None:
    assert main(["ledger", "export", ledger, "--lake", "lake"]) == expected


def ids() -> list[str]:
    files = pyarrow.dataset.dataset("lake/calls", format="parquet")
    return sorted(files.to_table(["call_id"])["call_id"].to_pylist())


def test_only_new_calls_are_added(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A ledger that grows, gets segments, a second worker and compressed segments is in the lake once."""
    ledger = tmp_path / "l"
    write_ledger(ledger, calls(2))
    export()
    write_ledger(ledger, calls(7), per_segment=5, compressed=True)
    (ledger / "w0-000001.jsonl").unlink()
    write_ledger(ledger, calls(2, first=100), worker=1)
    export()
    export()
    assert ids() == sorted(["c100", "c101", *(f"c{n}" for n in range(1, 8))])
    added = [line.split(": ")[1] for line in capsys.readouterr().out.splitlines()]
    assert added == ["2 new calls", "7 new calls", "0 new calls"]


def test_a_line_that_is_being_written_waits(tmp_path: Path) -> None:
    """Of a last line without its end nothing is taken; with its end it comes."""
    [file] = write_ledger(tmp_path / "l", calls(2))
    whole = file.read_bytes()
    file.write_bytes(whole[:-10])
    export()
    assert ids() == ["c1"]
    file.write_bytes(whole)
    export()
    assert ids() == ["c1", "c2"]


def test_rows_lie_by_sweep_and_day(tmp_path: Path) -> None:
    """Every sweep and day has its folder, whatever the sweep is called; no cell is a null."""
    records = [
        end_fields(f"c{n}", cell_id=cell, started_at=f"2026-11-{20 + n}T23:59:59.999999Z")
        for n, cell in enumerate(
            ["2026/a/m/f/t#run2", "a%2F =ü/a/x/y/f/t", f"{'s' * 300}/a/m/f/t", "none", None]
        )
    ]
    write_ledger(tmp_path / "l", records)
    export()
    found = ask("SELECT call_id, sweep, day, tui, model, run FROM calls ORDER BY call_id")
    assert found[0] == ("c0", "2026", date(2026, 11, 20), "a", "m", 2)
    assert found[1] == ("c1", "a%2F =ü", date(2026, 11, 21), "a", "x/y", None)
    assert found[2][1].startswith("sss")
    assert len(found[2][1]) == 200
    assert [row[1:3] for row in found[3:]] == [
        (None, date(2026, 11, 23)),
        (None, date(2026, 11, 24)),
    ]
    table = pyarrow.dataset.dataset("lake/calls", partitioning="hive").to_table(["sweep"])
    assert "a%2F =ü" in table["sweep"].to_pylist()


def test_columns_keep_their_types(tmp_path: Path) -> None:
    """A column without a value has the type that it has with values, and money is an exact decimal."""
    write_ledger(
        tmp_path / "l", [end_fields("a"), end_fields("b", cost_usd="0.000000000000000001")]
    )
    write_ledger(tmp_path / "m", [end_fields("c", cost_usd=1e-05 / 3)])
    export()
    export("m")
    files = sorted((tmp_path / "lake" / "calls").rglob("*.parquet"))
    schemas = [pyarrow.parquet.read_schema(file) for file in files]
    assert len(files) == 2
    assert schemas[0] == schemas[1]
    types = {field.name: str(field.type) for field in schemas[0]}
    assert types["cost_usd"] == "decimal128(38, 24)"
    assert (types["started_at"], types["warmup"]) == ("timestamp[us, tz=UTC]", "bool")
    assert ask("SELECT sum(cost_usd) FROM calls") == [
        (Decimal("0.000000000000000001") + Decimal(repr(1e-05 / 3)),)
    ]


def test_a_price_that_no_decimal_holds_is_not_rounded(tmp_path: Path) -> None:
    """Its digits stand beside it, and a sum with it is unknown."""
    write_ledger(tmp_path / "l", [end_fields("a", cost_usd="1E-30")])
    export()
    assert ask("SELECT cost_usd, cost_unknown, cost_recorded FROM calls") == [(None, True, "1E-30")]


def test_another_type_of_a_column_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was written with one type is not mixed with another one."""
    write_ledger(tmp_path / "l", calls(1))
    export()
    with closing(sqlite3.connect("lake/_state/state.sqlite")) as database, database:
        database.execute("UPDATE columns SET kind = 'text' WHERE name = 'seq'")
    export(expected=2)
    assert "calls.seq is text there and integer in this version" in capsys.readouterr().err


def test_damage_is_named_once_and_never_forgotten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Calls beside damaged lines are in the lake; as long as lines are missing the exit code is 1."""
    records = [end_fields("a"), end_fields("b", status="x"), end_fields("c", prompt_tokens=2**63)]
    [file] = write_ledger(tmp_path / "l", [*records, end_fields("d")])
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([lines[0], b"no JSON\n", overlong(), *lines[1:]]))
    export(expected=1)
    assert [
        line.split("jsonl:")[1][0] for line in capsys.readouterr().err.splitlines()[:-1]
    ] == list("2345")
    export(expected=1)
    assert capsys.readouterr().err == "cab: l: 4 lines damaged, and not in the lake\n"
    assert ids() == ["a", "d"]


def test_a_ledger_that_does_not_continue_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An older copy, another history and missing segments add nothing; other chains go on."""
    files = write_ledger(tmp_path / "l", calls(4), per_segment=2)
    export()
    write_ledger(tmp_path / "l", calls(5), per_segment=2)
    for file in files[1:4]:
        file.unlink()
    write_ledger(tmp_path / "l", calls(1, first=9), worker=1)
    export()  # the last segment goes on from what was read
    files = write_ledger(tmp_path / "l", [*calls(3), *calls(2, first=20)], per_segment=2)
    export(expected=1)
    err = capsys.readouterr().err
    assert "cab: l: chain w0 does not continue what is in the lake: line 2 of segment 5 is" in err
    assert err.count("\n") == 1
    assert ids() == ["c1", "c2", "c3", "c4", "c5", "c9"]


def test_segments_that_are_not_there_are_not_passed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A hole between what was read and what is there stops the chain until it is filled."""
    write_ledger(tmp_path / "l", calls(1))
    export()
    files = write_ledger(tmp_path / "l", calls(4), per_segment=2)
    kept = files[1].read_bytes()
    files[1].unlink()
    export(expected=1)
    assert "lines before segment 3 are not there" in capsys.readouterr().err
    files[1].write_bytes(kept)
    export()
    assert ids() == ["c1", "c2", "c3", "c4"]


def test_an_archive_comes_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of an archived ledger the archive's folder is exported, then what is left, each call once."""
    writer = Writer(tmp_path / "l", 0, os.fsync, LedgerOptions(segment_max_bytes=2500), AT)
    for record in calls(9):
        writer.write([record])
    writer.close()
    expected = [f"c{n}" for n in range(1, 10)]
    assert main(["ledger", "archive", "l", "--to", "archive"]) == 0
    export(expected=1)
    assert "export the archive's folder to the lake first" in capsys.readouterr().err
    export("archive")
    export()
    assert ids() == expected
    assert main(["ledger", "restore", "l"]) == 0
    export()
    assert ids() == expected


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["l", "--cell", "a"], "leave out what chooses some of them"),
        (["l/w0-000001.jsonl"], "is one file; a lake takes a ledger's folder"),
    ],
)
def test_what_a_lake_does_not_take(
    tmp_path: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A part of a ledger would leave holes that nobody sees."""
    write_ledger(tmp_path / "l", calls(1))
    assert main(["ledger", "export", *arguments, "--lake", "lake"]) == 2
    assert said in capsys.readouterr().err
    assert not Path("lake").exists()


def test_a_folder_that_is_something_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder with other files is not made a lake."""
    write_ledger(tmp_path / "l", calls(1))
    Path("lake").mkdir()
    Path("lake/thesis.txt").touch()
    export(expected=2)
    assert "lake is not a lake: there is no _state in it" in capsys.readouterr().err
    assert [path.name for path in Path("lake").iterdir()] == ["thesis.txt"]


def test_a_large_export_is_made_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows and files are open at a time, and no file of a batch takes the place of another one's."""
    monkeypatch.setattr(batch, "MOST_ROWS", 3)
    monkeypatch.setattr(batch, "MOST_FILES", 2)
    ends = [end_fields(f"c{n}", cell_id=f"s{n % 3}/a/m/f/t") for n in range(10)]
    write_ledger(tmp_path / "l", ends)
    export()
    assert len(ids()) == len(set(ids())) == 10
    assert len(list(Path("lake/calls").rglob("*.parquet"))) == 10


def test_a_full_disk_leaves_the_lake_as_it_was(tmp_path: Path) -> None:
    """If a file cannot be written, nothing of its batch is there, and the next export has all of it."""
    write_ledger(tmp_path / "l", calls(1))
    export()
    write_ledger(tmp_path / "l", calls(9))
    code = (
        "import resource, sys; limits = resource.getrlimit(resource.RLIMIT_FSIZE);"
        "from cab.adapters.cli import main;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4000, limits[1]));"
        "code = main(['ledger', 'export', 'l', '--lake', 'lake']);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, limits);"  # for what coverage writes at the end
        "sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert ids() == ["c1"]
    export()
    assert len(ids()) == 9


_KILLS = """
import contextlib, os, shutil, signal, sys
import pyarrow.parquet
with contextlib.suppress(ImportError):
    import pandas  # pyarrow does that, in each child anew
import cab.adapters.commands.ledger.export
from cab.adapters.cli import main
from cab.adapters.commands.lake import calls, cells

def export(lake, kill_at):
    seen = 0
    def hook(event, args):
        nonlocal seen
        named = event in ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir")
        if named and lake in str(args[0]):
            seen += 1
            if seen == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
    os._exit(main(["ledger", "export", "l", "--lake", lake]))

for kill_at in range(1, 1000):
    lake = f"killed-{kill_at}"
    shutil.copytree("lake", lake)
    child = os.fork() or export(lake, kill_at)
    status = os.waitpid(child, 0)[1]
    if not os.WIFSIGNALED(status):
        sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.slow
def test_a_kill_at_any_moment_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    """Killed before each file that it opens, moves or removes; the next export makes the same lake of it."""
    write_ledger(tmp_path / "l", calls(2))
    export()
    ends = [end_fields(f"c{n}", cell_id=f"s{n % 2}/a/m/f/t") for n in range(1, 7)]
    write_ledger(tmp_path / "l", [*calls(2), *ends[2:]])
    subprocess.run([sys.executable, "-c", _KILLS], check=True)
    lakes = sorted(tmp_path.glob("killed-*"))
    assert len(lakes) > 8
    Path("lake").rename("first")
    for lake in lakes:
        lake.rename("lake")
        before = ids()
        assert {"c1", "c2"} <= set(before) <= {f"c{n}" for n in range(1, 7)}
        assert len(before) == len(set(before))
        export()
        assert ids() == [f"c{n}" for n in range(1, 7)]
        assert not list(Path("lake/_state/parts").iterdir())
        Path("lake").rename(f"{lake.name}-seen")


def test_one_export_at_a_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """While another export writes to the lake, an export says so and changes nothing."""
    write_ledger(tmp_path / "l", calls(1))
    with open_lake(Path("lake")):
        export(expected=2)
    assert "another export writes to lake; wait until it has ended" in capsys.readouterr().err
    export()
    assert ids() == ["c1"]
