"""Captures are read whole, in bounded memory, and nothing that was changed passes for what it was."""

import os
import tracemalloc
from pathlib import Path

import orjson
import pytest
import zstandard

from cab.scoring import BadRecord
from cab.scoring.capture import CellCapture, find_capture
from cab.scoring.capture.layout import cell_folder_name
from tests.scoring.capture.made import CELL, digest, write_call


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    return tmp_path / "capture"


def only_cell(capture: Path) -> CellCapture:
    (cell,) = find_capture(capture.parent)
    return cell


def test_bodies_come_back_from_all_writers_in_the_order_of_the_cell(capture: Path) -> None:
    write_call(capture, "c2", [b"a", b"b"], [b"second"], writer=1, seq=2)
    write_call(capture, "c1", [b"a", b"c"], [b"first"], writer=0, seq=1)
    cell = only_cell(capture)
    assert cell.cell_id == CELL
    assert [call.call_id for call in cell.calls] == ["c1", "c2"]
    assert [cell.body(call.request) for call in cell.calls] == [b"ac", b"ab"]
    answers = [call.response for call in cell.calls if call.response]
    assert [cell.body(answer) for answer in answers] == [b"first", b"second"]


def test_without_a_capture_there_are_no_cells(tmp_path: Path) -> None:
    assert find_capture(tmp_path) == []


def test_calls_without_a_cell_have_a_folder_of_their_own(capture: Path) -> None:
    write_call(capture, "c1", [b"a"], [b"b"], cell=None)
    write_call(capture, "c2", [b"a"], [b"b"], cell="no-cell")
    assert {cell.cell_id for cell in find_capture(capture)} == {None, "no-cell"}


@pytest.mark.parametrize(
    "line",
    [
        b"not JSON\n",
        b'{"schema":"cab.capture/1","kind":"call"}\n',
        b'{"schema":"cab.call/1","kind":"call"}\n',
        b'{"schema":"cab.capture/1","kind":"call","call_id":"torn',
        b"x" * (5 << 20) + b"\n",
    ],
    ids=["no JSON", "fields missing", "other schema", "torn", "too long"],
)
def test_a_bad_line_is_named_and_passed_over(capture: Path, line: bytes) -> None:
    write_call(capture, "c1", [b"a"], [b"b"])
    lines = capture / cell_folder_name(CELL) / "w0.jsonl"
    good = lines.read_bytes()
    lines.write_bytes(good + line)
    if line.endswith(b"\n"):
        lines.write_bytes(good + line + good.replace(b'"c1"', b'"c2"'))
    bad = list[BadRecord]()
    (cell,) = find_capture(capture, bad.append)
    assert [call.call_id for call in cell.calls] == (["c1", "c2"] if line[-1:] == b"\n" else ["c1"])
    assert [(error.path, error.line) for error in bad] == [(str(lines), 2)]


def test_a_kind_that_is_not_known_is_passed_over(capture: Path) -> None:
    write_call(capture, "c1", [b"a"], [b"b"])
    lines = capture / cell_folder_name(CELL) / "w0.jsonl"
    lines.write_bytes(b'{"schema":"cab.capture/1","kind":"news"}\n' + lines.read_bytes())
    (cell,) = find_capture(capture, lambda error: pytest.fail(str(error)))
    assert len(cell.calls) == 1


def test_a_line_of_another_cell_is_not_taken_for_this_ones(capture: Path) -> None:
    write_call(capture, "c1", [b"a"], [b"b"])
    folder = capture / cell_folder_name(CELL)
    folder.rename(capture / cell_folder_name("another"))
    bad = list[BadRecord]()
    (cell,) = find_capture(capture, bad.append)
    assert cell.calls == []
    assert len(bad) == 1


def test_a_file_that_cannot_be_read_hides_no_other(capture: Path) -> None:
    """Neither another cell, nor what another process wrote of this one."""
    write_call(capture, "c1", [b"a"], [b"b"])
    write_call(capture, "c2", [b"a"], [b"b"], cell="other")
    os.mkfifo(capture / cell_folder_name(CELL) / "w1.jsonl")
    (capture / cell_folder_name(CELL) / "w2.jsonl").symlink_to("nowhere")
    told = list[BadRecord]()
    cells = find_capture(capture, told.append)
    assert {call.call_id for cell in cells for call in cell.calls} == {"c1", "c2"}
    assert ["w1.jsonl" in str(told[0]), "w2.jsonl" in str(told[1])] == [True, True]


def test_a_frame_is_no_larger_than_what_is_in_it(capture: Path) -> None:
    """A file with holes takes no disk, and would fill the memory of who reads it."""
    call = write_call(capture, "c1", [b"a"], [b"b"])
    folder = capture / cell_folder_name(CELL)
    os.truncate(folder / "w0.parts", 64 << 20)
    line = orjson.loads((folder / "w0.jsonl").read_bytes())
    line["new_parts"][0] |= {"at": 0, "size": 64 << 20}
    (folder / "w0.jsonl").write_bytes(orjson.dumps(line) + b"\n")
    tracemalloc.start()
    try:
        with pytest.raises(BadRecord, match="is too large"):
            only_cell(capture).body(call.request)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_changed_parts_are_found(capture: Path) -> None:
    call = write_call(capture, "c1", [b"abcdef"], [b"b"])
    parts = capture / cell_folder_name(CELL) / "w0.parts"
    packed, other = zstandard.compress(b"abcdef"), zstandard.compress(b"abcdeX")
    parts.write_bytes(parts.read_bytes().replace(packed, other))
    with pytest.raises(BadRecord, match="was changed"):
        only_cell(capture).body(call.request)
    parts.write_bytes(packed[:4])
    with pytest.raises(BadRecord, match="it ends before"):
        only_cell(capture).body(call.request)
    parts.write_bytes(b"\0" * 64)
    with pytest.raises(BadRecord, match="cannot be unpacked"):
        only_cell(capture).body(call.request)
    parts.unlink()
    with pytest.raises(BadRecord):
        only_cell(capture).body(call.request)


@pytest.mark.parametrize("claims_bytes", [10, 200 << 20])
def test_no_more_is_unpacked_than_is_claimed_and_allowed(capture: Path, claims_bytes: int) -> None:
    """A frame of 20 KB that unpacks to 200 MB."""
    bomb = zstandard.ZstdCompressor().compress(bytes(200 << 20))
    call = write_call(capture, "c1", [b"a"], [b"b"])
    folder = capture / cell_folder_name(CELL)
    (folder / "w0.parts").write_bytes(bomb)
    line = orjson.loads((folder / "w0.jsonl").read_bytes())
    line["new_parts"][0] |= {"size": len(bomb), "bytes": claims_bytes}
    (folder / "w0.jsonl").write_bytes(orjson.dumps(line) + b"\n")
    tracemalloc.start()
    try:
        with pytest.raises(BadRecord):
            only_cell(capture).body(call.request, max_bytes=1 << 20)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_body_that_was_not_kept_has_no_bytes(capture: Path) -> None:
    call = write_call(capture, "c1", [b"a"], [b"b"])
    gone = call.request.model_copy(update={"sha256": None, "parts": None, "complete": False})
    with pytest.raises(BadRecord, match="not kept"):
        only_cell(capture).body(gone)
    lost = call.request.model_copy(update={"parts": [digest(b"lost")]})
    with pytest.raises(BadRecord, match="missing"):
        only_cell(capture).body(lost)
