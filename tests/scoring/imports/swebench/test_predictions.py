from pathlib import Path
from typing import Any

import pytest

from cab.scoring.imports import Note, ReadingWarning, read_swebench_predictions
from tests.scoring.imports.files import (
    BY_INSTANCE,
    LINES,
    LIST,
    assert_rejected,
    cells_of,
    changed,
    written,
)

ONE = {"instance_id": "demo__lib-7", "model_name_or_path": "m", "model_patch": "x"}


@pytest.mark.parametrize("path", [LIST, BY_INSTANCE, LINES], ids=lambda path: path.name)
def test_all_forms_hold_the_same_cells(path: Path) -> None:
    """A list, an object by instance and one object per line give the same cells."""
    cells = read_swebench_predictions(path)
    assert [cell.cell_id for cell in cells] == [
        f"imported/unknown/vendor/small-1/swe-bench/demo__lib-{number}" for number in (7, 8, 9)
    ]
    assert {cell.origin.form for cell in cells} == {"swebench.predictions"}


def test_a_prediction_holds_neither_verdict_nor_count() -> None:
    """What a patch is worth is not known before it is evaluated; an empty one is reported."""
    patch, empty, none = read_swebench_predictions(LIST)
    assert patch.reason == "a patch of 19 characters; a prediction holds no verdict"
    assert empty.reason == none.reason == "an empty patch; a prediction holds no verdict"
    for cell in (patch, empty, none):
        assert (cell.passed, cell.self_reported, cell.wall_clock_ms) == (None, None, None)


def test_a_single_prediction_is_read(tmp_path: Path) -> None:
    """One object is one prediction, also as a file of one line."""
    for text in (ONE, {**ONE, "model_name_or_path": None}):
        [cell] = read_swebench_predictions(written(tmp_path / "x.jsonl", text))
        assert cell.origin.name == "demo__lib-7"


def test_the_key_names_the_instance_where_the_prediction_does_not(tmp_path: Path) -> None:
    """In an object by instance the name may be in the key alone."""
    path = written(tmp_path / "x.json", {"demo__lib-7": {"model_patch": "x"}})
    [cell] = read_swebench_predictions(path)
    assert cell.cell_id == "imported/unknown/unknown/swe-bench/demo__lib-7"


def test_blank_lines_are_passed_over(tmp_path: Path) -> None:
    """Lines without anything on them are not predictions."""
    path = written(tmp_path / "x.jsonl", b"\n" + LINES.read_bytes().replace(b"\n", b"\n\n"))
    assert len(read_swebench_predictions(path)) == 3


@pytest.mark.parametrize(
    ("data", "field", "reason"),
    [
        ([], None, "holds no run"),
        ({}, None, "holds no run"),
        (7, None, "neither a list nor an object"),
        ([7], "0", "dictionary"),
        ([{**ONE, "instance_id": None}], "0.instance_id", "string"),
        ([{**ONE, "model_patch": 5}], "0.model_patch", "string"),
        ({"a": {**ONE}}, "a.instance_id", "under the key 'a'"),
        ({"a": 7}, "a", "dictionary"),
        ([{**ONE, "instance_id": "\u0000"}], None, "cannot be printed"),
    ],
)
def test_a_wrong_prediction_is_named(
    tmp_path: Path, data: Any, field: str | None, reason: str
) -> None:
    """A file without any prediction that is of the right type and consistent is refused."""
    path = written(tmp_path / "x.json", data)
    assert_rejected(read_swebench_predictions, path, field, reason)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (b"{", "the last line is torn: not valid JSON"),
        (b'{"instance_id":5}\n', "instance_id: "),
        (b'{"other":5}\n', "instance_id: Field required"),
        (LINES.read_bytes().splitlines()[0], "instance_id: is there twice"),
    ],
)
def test_a_wrong_line_is_left_out(tmp_path: Path, wrong: bytes, text: str) -> None:
    """A line that is not JSON, holds a wrong value or comes again is lost and named; the others count."""
    lines = LINES.read_bytes().splitlines()
    path = written(tmp_path / "x.jsonl", b"\n".join([*lines[:2], wrong]))
    notes: list[Note] = []
    assert len(cells_of(path, notes)) == 2
    [note] = notes
    assert (note.path, note.line, note.row_lost) == (str(path), 3, True)
    assert note.text.startswith(text)
    assert note.text.endswith("this row is left out")
    with pytest.warns(ReadingWarning, match=r"x\.jsonl:3: "):
        assert len(read_swebench_predictions(path)) == 2


def test_a_wrong_prediction_of_a_list_is_left_out(tmp_path: Path) -> None:
    """In a list, too, the others count."""
    notes: list[Note] = []
    path = written(tmp_path / "x.json", [ONE, {**ONE, "model_patch": 5}, ONE])
    assert len(cells_of(path, notes)) == 1
    assert [note.text.partition(":")[0] for note in notes] == ["1.model_patch", "2.instance_id"]


def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    """Other models make other cells of one instance."""
    path = changed(LIST, tmp_path, {"1.instance_id": "demo__lib-7", "1.model_name_or_path": "b"})
    assert len(read_swebench_predictions(path)) == 3
