import gzip
from pathlib import Path

import pytest

from cab.scoring import BadRecord
from cab.scoring.imports import Note
from cab.scoring.imports.reading import content, input_file
from tests.scoring.imports.files import LINES, cells_of, written

FIRST, SECOND, THIRD = LINES.read_bytes().splitlines(keepends=True)


def test_a_line_that_is_too_long_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lines around it count."""
    monkeypatch.setattr(content, "MAX_LINE_BYTES", 1000)
    long = SECOND.replace(b'"model_patch"', b" " * 1000 + b'"model_patch"')
    notes: list[Note] = []
    assert len(cells_of(written(tmp_path / "x", FIRST + long + THIRD), notes)) == 2
    assert [(note.line, note.row_lost) for note in notes] == [(2, True)]


def test_long_lines_are_whole(tmp_path: Path) -> None:
    """Which form a file has is found by the beginning of its second line, and nothing is lost of it."""
    long = SECOND.replace(b'"model_patch"', b" " * 200_000 + b'"model_patch"')
    assert len(cells_of(written(tmp_path / "x", FIRST + long + THIRD))) == 3


def test_lines_of_no_known_form_are_described(tmp_path: Path) -> None:
    """The error names the line that was looked at."""
    with pytest.raises(BadRecord, match="x:1: has no form that is known: it is an object with"):
        cells_of(written(tmp_path / "x", b'{"a": 1}\n{"a": 2}\n'))


def test_packed_lines_that_are_cut_off_are_read_so_far(tmp_path: Path) -> None:
    """What is missing is said."""
    notes: list[Note] = []
    whole = gzip.compress(FIRST + SECOND + THIRD)
    assert cells_of(written(tmp_path / "x.gz", whole[:-8]), notes)
    assert notes[-1].text == "the compressed data is cut off; this row is left out"


def test_a_broken_first_line_does_not_cost_the_others(tmp_path: Path) -> None:
    """The first line that can be read says what the file is; `NaN` in a line is a note of its cell."""
    notes: list[Note] = []
    nan = THIRD.replace(b"{", b'{"score": NaN, ', 1)
    cells = cells_of(written(tmp_path / "x", b'{"a":\n' + SECOND + nan), notes)
    assert [cell.notes for cell in cells] == [[], ["score: is not a number: taken as unknown"]]
    assert [(note.line, note.row_lost) for note in notes] == [(1, True), (3, False)]


def test_notes_have_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a file that is broken all over the first faults are named, and the others counted."""
    monkeypatch.setattr(input_file, "MAX_NOTES", 3)
    notes: list[Note] = []
    nan = b"".join(
        b'{"instance_id": "a__b-%d", "model_patch": "x", "score": NaN}\n' % n for n in range(6)
    )
    cells = cells_of(written(tmp_path / "x", FIRST + b"{\n" * 5 + nan), notes)
    assert [note.text for note in notes][3:] == ["8 more of such notes"]
    assert notes[-1].row_lost
    assert [len(cell.notes) for cell in cells] == [0, 1, 1, 1, 1, 1, 1]


def test_a_file_that_is_broken_all_over_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many lost rows are not a file of that form; and so is none that can be read."""
    monkeypatch.setattr(input_file, "MAX_LOST_ROWS", 3)
    with pytest.raises(BadRecord, match="more than 3 rows cannot be read, the last: not valid"):
        cells_of(written(tmp_path / "x", FIRST + b"{\n" * 5))
    monkeypatch.undo()
    with pytest.raises(BadRecord, match="no line can be read, not valid JSON"):
        cells_of(written(tmp_path / "x", b"{\n" * 5))
