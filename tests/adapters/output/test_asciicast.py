"""Terminal sessions as asciicast v2."""

from pathlib import Path
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from cab.adapters.output.asciicast import CastWriter, TerminalText


def lines_of(path: Path) -> list[Any]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def test_form(tmp_path: Path) -> None:
    """A header with size, time and environment, then an event for each piece of output."""
    cast = CastWriter(tmp_path / "c", title="a cell", timestamp_s=1_700_000_000, term="dumb")
    cast.output(0.5, "hello\r\n")
    cast.output(0.7500001, "")
    cast.output(1.2345678, "\x1b[1mbye")
    cast.close()

    header, *events = lines_of(tmp_path / "c")
    assert header == {
        "version": 2,
        "width": 120,
        "height": 40,
        "timestamp": 1_700_000_000,
        "title": "a cell",
        "env": {"SHELL": "/bin/sh", "TERM": "dumb"},
    }
    assert events == [[0.5, "o", "hello\r\n"], [1.234568, "o", "\x1b[1mbye"]]


def test_cut(tmp_path: Path) -> None:
    """Past its limit a recording ends with a marker, once."""
    cast = CastWriter(tmp_path / "c", title="t", timestamp_s=0, term="dumb", limit_bytes=5)
    for at_s in range(4):
        cast.output(at_s, "abc")
    cast.close()

    assert lines_of(tmp_path / "c")[1:] == [
        [0, "o", "abc"],
        [1, "m", "cab: the recording is cut here"],
    ]


def test_newlines() -> None:
    """A carriage return is added to a line feed, but not twice, also where the two are split."""
    text = TerminalText()

    assert text.feed(b"a\nb\r\nc\r") == "a\r\nb\r\nc\r"
    assert text.feed(b"\n\n") == "\n\r\n"


@given(st.text(), st.lists(st.integers(0, 40)))
def test_split_anywhere(whole: str, cuts: list[int]) -> None:
    """However the bytes are cut, the text comes out the same."""
    data = whole.encode()
    text, out, begin = TerminalText(), "", 0
    for cut in [*sorted(cuts), len(data)]:
        out += text.feed(data[begin:cut])
        begin = max(begin, cut)
    out += text.feed(b"", last=True)

    assert out == TerminalText().feed(data, last=True)
    assert out.replace("\r\n", "\n") == whole.replace("\r\n", "\n")


def test_no_text() -> None:
    """Bytes that are not UTF-8 show as replacement characters."""
    text = TerminalText()

    assert text.feed(b"a\xff\xe2\x82") == "a\ufffd"
    assert text.feed(b"", last=True) == "\ufffd"
