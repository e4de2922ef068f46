"""Files of one JSON object each."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.adapters.agents.session_json import as_object, kept_objects, objects_of
from cab.adapters.errors import BadSelfReport

NO_OBJECTS = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers())


def test_file_after_file(tmp_path: Path) -> None:
    """Each file that the glob finds is an object, in the order of their names."""
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "state.json").write_text(f'{{"name": "{name}"}}')

    assert list(kept_objects(tmp_path, "*/state.json", "toy")) == [{"name": "a"}, {"name": "b"}]


def test_no_file(tmp_path: Path) -> None:
    """None need be there."""
    assert list(kept_objects(tmp_path, "*/state.json", "toy")) == []


@pytest.mark.parametrize("content", ["", "{", '{"a": 1} {"b": 2}', "\xff"])
def test_torn_file(tmp_path: Path, content: str) -> None:
    """A file that was not written to its end is an error that names it."""
    (tmp_path / "state.json").write_text(content, encoding="latin-1")

    with pytest.raises(BadSelfReport, match=r"toy's state\.json cannot be read"):
        list(kept_objects(tmp_path, "state.json", "toy"))


def test_unreadable_file(tmp_path: Path) -> None:
    """What cannot be read is an error."""
    (tmp_path / "state.json").mkdir()

    with pytest.raises(BadSelfReport, match="cannot be read"):
        list(kept_objects(tmp_path, "state.json", "toy"))


@given(data=NO_OBJECTS)
def test_no_object(data: object) -> None:
    """What is no object is an error, wherever one must be."""
    with pytest.raises(BadSelfReport, match="toy's thing is no JSON object"):
        as_object(data, "thing", "toy")
    with pytest.raises(BadSelfReport, match=r"no list things|things is no JSON object"):
        objects_of({"things": [data]}, "things", "toy")


@given(data=NO_OBJECTS.filter(lambda data: not isinstance(data, list)) | st.just({}))
def test_no_list(data: object) -> None:
    """What is no list is an error where one must be."""
    with pytest.raises(BadSelfReport, match="no list things"):
        objects_of({"things": data}, "things", "toy")


def test_objects() -> None:
    """A list of objects comes back as it is."""
    assert objects_of({"things": [{"a": 1}, {}]}, "things", "toy") == [{"a": 1}, {}]
