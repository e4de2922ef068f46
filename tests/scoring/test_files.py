import os
from pathlib import Path

import pytest

from cab.scoring import BadRecord
from cab.scoring.files import (
    MAX_FILE_BYTES,
    FileModel,
    check_regular,
    parse_json,
    read_object,
    validated,
)


class Inner(FileModel):
    number: int


class Outer(FileModel):
    inner: Inner
    names: list[str] | None = None


def test_an_object_is_read(tmp_path: Path) -> None:
    """A file that holds a JSON object is read as it stands."""
    path = tmp_path / "a.json"
    path.write_bytes(b'{"a": [1, null]}')
    assert read_object(path) == {"a": [1, None]}


@pytest.mark.parametrize(
    ("data", "line", "reason"),
    [
        (b"", 1, "not valid JSON"),
        (b'{\n"a": nul}', 2, "not valid JSON"),
        (b"[1]", None, "is not a JSON object"),
        (b'{"a": NaN}', 1, "not valid JSON"),
        (b"\xff\xfe", 1, "not valid JSON"),
        (b"[" * 5000, 1, "not valid JSON"),
    ],
)
def test_a_file_without_an_object_is_named(
    tmp_path: Path, data: bytes, line: int | None, reason: str
) -> None:
    """A file that does not hold a JSON object raises one error with its name, and the line if known."""
    path = tmp_path / "a.json"
    path.write_bytes(data)
    with pytest.raises(BadRecord) as caught:
        read_object(path)
    assert (caught.value.path, caught.value.line) == (str(path), line)
    assert caught.value.reason.startswith(reason)


def test_what_is_not_a_file_is_refused(tmp_path: Path) -> None:
    """A missing file, a folder, a pipe and a device are refused before anything is opened."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "none", tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(BadRecord):
            check_regular(path)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    """A file past the limit is refused by its size."""
    path = tmp_path / "a.json"
    path.touch()
    os.truncate(path, MAX_FILE_BYTES + 1)  # a hole: it takes no space
    with pytest.raises(BadRecord, match="over the limit"):
        read_object(path)


def test_a_file_that_fails_while_it_is_read_is_named() -> None:
    """An error of the disk becomes an error that names the file."""
    # The kernel gives this regular file to whoever opens it, and fails every read at address 0.
    with pytest.raises(BadRecord, match="/proc/self/mem"):
        read_object(Path("/proc/self/mem"))


@pytest.mark.parametrize(
    ("data", "at", "field"),
    [
        ({}, "", "inner"),
        ({"inner": {"number": "1"}}, "", "inner.number"),
        ({"inner": {"number": True}}, "", "inner.number"),
        ({"inner": {"number": 1.0}}, "scorers", "scorers.inner.number"),
        ({"inner": {"number": 1}, "names": ["a", 2]}, "", "names.1"),
        ([], "", None),
    ],
)
def test_types_must_be_right(data: object, at: str, field: str | None) -> None:
    """Nothing is converted: a wrong type is an error that names the field."""
    with pytest.raises(BadRecord) as caught:
        validated(Outer, data, Path("x.json"), at)
    assert caught.value.field == field


def test_unknown_members_are_kept() -> None:
    """What a newer version added to a file survives being read."""
    model = validated(Outer, {"inner": {"number": 1}, "later": [1]}, Path("x.json"))
    assert model.model_dump()["later"] == [1]


@pytest.mark.parametrize("text", [b"", b"{", b"NaN", b'{"a": Infinity}', b"1e999", b"\xff"])
def test_what_is_not_json_is_named_by_its_line(text: bytes) -> None:
    """`NaN` and the like are not JSON; the line is the file's own or the one that was given."""
    here = Path("file.json")
    with pytest.raises(BadRecord, match=r"file\.json:1: not valid JSON") as caught:
        parse_json(text, here)
    assert caught.value.line == 1
    with pytest.raises(BadRecord) as caught:
        parse_json(text, here, line=7)
    assert caught.value.line == 7
