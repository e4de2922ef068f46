import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.proxy.demo.dialects.chunks import PIECE_CHARS, answer_id, call_id, pieces_of


def test_ids_come_from_the_body_and_its_repetition() -> None:
    """The same body has the same id each time it is the n-th, and another one the next time."""
    assert answer_id(b"{}", 1) == answer_id(b"{}", 1)
    assert len({answer_id(b"{}", 1), answer_id(b"{}", 2), answer_id(b"[]", 1)}) == 3


def test_ids_begin_as_the_dialect_has_it() -> None:
    """An id is the prefix and 24 hex digits; two calls of an answer have different ones."""
    assert len(answer_id(b"{}", 1, "resp_")) == len("resp_") + 24
    assert call_id("resp_1", 0, "fc_") != call_id("resp_1", 1, "fc_")


@given(st.text(max_size=800))
def test_pieces_are_short_and_end_with_lines(text: str) -> None:
    """The pieces of a text add up to it; none is over the limit or holds parts of two lines."""
    pieces = [*pieces_of(text)]
    assert "".join(pieces) == text
    assert all(len(piece) <= PIECE_CHARS and "\n" not in piece[:-1] for piece in pieces)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("```shell\nls\n```", ["```", "shell", "\n", "ls\n", "```"]),
        ("```\r\n", ["```", "\r\n"]),
        ("say ```x\n", ["say ```x\n"]),
    ],
)
def test_fences_come_in_pieces(text: str, pieces: list[str]) -> None:
    """A fence at the start of a line, its language and the line's end are a piece each."""
    assert [*pieces_of(text)] == pieces
