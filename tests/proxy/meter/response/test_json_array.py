"""The reader of JSON arrays."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.proxy.meter.response.json_array import ArrayReader
from cab.proxy.meter.response.large_body import LargeBody
from tests.proxy.meter.drive import bytewise, slicings

TABLE: list[tuple[bytes, list[bytes]]] = [
    (b"[]", []),
    (b'[{"a":1}]', [b'{"a":1}']),
    (b'[{"a":[{"b":{}}]}\n,\r\n{}]', [b'{"a":[{"b":{}}]}', b"{}"]),
    (rb'[{"a":"]}[{\"\\"},{"b":"\\\""}]', [rb'{"a":"]}[{\"\\"}', rb'{"b":"\\\""}']),
    (b'["{}", 1, {"a":1}]', [b'{"a":1}']),
    (b"[[1,{}],{}]", [b"[1,{}]", b"{}"]),
    (b'[{"a":1},{"b":', [b'{"a":1}']),
    (b"]]}[{}", [b"{}"]),
]


@pytest.mark.parametrize(("text", "parts"), TABLE)
def test_arrays_are_cut_into_their_parts(text: bytes, parts: list[bytes]) -> None:
    """Whole, cut anywhere and byte by byte, an array gives the same parts."""
    cuts = [[text[:cut], text[cut:]] for cut in range(len(text))]
    for chunks in ([text], bytewise(text), *cuts):
        reader = ArrayReader(1000)
        assert [part for chunk in chunks for part in reader.feed(chunk)] == parts


@given(st.data())
def test_json_arrays_come_back_whole(data: st.DataObject) -> None:
    """The parts of any array of objects parse to the objects, in any slicing."""
    inner = st.recursive(
        st.text(max_size=5),
        lambda more: st.lists(more, max_size=3) | st.dictionaries(st.text(max_size=2), more),
        max_leaves=8,
    )
    values = data.draw(
        st.lists(st.dictionaries(st.text(max_size=3), inner, max_size=3), max_size=3)
    )
    text = json.dumps(values).encode()
    reader = ArrayReader(1 << 20)
    parts = [part for chunk in data.draw(slicings(text)) for part in reader.feed(chunk)]
    assert [json.loads(part) for part in parts if isinstance(part, bytes)] == values
    assert reader.closed


def test_open_brackets_and_strings_are_known() -> None:
    """Before its last bracket an array is not closed."""
    reader = ArrayReader(100)
    reader.feed(b'[{"a')
    assert not reader.closed
    reader.feed(b'"}]')
    assert reader.closed


def test_of_a_part_over_the_limit_the_ends_are_kept() -> None:
    """It is given out as such, and the next ones as they are, in every slicing."""
    text = b'[{},{"a":"0123456789"},{}]'
    for chunks in ([text], bytewise(text), [text[:10], text[10:]]):
        reader = ArrayReader(10)
        before, large, behind = (part for chunk in chunks for part in reader.feed(chunk))
        assert (before, behind) == (b"{}", b"{}")
        assert isinstance(large, LargeBody)
        assert large.closed
