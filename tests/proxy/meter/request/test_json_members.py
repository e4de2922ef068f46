"""Finding the members of an object in its text."""

import json

from hypothesis import given
from hypothesis import strategies as st

from cab.proxy.meter.request.json_members import members


def values_of(text: bytes) -> list[tuple[str, bytes]]:
    return [(member.name, text[member.value_start : member.value_end]) for member in members(text)]


def test_members_are_found_with_their_values() -> None:
    """Names are unescaped, values keep their bytes without the white space around them."""
    text = rb' { "a" : 1 , "b\u0020\"c":{"a":[2,{"d":3}]},"a":"x,}\"{" ,"e": [ ] } '
    assert values_of(text) == [
        ("a", b"1"),
        ('b "c', b'{"a":[2,{"d":3}]}'),
        ("a", rb'"x,}\"{"'),
        ("e", b"[ ]"),
    ]


def test_an_empty_object_has_no_members() -> None:
    """Neither with nor without white space."""
    assert members(b"{}") == members(b" { } ") == []


@given(
    st.dictionaries(
        st.text(),
        st.recursive(
            st.none() | st.integers() | st.text(),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
            ),
            max_leaves=8,
        ),
        max_size=4,
    ),
    st.sampled_from(((",", ":"), (" , ", " : "), (",\n", ":\t"))),
)
def test_every_member_is_found(content: dict[str, object], separators: tuple[str, str]) -> None:
    """For any object in any layout the members' spans hold exactly its values."""
    text = json.dumps(content, separators=separators).encode()
    found = [(name, json.loads(value)) for name, value in values_of(text)]
    assert found == list(content.items())
