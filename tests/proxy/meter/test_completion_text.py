"""The answer's own words."""

import pytest

from cab.proxy.meter.completion_text import Texts, text_of


def test_pieces_are_joined_by_key_in_order_of_their_beginning() -> None:
    """Each key has one text; surrogate pairs split over pieces come together."""
    texts = Texts(100)
    for key, piece in (("b", "1\ud83d"), ("a", "2"), ("b", "\ude003")):
        texts.add(key, piece)
    assert texts.joined() == ["1😀3", "2"]
    assert not texts.truncated


def test_beyond_the_limit_nothing_more_is_kept() -> None:
    """Memory is bounded, and the loss is marked."""
    texts = Texts(5)
    texts.add("a", "12345")
    assert not texts.truncated
    texts.add("a", "6")
    texts.add("b", "")
    assert texts.truncated
    assert texts.joined() == ["12345"]


@pytest.mark.parametrize("limit", [3, 6, 700, 10_000])
def test_many_pieces_at_once_are_as_good_as_one_after_the_other(limit: int) -> None:
    """Whatever of them is beyond the limit, and however many there are."""
    one, many = Texts(limit), Texts(limit)
    for pieces in (["a"], ["bc", "d", "efgh"], ["x"] * 300, ["y"] * 300, ["z"]):
        for piece in pieces:
            one.add("key", piece)
        many.add_all("key", pieces)
    assert (many.joined(), many.truncated) == (one.joined(), one.truncated)


def test_content_is_text_or_parts() -> None:
    """Content in parts gives the texts of its parts, thinking included; the rest has none."""
    assert text_of("a") == "a"
    assert text_of([{"type": "text", "text": "a"}, {"refusal": "b"}, {"type": "image"}, 3]) == "ab"
    assert text_of([{"thinking": [{"text": "t"}, {"text": 5}, 6]}, {"thinking": "x"}]) == "t"
    assert text_of(None) == text_of(7) == text_of({"text": "a"}) == ""
