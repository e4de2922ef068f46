import os
from pathlib import Path

import pytest

from cab.scoring import BadRecord, CallEnd, iter_calls, iter_records
from cab.scoring.ledger.reading import MAX_LINE_BYTES, find_ends, find_records, newest_segments
from tests.scoring.builders import CELL_ID, end_fields, line, start_fields
from tests.scoring.ledgers import calls, write_ledger


def test_a_folder_is_read_in_the_order_of_its_segments(tmp_path: Path) -> None:
    """Segments are read by name, other files are not records."""
    for name, call_id in (("w2-000001.jsonl", "b"), ("w1-000001.jsonl", "a")):
        (tmp_path / name).write_bytes(line(start_fields(call_id)) + line(end_fields(call_id)))
    (tmp_path / "notes.txt").write_text("no record")
    (tmp_path / "w1-000001.bak.jsonl").write_text("no record")
    assert [record.kind for record in iter_records(tmp_path)] == ["start", "end"] * 2
    assert [call.call_id for call in iter_calls(tmp_path)] == ["a", "b"]


def test_an_empty_folder_has_no_records(tmp_path: Path) -> None:
    """A ledger without segments holds nothing."""
    assert list(iter_records(tmp_path)) == []


def test_calls_are_chosen_by_cell(tmp_path: Path) -> None:
    """An id picks its cell alone, a prefix those of a sweep or an agent; calls without a cell have neither."""
    path = tmp_path / "slice.jsonl"
    cells = [CELL_ID, "local/aider/m/f/t", None, f"{CELL_ID}#run1", f"{CELL_ID}#run10"]
    path.write_bytes(b"".join(line(end_fields(f"c{n}", cell_id=c)) for n, c in enumerate(cells)))
    assert len(list(iter_calls(path))) == 5
    for cell in (CELL_ID, f"{CELL_ID}#run1"):
        assert [call.cell_id for call in iter_calls(path, cell)] == [cell]
    assert len(list(iter_calls(path, prefix="local/scripted/"))) == 3
    assert [record.kind for record in iter_records(path, prefix="local/aider/")] == ["end"]
    assert list(iter_records(path, "local/aider/")) == []


def test_calls_are_chosen_by_model_and_time(tmp_path: Path) -> None:
    """A model is the one asked for or the one that answered; a time range leaves its end out."""
    path = tmp_path / "slice.jsonl"
    times = [f"2026-11-20T12:00:0{n}.000000Z" for n in range(4)]
    path.write_bytes(
        b"".join(
            line(start_fields(f"c{n}", started_at=at, model_requested=f"m{n}"))
            + line(end_fields(f"c{n}", started_at=at, model_served=f"m{n}", ended_at=times[3]))
            for n, at in enumerate(times)
        )
    )
    assert [call.call_id for call in iter_calls(path, model="m2")] == ["c2"]
    chosen = iter_calls(path, since="2026-11-20T12:00:01Z", until="2026-11-20T12:00:03Z")
    assert [call.call_id for call in chosen] == ["c1", "c2"]
    assert [record.kind for record in iter_records(path, model="m2")] == ["start", "end"]


def test_a_start_that_cannot_be_compared_is_named(tmp_path: Path) -> None:
    """A call whose start is no instant is an error of its line when times are asked for."""
    path = tmp_path / "slice.jsonl"
    path.write_bytes(line(end_fields()) + line(end_fields(started_at="noon")))
    with pytest.raises(
        BadRecord, match=r"slice\.jsonl:2: started_at: 'noon' is not an RFC 3339 instant"
    ):
        list(iter_calls(path, since="2026-11-20T12:00:00Z"))


def test_compressed_segments_are_read(tmp_path: Path) -> None:
    """Plain and compressed segments are read in one order, across workers."""
    write_ledger(tmp_path, calls(3), per_segment=2, compressed=True)
    write_ledger(tmp_path, calls(1), worker=1)
    assert [call.call_id for call in iter_calls(tmp_path)] == ["c1", "c2", "c3", "c1"]


def test_a_start_is_told_by_its_kind_alone(tmp_path: Path) -> None:
    """A call whose usage has members named like a START's is still a call."""
    path = tmp_path / "slice.jsonl"
    path.write_bytes(line(end_fields(usage_raw={"kind": "start"})) + line(start_fields()))
    assert len(list(iter_calls(path))) == 1


def test_where_a_record_stands_is_told(tmp_path: Path) -> None:
    """Records can be had with file, line number and bytes, as they stand there."""
    [file] = write_ledger(tmp_path, calls(2))
    found = list(find_ends(tmp_path))
    assert [(each.path, each.number) for each in found] == [(file, 2), (file, 4)]
    assert b"".join(each.line for each in find_records(tmp_path)) == file.read_bytes()
    assert found[0].record() == next(iter_calls(tmp_path))


def test_an_unfinished_line_ends_a_growing_segment(tmp_path: Path) -> None:
    """In a folder the line that a writer has not finished is left out, the rest is read."""
    whole = line(end_fields())
    (tmp_path / "w1-000001.jsonl").write_bytes(whole + whole[:-20])
    (tmp_path / "w2-000001.jsonl").write_bytes(whole)
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
    (tmp_path / "w1-000001.jsonl").write_bytes(line(end_fields()) + b"garbage\n")
    with pytest.raises(BadRecord, match=r"w1-000001\.jsonl:2: not valid JSON"):
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


def test_what_is_written_from_now_on(tmp_path: Path) -> None:
    """From the newest segments on, a reader finds all that came later, of new workers too, and no older segment."""
    write_ledger(tmp_path, calls(4), per_segment=2)
    write_ledger(tmp_path, calls(1, first=20), worker=1)
    first = newest_segments(tmp_path)
    assert first == {0: 4, 1: 1}
    write_ledger(tmp_path, calls(5), per_segment=2)
    write_ledger(tmp_path, calls(1, first=30), worker=2)
    found = [each.fields["call_id"] for each in find_records(tmp_path, first=first)]
    assert found == ["c4", "c4", "c5", "c5", "c20", "c20", "c30", "c30"]
