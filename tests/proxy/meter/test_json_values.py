"""Looks at JSON of unknown shape."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.proxy.meter.json_values import (
    as_count,
    as_list,
    as_object,
    as_text,
    clean,
    clean_or_none,
    dump_text,
    parse,
    parse_object,
)


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (0, 0),
        (12, 12),
        (12.0, 12),
        (2**53, 2**53),
        (2**53 + 1, None),
        (10**400, None),
        (12.5, None),
        (-1, None),
        (-1.0, None),
        (True, None),
        (False, None),
        ("12", None),
        (None, None),
        (float("inf"), None),
        (float("nan"), None),
        ([1], None),
    ],
)
def test_only_what_can_be_a_count_is_one(value: object, count: int | None) -> None:
    """Whole numbers from 0 to 2^53 are counts, integral floats too; nothing else is."""
    assert as_count(value) == count


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"{}", {}),
        (b'{"a":"\\ud83d"}', {"a": "\ud83d"}),
        (b'{"a":"\xf0\x9f"}', {"a": "\ufffd"}),
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
        (b"[1]", [1]),
    ],
)
def test_what_a_lenient_client_reads_is_read(text: bytes, value: object) -> None:
    """Half surrogate pairs, cut UTF-8 and a byte order mark do not hide an object."""
    assert parse(text) == value


@pytest.mark.parametrize("text", [b"", b"x", b"{", b"{}{}", b"[" * 100_000, b'{"a":' + b"9" * 5000])
def test_what_is_not_json_has_one_kind_of_error(text: bytes) -> None:
    """Whatever the reason, text that is not JSON raises ValueError and holds no object."""
    with pytest.raises(ValueError, match=r".+"):
        parse(text)
    assert parse_object(text) is None


@given(st.binary())
def test_bytes_that_hold_no_object_give_none(data: bytes) -> None:
    """Random bytes never raise."""
    value = parse_object(data)
    assert value is None or value == json.loads(data.decode("utf-8-sig", "replace"))


def test_wrong_types_are_empty() -> None:
    """A look for an object, a list or a text finds an empty one where there is another type."""
    assert parse_object(b"[]") is None
    assert as_object([]) == {}
    assert as_object({"a": 1}) == {"a": 1}
    assert as_list({}) == []
    assert as_list([1]) == [1]
    assert as_text("") is None
    assert as_text(3) is None
    assert as_text("a") == "a"


def test_text_can_always_be_written() -> None:
    """Surrogate pairs are joined, lone surrogates replaced, everything else is as it was."""
    assert clean("a\ud83d\ude00b\ud83d") == "a😀b\ufffd"
    assert clean("Grüße") == "Grüße"
    assert clean_or_none("\ud83d") == "\ufffd"
    assert clean_or_none(None) is None
    assert dump_text({"a": 1}) == '{"a":1}'
    assert dump_text(2**70) == ""
