import os
from pathlib import Path

import pytest

from cab.scoring import BadRecord, CallEnd, iter_calls, iter_records
from cab.scoring.reading import MAX_LINE_BYTES
from tests.scoring.builders import CELL_ID, end_fields, line, start_fields


def test_a_folder_is_read_in_the_order_of_its_segments(tmp_path: Path) -> None:
    """Segments are read by name, other files are not records."""
    for name, call_id in (("2-000001.jsonl", "b"), ("1-000001.jsonl", "a")):
        (tmp_path / name).write_bytes(line(start_fields(call_id)) + line(end_fields(call_id)))
    (tmp_path / "notes.txt").write_text("no record")
    assert [record.kind for record in iter_records(tmp_path)] == ["start", "end"] * 2
    assert [call.call_id for call in iter_calls(tmp_path)] == ["a", "b"]


def test_an_empty_folder_has_no_records(tmp_path: Path) -> None:
    """A ledger without segments holds nothing."""
    assert list(iter_records(tmp_path)) == []


def test_calls_are_chosen_by_cell(tmp_path: Path) -> None:
    """A prefix picks the cells of a sweep or of an agent; calls without a cell have no prefix."""
    path = tmp_path / "slice.jsonl"
    cells = [CELL_ID, "local/aider/m/f/t", None]
    path.write_bytes(b"".join(line(end_fields(f"c{n}", cell_id=c)) for n, c in enumerate(cells)))
    assert len(list(iter_calls(path))) == 3
    assert [call.cell_id for call in iter_calls(path, "local/scripted/")] == [CELL_ID]


def test_an_unfinished_line_ends_a_growing_segment(tmp_path: Path) -> None:
    """In a folder the line that a writer has not finished is left out, the rest is read."""
    whole = line(end_fields())
    (tmp_path / "1.jsonl").write_bytes(whole + whole[:-20])
    (tmp_path / "2.jsonl").write_bytes(whole)
    assert [record.kind for record in iter_records(tmp_path)] == ["end", "end"]


def test_an_unfinished_line_of_a_slice_is_an_error(tmp_path: Path) -> None:
    """A slice that was cut off is not taken for a whole one."""
    path = tmp_path / "slice.jsonl"
    path.write_bytes(line(end_fields("a")) + line(end_fields("b"))[:-1])
    records = iter_records(path)
    assert isinstance(next(records), CallEnd)
    with pytest.raises(BadRecord, match=r"slice\.jsonl:2: the line is cut off"):
        next(records)


def test_garbage_is_named_by_its_line(tmp_path: Path) -> None:
    """A line that is no record is an error that names file and line, in a folder as well."""
    (tmp_path / "1.jsonl").write_bytes(line(end_fields()) + b"garbage\n")
    with pytest.raises(BadRecord, match=r"1\.jsonl:2: no JSON"):
        list(iter_records(tmp_path))


def test_an_endless_line_is_not_held(tmp_path: Path) -> None:
    """A line past the limit is an error, it is not read to its end."""
    path = tmp_path / "1.jsonl"
    path.touch()
    os.truncate(path, MAX_LINE_BYTES * 4)
    with pytest.raises(BadRecord, match="longer than"):
        list(iter_records(path))


def test_a_missing_file_and_a_failing_disk_are_named(tmp_path: Path) -> None:
    """A file that is not there, or cannot be read, is an error that names it."""
    with pytest.raises(BadRecord, match="none"):
        list(iter_records(tmp_path / "none"))
    with pytest.raises(BadRecord, match="/proc/self/mem"):
        list(iter_records(Path("/proc/self/mem")))
