"""Copied segments, forged chains, repeated and missing STARTs and ENDs: found, and never summed twice."""

import shutil
from pathlib import Path
from typing import Any

import orjson
import pytest

from cab.scoring import iter_records, total_cells
from cab.scoring.ledger.verification.call_ids import CallIds
from cab.scoring.ledger.verify import verify_ledger
from tests.scoring.builders import CELL_ID, end_fields, line, start_fields
from tests.scoring.ledgers import calls, chained, hash_of, write_ledger


def told(folder: Path) -> list[str]:
    return [str(fault) for fault in verify_ledger(folder).faults]


def tokens(folder: Path) -> tuple[int, int | None]:
    totals = total_cells(iter_records(folder))[CELL_ID]
    return totals.calls, totals.tokens.total.value


def opened(*open_calls: str) -> dict[str, Any]:
    return {"kind": "segment_open", "open_calls": [{"call_id": each} for each in open_calls]}


@pytest.mark.parametrize(
    "name",
    [
        *("w0-000001.bak.jsonl", "w0-000001 (1).jsonl", "w0-1.jsonl", "w00-000001.jsonl"),
        *("w0-0000001.jsonl", "w0-000000.jsonl", "W0-000001.jsonl", "calls.jsonl", "x.JSONL.zst"),
        *("w0-000001.jsonl.bak", "w0-000001", "w\u0660-000001.jsonl"),
    ],
)
def test_a_copied_segment_is_found_and_never_read(tmp_path: Path, name: str) -> None:
    """What only looks like a segment is a finding, and no sum holds its calls."""
    [file] = write_ledger(tmp_path, calls(2))
    assert (told(tmp_path), tokens(tmp_path)) == ([], (2, 240))
    shutil.copy(file, tmp_path / name)
    assert told(tmp_path) == [
        f"{name}: looks like a segment and is none, so nobody reads it: take it away"
    ]
    assert tokens(tmp_path) == (2, 240)


@pytest.mark.parametrize(
    "name",
    [
        *("signing.key", "w0.lock", "revoked.ndjson", "w0-000001.jsonl.zst.tmp"),
        *("w0-000002.jsonl.zst.bad", "w0-000001.jsonl.812-0123456789ab.torn"),
    ],
)
def test_what_a_proxy_leaves_beside_its_segments_is_no_finding(tmp_path: Path, name: str) -> None:
    """Locks, keys, torn ends and unfinished compressed files are the proxy's own."""
    write_ledger(tmp_path, calls(1))
    (tmp_path / name).write_bytes(b"x")
    assert told(tmp_path) == []


def test_a_copied_chain_is_found_and_not_summed_twice(tmp_path: Path) -> None:
    """A chain that repeats another one under a worker's name is told by its call ids."""
    write_ledger(tmp_path, calls(2))
    write_ledger(tmp_path, calls(2), worker=7)
    assert told(tmp_path) == [
        "w7-000001.jsonl:1: call c1 is in the ledger a second time",
        "w7-000001.jsonl:3: call c2 is in the ledger a second time",
    ]
    assert tokens(tmp_path) == (2, 240)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ([end_fields("c2", seq=2)], ["5: call c2 ends, and is not open"]),
        ([end_fields("c1", seq=9)], ["5: call c1 ends, and is not open"]),
        ([start_fields("c1")], ["5: call c1 is in the ledger a second time"]),
        ([start_fields("c3"), start_fields("c3")], ["6: call c3 is in the ledger a second time"]),
        (
            [start_fields("c1"), end_fields("c1")],
            ["5: call c1 is in the ledger a second time"],
        ),
    ],
)
def test_repeated_records_are_found_and_not_summed_twice(
    tmp_path: Path, more: list[dict[str, Any]], expected: list[str]
) -> None:
    """A second START or END in a chain that holds is a finding and adds nothing."""
    write_ledger(tmp_path, [*calls(2), *more])
    found = told(tmp_path)
    assert len(found) == len(expected)
    for text, start in zip(found, expected, strict=True):
        assert text.startswith(f"w0-000001.jsonl:{start}")
    assert tokens(tmp_path) in ((2, 240), (3, None))  # c3 has started, and nobody knows its cost


def test_an_end_without_start_is_found_unless_it_is_rejected(tmp_path: Path) -> None:
    """Only what the proxy turned down has no START."""
    refused = end_fields("r", end_reason="rejected")
    write_ledger(tmp_path, [refused, *calls(1)])
    assert told(tmp_path) == []
    write_ledger(tmp_path, [refused, refused, *calls(1)])
    assert told(tmp_path) == ["w0-000001.jsonl:2: call r is in the ledger a second time"]
    write_ledger(tmp_path, [end_fields("x"), *calls(1)])
    assert told(tmp_path) == [
        "w0-000001.jsonl:1: call x ends, and is not open: its START is missing, or it ended before"
    ]


def test_a_start_without_end_is_found_once_its_segment_is_closed(tmp_path: Path) -> None:
    """A call may be open in the last segment, or where the next segment lists it as open."""
    start, rest = start_fields("a"), calls(1)
    write_ledger(tmp_path, [start, *rest])
    assert told(tmp_path) == []
    for first in (opened("a"), {"kind": "recovery", "open_calls": [{"call_id": "a"}]}):
        write_ledger(tmp_path, [start, first, end_fields("a")], per_segment=1)
        assert told(tmp_path) == []
        write_ledger(tmp_path, [start, first, {"kind": "note"}], per_segment=1)
        assert told(tmp_path)[0].startswith("w0-000002.jsonl:1: call a is open here, and")
        (tmp_path / "w0-000003.jsonl").unlink()
    write_ledger(tmp_path, [start, opened(), *rest], per_segment=2)
    assert told(tmp_path) == [
        "w0-000001.jsonl:1: call a is open here, and neither ends nor stays open in a later segment"
    ]


def test_what_a_recovery_reports_as_lost_is_no_finding(tmp_path: Path) -> None:
    """A ledger that went on without records says so, and the ENDs of those calls stand alone."""
    lost = {"kind": "recovery", "lost_records": 1}
    write_ledger(tmp_path, [lost, end_fields("x"), *calls(1)])
    assert told(tmp_path) == []
    write_ledger(tmp_path, [lost, end_fields("x"), end_fields("y"), *calls(1)])
    assert len(told(tmp_path)) == 2


def test_repeated_members_are_found(tmp_path: Path) -> None:
    """A line whose members repeat reads differently in each reader, however right its hash is."""
    [file] = write_ledger(tmp_path, calls(1))
    whole = file.read_bytes()
    last = whole.splitlines(keepends=True)[-1]
    body = line({"kind": "note", "a": 1, "b": {"c": 2}}, hash_of(last))
    for name, old, new in (("a", b'"a":1', b'"a":1,"a":2'), ("c", b'"c":2', b'"c":2,"\\u0063":3')):
        file.write_bytes(whole + rehashed(body.replace(old, new)))
        assert told(tmp_path) == [f"w0-000001.jsonl:3: the member '{name}' is there twice"]


def rehashed(text: bytes) -> bytes:
    from cab.scoring.ledger.chain import line_hash  # noqa: PLC0415

    return text[:-67] + line_hash(text) + b'"}\n'


def test_a_line_that_readers_refuse_is_found(tmp_path: Path) -> None:
    """What is hashed rightly and belongs to no call is told, as a finding or as what was not checked."""
    write_ledger(tmp_path, [{"kind": "end", "call_id": 7}])
    found = verify_ledger(tmp_path)
    assert (found.holds, found.exit_code) == (True, 3)
    assert found.not_checked[0].startswith("1 damaged lines: call_id, cell_id")
    write_ledger(tmp_path, [{"kind": "end"}])
    assert told(tmp_path) == ["w0-000001.jsonl:1: the end of no call: it has no call_id"]


def test_ids_are_known_again() -> None:
    """However many there are, exactly those are told that came before."""
    ids = CallIds()
    assert "call-0" not in ids
    new = [ids.add(f"call-{number}") for number in [*range(5000), 17, 4711, 5000]]
    assert new == [True] * 5000 + [False, False, True]
    assert all(f"call-{number}" in ids for number in range(5001))


def test_foreign_numbers_are_no_finding(tmp_path: Path) -> None:
    """A writer that spells numbers otherwise than we do repeats no member."""
    text = rehashed(line({"kind": "note", "a": 15}).replace(b'"a":15', b'"a":1.5e1'))
    (tmp_path / "w0-000001.jsonl").write_bytes(text)
    assert orjson.loads(text)["a"] == 15
    assert told(tmp_path) == []
    assert len(chained(calls(1))) == 2
