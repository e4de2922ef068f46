from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.scoring import BadRecord
from cab.scoring.imports.reading import lenient as module
from cab.scoring.imports.reading.input_file import InputFile
from cab.scoring.imports.reading.lenient import parse_lenient

HERE = Path("file.json")


def read(text: bytes) -> tuple[object, list[str]]:
    """Return what a text holds, and what is noted of it."""
    source = InputFile(HERE)
    data = parse_lenient(text, source, 3)
    assert {note.line for note in source.notes} <= {3}
    return data, [note.text for note in source.notes]


@pytest.mark.parametrize(
    ("text", "data", "notes"),
    [
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}, []),
        (b'{"a": NaN}', {"a": None}, ["a: is not a number: taken as unknown"]),
        (b"[1, -Infinity]", [1, None], ["1: is not a number: taken as unknown"]),
        (
            b'{"a": {"b": [1e999]}}',
            {"a": {"b": [None]}},
            ["a.b.0: is not a number: taken as unknown"],
        ),
        (b'{"a": [NaN, %d]}' % 10**30, {"a": [None, None]}, ["a.0", "a.1"]),
        (b'{"a": "x\\ud800y"}', {"a": "x\ufffdy"}, ["a: holds half of a character"]),
        (b'{"\\udfff": 1}', {"\ufffd": 1}, []),
        (b'{"a": "\xff", "b": 1}', {"a": "\ufffd", "b": 1}, ["holds bytes that are not UTF-8"]),
        (b"NaN", None, ["is not a number"]),
    ],
)
def test_a_value_that_is_not_json_is_lost_alone(
    text: bytes, data: object, notes: list[str]
) -> None:
    """The rest of the file is as it stands, and what was lost is named by its place."""
    found, noted = read(text)
    assert found == data
    assert len(noted) == len(notes)
    assert all(have.startswith(expected) for have, expected in zip(noted, notes, strict=True))


def test_only_the_first_of_many_are_named() -> None:
    """A thousand lost values are five notes and a number."""
    data, notes = read(b"[" + b",".join([b"NaN"] * 1000) + b"]")
    assert data == [None] * 1000
    assert len(notes) == 6
    assert notes[-1] == "995 more values are lost in this way"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b'{"a": NaN', "not valid JSON"),
        (b'{"a": 1, "a": NaN}', "the member 'a' is there twice"),
        (b'{"a": 1, "a": 2}', "the member 'a' is there twice"),
        (b"[" * 100_000 + b"NaN", "not valid JSON"),
        (b'{"a": "\x01"}', "not valid JSON"),
    ],
)
def test_what_is_not_json_even_so_is_refused(text: bytes, reason: str) -> None:
    """The error names the line; deep data is no crash."""
    with pytest.raises(BadRecord, match=reason) as caught:
        read(text)
    assert (caught.value.path, caught.value.line) == ("file.json", 3)


@pytest.mark.parametrize("text", [b"[[],[]]", b'[{"a":0}]', b"[0,0,0,0,0,0,0]"])
def test_a_text_of_nothing_but_values_is_not_parsed(
    monkeypatch: pytest.MonkeyPatch, text: bytes
) -> None:
    """Parsed, they take thirty times the memory of the text."""
    monkeypatch.setattr(module, "MAX_VALUES", 7)
    with pytest.raises(BadRecord, match="holds more values"):
        read(text)
    assert read(b"[0,0,0,0]") == ([0, 0, 0, 0], [])


@pytest.mark.timeout(20)
def test_a_member_that_is_there_twice_is_found_in_one_pass() -> None:
    """A hundred thousand members before it do not cost their square."""
    members = ",".join(f'"k{number}":0' for number in range(100_000))
    with pytest.raises(BadRecord, match="the member 'k99999' is there twice"):
        read(f'{{"x":NaN,{members},"k99999":1}}'.encode())


VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=10,
)  # fmt: skip


@given(VALUES)
def test_json_that_is_valid_is_what_it_was(data: Any) -> None:
    """Nothing is changed or noted where nothing is wrong, also with one `NaN` beside it."""
    text = orjson.dumps(data)
    assert read(text) == (data, [])
    found, notes = read(b"[NaN," + text + b"]")
    assert found == [None, data]
    assert len(notes) == 1


@given(st.binary(max_size=60))
def test_any_bytes_are_json_or_refused(text: bytes) -> None:
    """Whatever the bytes are, what is read can be written again."""
    try:
        data, _ = read(text)
    except BadRecord:
        return
    assert orjson.dumps(data) is not None
