from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.scoring import BadRecord, parse_cell_id
from cab.scoring.files import parse_json, read_bytes
from cab.scoring.imports.reading import (
    FieldNames,
    inner,
    make_cell_id,
    sum_known,
    usd,
)
from tests.scoring.imports.files import written

HERE = Path("file.json")


def test_a_file_over_the_limit_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is too large is refused before it is read, with both sizes."""
    monkeypatch.setattr("cab.scoring.files.MAX_FILE_BYTES", 4)
    assert read_bytes(written(tmp_path / "a", b"1234")) == b"1234"
    with pytest.raises(BadRecord, match="5 bytes are over the limit of 4"):
        read_bytes(written(tmp_path / "a", b"12345"))


def test_a_file_that_takes_no_room_on_the_disk_is_refused_too(tmp_path: Path) -> None:
    """A sparse file of a terabyte is refused by its size."""
    with (tmp_path / "huge.json").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(BadRecord, match="over the limit"):
        read_bytes(tmp_path / "huge.json")


def test_what_is_not_a_file_is_named(tmp_path: Path) -> None:
    """A missing file and a folder are errors that name it."""
    with pytest.raises(BadRecord, match="No such file"):
        read_bytes(tmp_path / "none")
    with pytest.raises(BadRecord, match="not a regular file"):
        read_bytes(tmp_path)


@pytest.mark.parametrize("text", [b"", b"{", b"NaN", b'{"a": Infinity}', b"1e999", b"\xff"])
def test_what_is_not_json_is_named_by_its_line(text: bytes) -> None:
    """`NaN` and the like are not JSON; the line is the file's own or the one that was given."""
    with pytest.raises(BadRecord, match=r"file\.json:1: not valid JSON") as caught:
        parse_json(text, HERE)
    assert caught.value.line == 1
    with pytest.raises(BadRecord) as caught:
        parse_json(text, HERE, line=7)
    assert caught.value.line == 7


def test_deep_json_is_refused() -> None:
    """A hundred thousand brackets are an error and no crash."""
    with pytest.raises(BadRecord, match="not valid JSON"):
        parse_json(b"[" * 100_000 + b"]" * 100_000, HERE)


def test_a_way_that_ends_before_gives_nothing() -> None:
    """Where a key is missing or its value is not an object there is None."""
    data: dict[str, object] = {"a": {"b": 1}, "c": [1]}
    assert inner(data, "a", "b") == 1
    assert inner(data, "a", "x") is None
    assert inner(data, "c", "b") is None


def test_a_sum_is_known_if_all_of_it_is() -> None:
    """One unknown part makes the sum unknown; of nothing it is 0."""
    assert (sum_known([1, 2]), sum_known([1, None]), sum_known([0.5])) == (3, None, 0.5)
    assert sum_known([0][1:]) == 0


@pytest.mark.parametrize(
    ("amount", "expected"), [(None, None), (0.0, "0.0"), (0.0425, "0.0425"), (1e-7, "0.0000001")]
)
def test_money_is_kept_as_the_file_says_it(amount: float | None, expected: str | None) -> None:
    """An amount becomes decimal text of the same digits; 0 stays 0 and unknown stays unknown."""
    assert usd(amount, HERE, "cost") == expected


@pytest.mark.parametrize("amount", [-0.01, 1e300])
def test_what_is_not_money_is_named(amount: float) -> None:
    """A negative amount, or one beyond any price, is an error that names its field."""
    with pytest.raises(BadRecord, match=r"cost: .* not an amount of US dollars"):
        usd(amount, HERE, "cost")


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
