"""Damaged lines: named, passed over, and never a smaller sum."""

from pathlib import Path
from typing import Any

import pytest

from cab.scoring.errors import BadRecord
from cab.scoring.ledger.filters import make_filter
from cab.scoring.ledger.reading import damaged_fields, find_ends, find_records
from cab.scoring.ledger.seals import Seal, seal_lines
from cab.scoring.ledger.slices import cell_lines
from cab.scoring.ledger.totals import CallTotals, total_cells
from cab.scoring.ledger.verify import verify_ledger, verify_slice
from tests.scoring.builders import CELL_ID, end_fields, line, start_fields
from tests.scoring.ledgers import calls, chained, overlong


def ledger_of(folder: Path, lines: list[bytes]) -> Path:
    (folder / "w0-000001.jsonl").write_bytes(b"".join(lines))
    return folder


def totals_of(folder: Path) -> tuple[dict[str | None, Any], list[int | None]]:
    damaged: list[BadRecord] = []
    found = find_records(folder, on_damage=damaged.append)
    totals = total_cells(each.fields for each in found)
    return dict(totals), [error.line for error in damaged]


@pytest.mark.parametrize("broken", [b'{"schema":"x"\n', b"\xff\n", b"[]\n", b"\n"])
def test_a_line_that_says_nothing_is_named(tmp_path: Path, broken: bytes) -> None:
    """Nobody knows whose it was: it is named by its number, all other lines count."""
    lines = chained(calls(2))
    totals, damaged = totals_of(ledger_of(tmp_path, [lines[0], broken, *lines[1:]]))
    assert damaged == [2]
    assert totals[CELL_ID].tokens.total.value == 240
    ends = find_ends(tmp_path, on_damage=lambda _: None)
    assert [found.fields["call_id"] for found in ends] == ["c1", "c2"]
    with pytest.raises(BadRecord, match=r"w0-000001\.jsonl:2"):
        list(find_ends(tmp_path))


@pytest.mark.parametrize(
    ("lost", "calls_known", "value"),
    [
        ((), 2, 240),
        (("start",), 2, 240),
        (("end",), 2, None),
        (("start", "end"), 1, None),
    ],
)
def test_a_cell_whose_lines_are_damaged_has_no_smaller_sum(
    tmp_path: Path, lost: tuple[str, ...], calls_known: int, value: int | None
) -> None:
    """What the damaged lines of a call cost is unknown, unless its END is there; other cells are whole."""
    records = [start_fields("c2"), end_fields("c2")]
    lines = [overlong(r["kind"], "c2") if r["kind"] in lost else line(r) for r in records]
    others = [line(each) for each in (*calls(1), *calls(1, "other/cell/m/f/t"))]
    totals, damaged = totals_of(ledger_of(tmp_path, [*lines, *others]))
    assert damaged == [n for n, r in enumerate(records, 1) if r["kind"] in lost]
    mine = totals[CELL_ID]
    assert (mine.calls, mine.tokens.total.value) == (calls_known, value)
    assert mine.tokens.total.known == (240 if value else 120)
    assert totals["other/cell/m/f/t"].tokens.total.value == 120


def test_filters_hold_for_damaged_lines(tmp_path: Path) -> None:
    """A damaged line counts for its own cell and time only; of which model it was nobody knows."""
    ledger_of(tmp_path, [overlong("end", "c9"), *chained(calls(1))])
    for where, count in [
        (make_filter(CELL_ID), 3),
        (make_filter("else/a/m/f/t"), 0),
        (make_filter(since="2027-01-01T00:00:00Z"), 0),
        (make_filter(model="no-such-model"), 1),
    ]:
        assert len(list(find_records(tmp_path, where, lambda _: None))) == count


@pytest.mark.parametrize("cut", [20, 60, 100, 140])
def test_what_a_damaged_line_still_says(cut: int) -> None:
    """Call and cell are known if the beginning of the line holds them, with escapes too."""
    whole = line(start_fields("c1", cell_id='a"b\\ü/t/m/f/t'))
    known = damaged_fields(whole[:cut])
    assert known.get("cell_id") in {None, 'a"b\\ü/t/m/f/t'}
    assert damaged_fields(whole[:300])["cell_id"] == 'a"b\\ü/t/m/f/t'
    totals = CallTotals()
    totals.add(known)
    assert (totals.calls, totals.tokens.total.value) == (0, None)


def test_a_seal_counts_calls_of_which_nothing_can_be_read(tmp_path: Path) -> None:
    """The seal of a cell with such a call states it; its sums are unknown, and it verifies."""
    lines = [
        overlong("start", "c9"),
        overlong("end", "c9"),
        *chained(calls(2)),
        overlong("end", "c2"),
    ]
    ledger_of(tmp_path, lines)
    damaged: list[Any] = []
    stated = seal_lines(
        (each for _, _, each in cell_lines(tmp_path, CELL_ID, damaged.append)), damaged
    )
    assert (stated["damaged_calls"], stated["records"], stated["calls"]) == (1, 4, 2)
    assert (stated["total_tokens"], stated["known_total_tokens"]) == (None, 240)
    slice_file = tmp_path / "calls.jsonl.txt"
    slice_file.write_bytes(b"".join(lines[2:6]))
    seal = Seal.model_validate({"cell_id": CELL_ID, **stated})
    assert verify_slice(slice_file, seal).holds
    assert "damaged_calls" not in seal_lines(lines[2:6])


def test_verify_names_an_overlong_line_and_goes_on(tmp_path: Path) -> None:
    """The line is named, and what is wrong behind it too."""
    lines = chained(calls(2))
    ledger_of(tmp_path, [lines[0], overlong(), *lines[1:3], lines[3].replace(b"c2", b"cX")])
    faults = verify_ledger(tmp_path).faults
    assert [fault.line for fault in faults] == [2, 5]
    assert faults[0].what.startswith("the line is longer than")


@pytest.mark.parametrize("count", [2**53, 2**63, 2**64 - 1, 10**9 + 1, -1])
def test_sums_take_no_count_that_a_call_cannot_have(count: int) -> None:
    """A record of an earlier version may hold any number; over 10^9 it is unknown, and sums stay small."""
    totals = CallTotals()
    for n in range(1030):
        changes: dict[str, Any] = dict.fromkeys(
            ("prompt_tokens", "completion_tokens", "upstream_attempts"), count
        )
        totals.add(end_fields(str(n), **changes, total_tokens=max(count, 3 * 10**9)))
    assert totals.tokens.total.value is None
    assert 0 <= totals.tokens.total.known < 2**53
    assert totals.attempts == 1030
