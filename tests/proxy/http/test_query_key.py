import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.proxy.http.query_key import query_key, without_query_key


@pytest.mark.parametrize(
    ("target", "key", "rest"),
    [
        ("/m?key=abc", "abc", "/m"),
        ("/m?alt=sse&key=abc&x=%2f", "abc", "/m?alt=sse&x=%2f"),
        ("/m?%6Bey=a%2Bb", "a+b", "/m"),
        ("/m?key=&key=two&k", "two", "/m?k"),
        ("/m?key", None, "/m"),
        ("/m?Key=abc&monkey=1", None, "/m?Key=abc&monkey=1"),
        ("/m?", None, "/m?"),
        ("/key=abc", None, "/key=abc"),
    ],
)
def test_the_key_is_found_and_taken_out(target: str, key: str | None, rest: str) -> None:
    """The parameter is found in any spelling, and the rest of the target stays as it is."""
    assert query_key(target) == key
    assert without_query_key(target) == rest


@given(st.text("k&=?%e6By0"))
def test_nothing_is_left(target: str) -> None:
    """No query holds a key after it was taken out."""
    rest = without_query_key(target)
    assert query_key(rest) is None
    assert without_query_key(rest) == rest
