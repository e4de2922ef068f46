from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.scoring import BadRecord, parse_cell_id
from cab.scoring.imports.reading.cell_ids import FieldNames, make_cell_id

HERE = Path("file.json")


def test_a_slash_within_a_part_does_not_split_the_id() -> None:
    """Only the model may hold slashes; elsewhere they become two lines, and nothing climbs."""
    cell_id = make_cell_id(FieldNames("a/b", "org/m", "f\\g", "../x#run2", " s/1 "), HERE)
    assert cell_id == "s__1/a__b/org/m/f__g/..__x__run2"


def test_parts_that_are_empty_have_a_name() -> None:
    """An id has five parts whatever the file says."""
    assert (
        make_cell_id(FieldNames("", None, " ", "t", ""), HERE)
        == "imported/unknown/unknown/unknown/t"
    )


@pytest.mark.parametrize(
    "names",
    [
        FieldNames("a", "m", "f", ".."),
        FieldNames("a", "m", "..", "t"),
        FieldNames("..", "m", "f", "t"),
        FieldNames("a\x1b[31m", "m", "f", "t"),
    ],
)
def test_a_part_that_climbs_is_refused(names: FieldNames) -> None:
    """A part that would leave the folder of runs, or that a terminal obeys, is an error."""
    with pytest.raises(BadRecord, match="cell id"):
        make_cell_id(names, HERE)


@pytest.mark.parametrize(
    ("model", "part"), [("x/../../m", "x/%2E%2E/%2E%2E/m"), ("m//n", "m/%2Fn")]
)
def test_a_model_that_would_climb_is_encoded(model: str, part: str) -> None:
    """A model may have any name; in the id it does not leave the folder of runs."""
    assert make_cell_id(FieldNames("a", model, "f", "t"), HERE) == f"imported/a/{part}/f/t"


@given(st.text(), st.text(), st.text(), st.text(), st.text())
def test_an_id_reads_back(tui: str, model: str, family: str, task: str, sweep: str) -> None:
    """Every id that is made splits into five parts again, and none of them climbs."""
    try:
        made = make_cell_id(FieldNames(tui, model, family, task, sweep), HERE)
    except BadRecord:
        return
    cell = parse_cell_id(made)
    assert str(cell) == made
    assert cell.run is None
    assert not {".", ".."} & set(made.split("/"))
