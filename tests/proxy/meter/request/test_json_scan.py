"""Where the members of an object stand, without making its values; and large bodies that are read so."""

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.proxy.meter import CallMeter, dialect_for
from cab.proxy.meter.json_values import MAX_MARKS
from cab.proxy.meter.request.body import RequestBody, read_body
from cab.proxy.meter.request.canonical import (
    MAX_CANONICAL_BYTES,
    BadJson,
    is_large,
)
from cab.proxy.meter.request.json_members import members
from cab.proxy.meter.request.json_scan import MAX_MEMBERS, scan_members

PATH = "/v1/chat/completions"
CHAT = dialect_for("POST", PATH)
LISTS = b'"a":[' + b"[]," * MAX_MARKS + b"0]"
NO_OBJECT = "the request's body is not a JSON object in UTF-8"

values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=20,
)


def large(*texts: bytes) -> bytes:
    return b"{" + b",".join((*texts, LISTS)) + b"}"


def read(body: bytes) -> RequestBody:
    return read_body(CHAT, body, "")


@given(st.dictionaries(st.text(max_size=20), values, max_size=5), st.booleans())
def test_the_members_are_those_that_a_reader_finds(value: object, spaced: bool) -> None:
    """Every object, in any layout, has the members that the other reader finds in it."""
    text = json.dumps(value, indent=2 if spaced else None, ensure_ascii=spaced).encode(
        "utf-8", "replace"
    )
    assert scan_members(text) == members(text)


@given(values, st.data())
def test_what_no_reader_takes_for_an_object_is_refused(value: object, data: st.DataObject) -> None:
    """A cut object, and any other value, is none."""
    text = json.dumps({"a": value}).encode()
    with pytest.raises(BadJson):
        scan_members(text[: data.draw(st.integers(0, len(text) - 1))])
    if not isinstance(value, dict):
        with pytest.raises(BadJson):
            scan_members(json.dumps(value).encode())


@pytest.mark.parametrize(
    "text",
    [
        b"{'a':1}",
        b'{"a":1,}',
        b'{"a":1}x',
        b'{"a" 1}',
        b'{"a":NaN}',
        b'{"a":[/*"*/1]}',
        b"""{"a":['"',"b"]}""",
        b'{"a":"\n"}',
        b'{"a":["\\x"]}',
        b'{"a":"\xff"}',
        b'{"a":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
        b"{" + b'"a":1,' * MAX_MEMBERS + b'"a":1}',
    ],
)
def test_what_lenient_readers_take_is_refused(text: bytes) -> None:
    """Other quotes, comments, bytes and depths, by which two readers could part, are no JSON here."""
    with pytest.raises(BadJson):
        scan_members(text)


def test_large_is_over_a_size_or_a_number_of_marks() -> None:
    """The two limits, which are part of the request hash, hold exactly."""
    assert not is_large(b"x" * MAX_CANONICAL_BYTES)
    assert is_large(b"x" * (MAX_CANONICAL_BYTES + 1))
    assert not is_large(b"x[{," + b"," * (MAX_MARKS - 3))
    assert is_large(b"x[{," + b"," * (MAX_MARKS - 2))


def test_a_large_body_is_read_as_far_as_it_is_metered() -> None:
    """Model, stream, its options, n and the cap are read; the bytes are hashed; the prompt is unbounded."""
    body = large(b'"model":"m","stream":true', b'"n":2,"max_tokens":5')
    facts = CallMeter(CHAT, PATH, body).request
    assert (facts.model, facts.stream, facts.body_fault) == ("m", True, None)
    assert facts.request_hash_form == "raw"
    assert (facts.bound.prompt_tokens, facts.bound.completion_tokens) == (None, 10)


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        (b'"b":"stream"', b'{"stream_options":{"include_usage":true},'),
        (b'"stream_options":null', b'"stream_options":{"include_usage":true}'),
        (b'"stream_options":{"a":1}', b'"stream_options":{"include_usage":true,"a":1}'),
    ],
)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_large_body_is_asked_for_usage(options: bytes, asked: bytes, mark: bytes) -> None:
    """The question is put where the scan found the member, and all else stays as it is."""
    body = mark + large(b'"stream":true', options)
    meter = CallMeter(CHAT, PATH, body)
    assert meter.request.injected
    assert asked in meter.upstream_body
    assert meter.upstream_body.endswith(LISTS + b"}")


@pytest.mark.parametrize(
    ("texts", "fault"),
    [
        ([b'"stream":true', b'"stream":false'], "the member `stream` is repeated"),
        ([b'"model":"a"', b'"mod\\u0065l":"b"'], "the member `model` is repeated"),
        ([b'"x":1', b'"x":2'], "the member `x` is repeated"),
        ([b'"Stream":true'], "the member `Stream` differs from `stream` by its letters only"),
        ([b'"stream":1'], "`stream` is neither true nor false"),
        ([b'"stream_options":{"a":1,"a":2}'], "the member `a` is repeated"),
        ([b'"model":"' + b"m" * 70_000 + b'"'], "the member `model` is over 65536 bytes"),
        ([b"'stream':true"], NO_OBJECT),
    ],
)
def test_the_faults_of_a_small_body_are_those_of_a_large_one(
    texts: list[bytes], fault: str
) -> None:
    """A body is not clearer for being too large to be read whole."""
    assert read(large(*texts)).fault == fault
    assert read_body(None, large(*texts), "").fault is None


def test_reading_a_large_body_takes_little_memory() -> None:
    """Millions of lists, which would take fifty times their text, are stepped over."""
    body = large(b'"model":"m"', b'"b":[' + b"[]," * (2 << 20) + b"0]")
    tracemalloc.start()
    assert read(body).content == {"model": "m"}
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < len(body) + (8 << 20)
