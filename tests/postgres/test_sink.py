"""What a ledger holds is in the database, each line once, whatever the lines and the files are like."""

import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import zstandard

from cab.proxy.errors import BadConfig
from cab.proxy.ledger.archive.archiving import archive_ledger
from cab.proxy.ledger.shipping.postgres.reading import NotInDatabase
from cab.proxy.ledger.shipping.sink import SinkFailed, SinkTarget, sink_opener
from cab.scoring.ledger.verify import verify_ledger
from tests.tools.shipped import (
    Database,
    append,
    assert_same,
    call,
    calls,
    chained,
    contents,
    fetched,
    ship,
)

pytestmark = pytest.mark.postgres


def put(folder: Path, name: str, *lines: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    with (folder / name).open("ab") as handle:
        handle.write(b"".join(lines))
    return folder / name


def pack(file: Path) -> None:
    file.with_name(f"{file.name}.zst").write_bytes(
        zstandard.ZstdCompressor(write_checksum=True).compress(file.read_bytes())
    )
    file.unlink()


def count(database: Database) -> int:
    return int(database.rows("select count(*) from cab.lines")[0][0])


def test_closed_and_growing_segments_each_line_once(tmp_path: Path, database: Database) -> None:
    """Closed, packed and growing segments of all chains are shipped, and only what is new is sent again."""
    ledger, (lines, _) = tmp_path / "ledger", chained(calls(0, 30))
    others, _ = chained(calls(100, 110))
    pack(put(ledger, "w0-000001.jsonl", *lines[:20]))
    put(ledger, "w0-000002.jsonl", *lines[20:40])
    growing = put(ledger, "w0-000003.jsonl", *lines[40:50])
    put(ledger, "w1-000001.jsonl", *others)

    assert ship(ledger, database).lines == 50 + 20
    assert_same(ledger, database)
    assert ship(ledger, database).lines == 0
    pack(ledger / "w0-000002.jsonl")
    put(ledger, growing.name, *lines[50:])
    assert ship(ledger, database).lines == 10
    assert_same(ledger, database)
    assert ship(ledger, database, again=True).lines == 80
    assert count(database) == 80
    with fetched(database) as folder:
        assert verify_ledger(folder).holds
        assert verify_ledger(folder).heads == verify_ledger(ledger).heads


def test_a_torn_line_waits_until_it_is_whole(tmp_path: Path, database: Database) -> None:
    """Of a growing segment only whole lines are sent; a closed one is sent with what it ends with."""
    ledger, (lines, _) = tmp_path / "ledger", chained(calls(0, 3))
    file = put(ledger, "w0-000001.jsonl", *lines[:2], lines[2][:30])
    ship(ledger, database)
    assert count(database) == 2
    put(ledger, file.name, lines[2][30:], lines[3][:7])
    ship(ledger, database)
    assert count(database) == 3
    put(ledger, "w0-000002.jsonl", *lines[4:])
    ship(ledger, database)
    assert_same(ledger, database)
    assert database.rows("select line, damage, kind from cab.lines where damage is not null") == [
        (4, "the line is cut off, its newline is missing", None)
    ]


HARD = {
    "NUL in a text": b'{"kind":"end","call_id":"a","cell_id":"c\\u0000d","error":{"message":"\\u0000"}}\n',
    "half of a pair": b'{"kind":"end","call_id":"b","cell_id":"x\\ud800"}\n',
    "a huge number": b'{"kind":"end","call_id":"c","cell_id":"x","prompt_tokens":1e400}\n',
    "many digits": b'{"kind":"end","call_id":"c2","cell_id":"x","prompt_tokens":'
    + b"9" * 400
    + b"}\n",
    "a number out of range": b'{"kind":"end","call_id":"c3","status":123456789012,"latency_ms":-1e308}\n',
    "repeated members": b'{"kind":"end","call_id":"d","call_id":"d2","cell_id":"x"}\n',
    "deep": b'{"kind":"end","call_id":"e","x":' + b"[" * 900 + b"]" * 900 + b"}\n",
    "too deep": b'{"kind":"end","call_id":"e","x":' + b"[" * 30_000 + b"]" * 30_000 + b"}\n",
    "not UTF-8": b'{"kind":"end","call_id":"\xff\xfe"}\n',
    "not JSON": b"garbage\n",
    "NUL bytes": b"\x00" * 512 + b"\n",
    "empty": b"\n",
    "a list": b"[1,2]\n",
    "wrong types": b'{"kind":"end","call_id":"g","started_at":7,"model_served":[],"cost_usd":"NaN"}\n',
    "a long cell": b'{"kind":"end","call_id":"h","cell_id":"' + b"x" * 9000 + b'"}\n',
    "an impossible time": b'{"kind":"end","call_id":"i","started_at":"9999-12-31T23:59:59Z"}\n',
    "no UTC": b'{"kind":"end","call_id":"j","started_at":"2026-11-20T08:00:00+02:00"}\n',
    "a damaged head": b'{"schema":"cab.call/1","kind":"end","call_id":"k","cell_id":"x","seq":4,'
    b'"started_at":"2026-11-20T08:00:00Z",garbage\n',
    "carriage return": b'{"kind":"end","call_id":"l"}\r\n',
}


def test_no_line_stops_the_stream(tmp_path: Path, database: Database) -> None:
    """What neither JSON nor jsonb can hold is there byte for byte, and the lines behind it too."""
    ledger, (lines, _) = tmp_path / "ledger", chained(calls(0, 2))
    put(ledger, "w0-000001.jsonl", *lines, *HARD.values(), *lines)
    ship(ledger, database)
    assert_same(ledger, database)
    found = database.rows(
        "select call_id, cell_id, doc is null, damage is null from cab.lines order by line"
    )
    by_name = dict(zip(HARD, found[len(lines) :], strict=False))
    assert by_name["NUL in a text"] == ("a", "c\ufffdd", True, True)
    assert by_name["repeated members"] == ("d2", "x", False, True)
    assert by_name["not JSON"] == (None, None, True, False)
    assert by_name["a damaged head"] == ("k", "x", True, False)
    assert by_name["a long cell"][1] == "x" * 9000


def test_a_line_longer_than_any_that_is_read(tmp_path: Path, database: Database) -> None:
    """Of more than 16 MiB without a newline all bytes are there, in parts; the next line has its number."""
    ledger, (lines, _) = tmp_path / "ledger", chained(calls(0, 1))
    put(ledger, "w0-000001.jsonl", lines[0], b"x" * (40 << 20), b"\n", lines[1])
    ship(ledger, database)
    assert_same(ledger, database)
    places = database.rows("select line, part, damage is null from cab.lines order by line, part")
    assert places == [(1, 0, True), (2, 0, False), (2, 1, False), (2, 2, False), (3, 0, True)]
    assert ship(ledger, database).lines == 0
    gc.collect()


def test_months_and_wrong_clocks(tmp_path: Path, database: Database) -> None:
    """A line is in the month in which its call began; a time that only a wrong clock shows is in none."""
    times = ["2026-11-30T23:59:59.999999Z", "2026-12-01T00:00:00.000000Z", "1970-01-02T00:00:00Z"]
    times += ["8123-01-01T00:00:00Z", "yesterday", "2031-02-01T00:00:00Z"]
    records = [r for n, at in enumerate(times) for r in call(n, started_at=at)]
    ledger, (lines, _) = tmp_path / "ledger", chained(records)
    put(ledger, "w0-000001.jsonl", *lines)
    ship(ledger, database)
    assert_same(ledger, database)
    months = database.rows(
        "select month::text, count(*) from cab.lines where kind = 'end' group by 1"
    )
    assert dict(months) == {
        "2026-11-01": 2,
        "2026-12-01": 1,
        "2031-02-01": 1,
        "1970-01-01": 2,
    }


def test_the_ledger_has_other_lines_than_were_shipped(tmp_path: Path, database: Database) -> None:
    """Of a ledger put back from a copy the table follows; what it had is put aside, and is not lost."""
    ledger, (lines, _) = tmp_path / "ledger", chained(calls(0, 10))
    file = put(ledger, "w0-000001.jsonl", *lines)
    ship(ledger, database)
    other, _ = chained(calls(50, 55), prev=lines[9].split(b'"hash":"')[1][:64].decode())
    file.write_bytes(b"".join([*lines[:10], *other[:4]]))
    ship(ledger, database)
    assert_same(ledger, database)
    aside = database.rows("select line, raw from cab.replaced_lines order by line")
    assert [(n, bytes(raw)) for n, raw in aside] == list(enumerate(lines[10:], 11))
    # A segment that is gone altogether.
    put(ledger, "w0-000002.jsonl", *other[4:])
    ship(ledger, database)
    (ledger / "w0-000002.jsonl").unlink()
    ship(ledger, database)
    assert_same(ledger, database)


async def test_archived_segments_stay_and_come(tmp_path: Path, database: Database) -> None:
    """Lines that were archived before they were shipped come from the archive's folder, later or by name."""
    ledger, archive = tmp_path / "ledger", tmp_path / "archive"
    await append(ledger, calls(0, 40))
    whole, away = contents(ledger), tmp_path / "away"
    assert archive_ledger(ledger, archive, None).segments > 2
    archive.rename(away)
    missing = ship(ledger, database).missing_segments
    assert missing[0] == "w0-000001"
    before = count(database)
    assert ship(away, database, again=True).lines > 20
    with fetched(database) as folder:
        assert contents(folder) == whole
        assert verify_ledger(folder).holds
    away.rename(archive)
    database.do("truncate cab.lines, cab.chains")
    assert ship(ledger, database).missing_segments == []
    assert count(database) > before
    with fetched(database) as folder:
        assert contents(folder) == whole


def test_segments_that_are_gone_are_named(tmp_path: Path, database: Database) -> None:
    """What was removed before it was shipped is named; a chain is known by what was shipped of it."""
    ledger, (lines, _) = tmp_path / "ledger", chained(calls(0, 20))
    put(ledger, "w0-000001.jsonl", *lines[:10])
    put(ledger, "w0-000002.jsonl", *lines[10:20])
    ship(ledger, database)
    put(ledger, "w0-000003.jsonl", *lines[20:30])
    put(ledger, "w0-000004.jsonl", *lines[30:])
    (ledger / "w0-000001.jsonl").unlink()
    (ledger / "w0-000003.jsonl").unlink()
    assert ship(ledger, database).missing_segments == ["w0-000003"]
    assert database.rows("select count(*), max(segment) from cab.chains") == [(1, 4)]
    assert count(database) == 30


def test_a_damaged_packed_segment_stops_nothing(tmp_path: Path, database: Database) -> None:
    """Of a segment that cannot be unpacked what can be read comes, it is named, and the next ones come."""
    ledger, (lines, _) = tmp_path / "ledger", chained(calls(0, 400))
    pack(put(ledger, "w0-000001.jsonl", *lines[:700]))
    packed = ledger / "w0-000001.jsonl.zst"
    packed.write_bytes(packed.read_bytes()[:-40])
    put(ledger, "w0-000002.jsonl", *lines[700:])
    done = ship(ledger, database)
    assert [text.partition(":")[0] for text in done.unreadable] == [packed.name]
    assert database.rows("select count(*) from cab.lines where segment = 2") == [(100,)]


def test_two_shippers_at_once(tmp_path: Path, database: Database) -> None:
    """Several shippers of one ledger, the first ones of a database, leave each line there once."""
    ledger, (lines, _) = tmp_path / "ledger", chained(calls(0, 3000))
    put(ledger, "w0-000001.jsonl", *lines)
    gate = threading.Barrier(3)

    def work(_: int) -> None:
        gate.wait()
        ship(ledger, database)

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(work, range(3)))
    assert_same(ledger, database)
    assert count(database) == len(lines)


def test_a_new_ledger_in_the_same_folder_is_another_one(tmp_path: Path, database: Database) -> None:
    """`w0` of a folder that was emptied is another chain; a URL names the ledger by its id or its name."""
    for first in (0, 100):
        ledger = tmp_path / f"ledger{first}"
        put(ledger, "w0-000001.jsonl", *chained(calls(first, first + 5))[0])
        ship(ledger, database)
    with (
        pytest.raises(
            NotInDatabase, match=r"has 2 ledgers; add one of these to the URL: \?ledger="
        ),
        fetched(database),
    ):
        pass
    ids = [
        row[0] for row in database.rows("select ledger from cab.ledgers order by first_shipped_at")
    ]
    with fetched(database, ids[1][:12]) as folder:
        assert contents(folder) == contents(ledger)


def test_passwords_are_never_a_part_of_the_url(database: Database) -> None:
    """A URL with a password is refused with the fix, and without showing it."""
    for url in (
        "postgresql://cab:hunter2@h/d",
        "postgresql://cab@h/d?password=hunter2",
        "postgres://cab@h/d?sslmode=require&pass%77ord=hunter2",
    ):
        with pytest.raises(BadConfig, match=r"set PGPASSWORD, or keep it in a passfile") as error:
            sink_opener(SinkTarget(url))
        assert "hunter2" not in str(error.value)
    with pytest.raises(
        SinkFailed, match=r"^postgresql://127\.0\.0\.1:\d+/cab\d+ cannot be reached: "
    ) as failed:
        sink_opener(database.target)(SinkTarget(database.url, "wrong"))
    assert "wrong" not in str(failed.value)


def test_a_passfile_is_enough(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A password in a passfile is found."""
    file = tmp_path / "pass"
    file.write_text(f"127.0.0.1:*:*:shipper:{database.target.password}\n")
    file.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(file))
    sink_opener(database.target)(SinkTarget(database.url)).close()


def test_a_reader_reads_and_changes_nothing(tmp_path: Path, database: Database) -> None:
    """The role cab_reader sees all tables and views, those of later months too, and may write none."""
    ledger = tmp_path / "ledger"
    put(ledger, "w0-000001.jsonl", *chained(calls(0, 2))[0])
    ship(ledger, database)
    relations = database.rows(
        "select c.oid::regclass::text from pg_class c where relnamespace = 'cab'::regnamespace and relkind in ('r', 'p', 'v')"
    )
    assert len(relations) > 10
    rights = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE")
    for (name,) in relations:
        held = database.rows(
            "select "
            + ", ".join(f"has_table_privilege('cab_reader', %s, '{right}')" for right in rights),
            *[name] * len(rights),
        )
        assert held == [(True, False, False, False, False)], name


def test_a_later_schema_is_refused(tmp_path: Path, database: Database) -> None:
    """A database that a later version has changed is left alone, and so is one without any ledger."""
    with pytest.raises(BadConfig, match="has no ledgers; ship one"), fetched(database):
        pass
    ledger = tmp_path / "ledger"
    put(ledger, "w0-000001.jsonl", *chained(calls(0, 2))[0])
    ship(ledger, database)
    database.do("insert into cab.migrations (version, name) values (9999, 'later')")
    with pytest.raises(BadConfig, match="has schema 9999, and this version of CAB knows"):
        ship(ledger, database)
    with pytest.raises(BadConfig, match="has schema 9999"), fetched(database):
        pass
