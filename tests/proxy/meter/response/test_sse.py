"""The reader of server-sent events: one table, fed whole, cut everywhere and byte by byte."""

from typing import SupportsIndex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.proxy.meter.response.sse import MAX_LINES, SseEvent, SseReader
from tests.proxy.meter.drive import bytewise, slicings

LIMIT = 1 << 20

# bytes of a stream, and the (name, data) of the events that it dispatches
TABLE: list[tuple[bytes, list[tuple[bytes, bytes]]]] = [
    (b"", []),
    (b"\n\n\n", []),
    (b"data: a\n\n", [(b"", b"a")]),
    (b"data:a\n\n", [(b"", b"a")]),
    (b"data:  a \n\n", [(b"", b" a ")]),
    (b"data: a\r\n\r\n", [(b"", b"a")]),
    (b"data: a\r\rdata: b\r\r", [(b"", b"a"), (b"", b"b")]),
    (b"data: a\r\n\ndata: b\n\r\n", [(b"", b"a"), (b"", b"b")]),
    (b"data: a\ndata: b\n\n", [(b"", b"a\nb")]),
    (b"data\ndata\n\n", [(b"", b"\n")]),
    (b"data:\n\n", [(b"", b"")]),
    (b"data\n\n", [(b"", b"")]),
    (b"event: x\n\n", []),
    (b"event: x\ndata: a\n\ndata: b\n\n", [(b"x", b"a"), (b"", b"b")]),
    (b"event:x\nevent: y\ndata: a\n\n", [(b"y", b"a")]),
    (b"event: x\nevent\ndata: a\n\n", [(b"", b"a")]),
    (b"event: x\n\ndata: a\n\n", [(b"", b"a")]),
    (b": keep-alive\n\ndata: a\n:b\ndata: c\n\n", [(b"", b"a\nc")]),
    (b": OPENROUTER PROCESSING\n\n", []),
    (b"id: 7\nretry: 10\nnonsense\nother: field\ndata: a\n\n", [(b"", b"a")]),
    (b" data: a\n\n", []),
    (b"\xef\xbb\xbfdata: a\n\n", [(b"", b"a")]),
    (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", []),
    (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [(b"", b"a")]),
    (
        "data: \u2028\u2029\x85\x0b\x0c\x1c\n\n".encode(),
        [(b"", "\u2028\u2029\x85\x0b\x0c\x1c".encode())],
    ),
    ("data: Grüße 🚀\n\n".encode(), [(b"", "Grüße 🚀".encode())]),
    (b"data: \x00\xff\n\n", [(b"", b"\x00\xff")]),
    (b"data: a: b\n\n", [(b"", b"a: b")]),
]

# bytes of a stream whose end comes before a blank line, and the (name, data) of what it leaves
UNFINISHED: list[tuple[bytes, tuple[bytes, bytes] | None]] = [
    (b"data: a", (b"", b"a")),
    (b"data: a\n", (b"", b"a")),
    (b"data: a\r", (b"", b"a")),
    (b"event: x\ndata: a\nda", (b"x", b"a")),
    (b"event: x\ndata", (b"x", b"")),
    (b"event: x", None),
    (b": comment", None),
    (b"\xef\xbb\xbf", None),
    (b"data: a\n\n", None),
]


Reading = tuple[list[SseEvent], SseEvent | None]


def said(reading: Reading) -> list[object]:
    """Return a reading without the one thing that may differ: who gets the LF of a cut CRLF."""
    events, last = reading
    ended = [event._replace(end=0) for event in events]
    return [e and (*e[:-1], e.large and e.large.members()) for e in (*ended, last)]


def read(chunks: list[bytes], limit: int = LIMIT) -> Reading:
    reader = SseReader(limit)
    events = [event for chunk in chunks for event in reader.feed(chunk)]
    return events, reader.finish()


@pytest.mark.parametrize(("stream", "events"), TABLE)
def test_streams_hold_the_events_of_the_standard(
    stream: bytes, events: list[tuple[bytes, bytes]]
) -> None:
    """Fed whole, cut at every place, or byte by byte, a stream holds the same events."""
    whole = read([stream])
    assert [(event.name, event.data) for event in whole[0]] == events
    assert all(event.closed and not event.oversized for event in whole[0])
    assert said(read(bytewise(stream))) == said(whole)
    for cut in range(len(stream)):
        assert said(read([stream[:cut], b"", stream[cut:]])) == said(whole)


@pytest.mark.parametrize(("stream", "left"), UNFINISHED)
def test_an_event_without_its_blank_line_is_flagged(
    stream: bytes, left: tuple[bytes, bytes] | None
) -> None:
    """The end of the stream gives out what has begun, marked as not closed."""
    for chunks in ([stream], bytewise(stream)):
        last = read(chunks)[1]
        assert (None if last is None else (last.name, last.data)) == left
        assert last is None or not last.closed


def test_offsets_point_at_the_raw_event() -> None:
    """An event's offsets enclose its first field line and its blank line, and nothing else."""
    stream = b": c\n\nevent: x\r\n: c\r\ndata: a\r\n\r\n\r\ndata: b\n\n"
    for chunks in ([stream], bytewise(stream)):
        events, _ = read(chunks)
        raws = [stream[event.start : event.end] for event in events]
        # Fed byte by byte, the blank line ends with its CR; the LF after it belongs to no event.
        assert raws[0].rstrip(b"\r\n") == b"event: x\r\n: c\r\ndata: a"
        assert raws[0].endswith(b"\r\n\r") or raws[0].endswith(b"\r\n\r\n")
        assert raws[1] == b"data: b\n\n"


def test_a_cr_at_the_end_of_a_chunk_ends_the_line_at_once() -> None:
    """A lone CR dispatches without waiting for an LF that may never come."""
    reader = SseReader(LIMIT)
    assert [event.data for event in reader.feed(b"data: a\r\r")] == [b"a"]
    assert reader.after_cr
    assert reader.feed(b"\n") == []
    assert reader.open_at == reader.offset == 10
    assert [event.data for event in reader.feed(b"data: b\n\n")] == [b"b"]


@given(st.data())
def test_any_slicing_gives_the_same_events(data: st.DataObject) -> None:
    """Random streams made of the standard's own pieces read the same in every slicing."""
    pieces = st.sampled_from(
        (b"data: ", b"data", b"event: ", b":", b"\r", b"\n", b"\r\n", b"x", b"\xef\xbb\xbf", b" ")
    )
    stream = b"".join(data.draw(st.lists(pieces, max_size=30)))
    limit = data.draw(st.sampled_from((LIMIT, 8)))
    whole, sliced = read([stream], limit), read(data.draw(slicings(stream)), limit)
    assert said(sliced) == said(whole)


@pytest.mark.parametrize(
    "stream",
    [
        b"event: x\ndata: 123456789\n\n",
        b"event: x\ndata: 1234\ndata: 1234\n\n",
        b"event: x\ndata: 1\ndata: 123456789\ndata: 1\n\n",
    ],
)
def test_an_event_over_the_limit_keeps_its_name_and_loses_its_data(stream: bytes) -> None:
    """A line or an event over the limit is reported as oversized, in every slicing."""
    for chunks in ([stream], bytewise(stream), [stream[:14], stream[14:]]):
        events, _ = read([*chunks, b"data: b\n\n"], limit=9)
        assert [(event.name, event.data, event.oversized) for event in events] == [
            (b"x", b"", True),
            (b"", b"b", False),
        ]


def test_a_long_comment_is_not_an_event() -> None:
    """A comment over the limit leaves nothing behind."""
    for chunks in ([b":" + b"x" * 100 + b"\n\n"], bytewise(b":" + b"x" * 100 + b"\n\n")):
        assert read([*chunks, b"data: b\n\n"], limit=10)[0][0].data == b"b"


def test_the_place_where_an_event_is_open_is_known() -> None:
    """Between chunks the reader says from where on bytes belong to an event that goes on."""
    reader = SseReader(LIMIT)
    reader.feed(b"\n: ping\nda")
    assert reader.open_at == 8
    assert bytes(reader.unfinished) == b"da"
    reader.feed(b"ta: a\n: p")
    assert (reader.open_at, reader.event_start, reader.data) == (8, 8, [b"a"])
    reader.feed(b"\n\n: pi")
    assert reader.open_at == reader.offset


class Watched(bytes):
    """Bytes that count how many of them are searched for a line's end."""

    searched = 0

    def find(  # type: ignore[override]
        self, sub: bytes, start: SupportsIndex
    ) -> int:
        found = super().find(sub, start)
        Watched.searched += (len(self) if found < 0 else found + 1) - int(start)
        return found


@pytest.mark.parametrize("chunk_bytes", [1, 7, 4096, 1 << 22])
def test_no_byte_is_searched_twice(chunk_bytes: int) -> None:
    """A 4 MB line costs one look at each byte, however it is sliced."""
    size = 1 << 22 if chunk_bytes > 7 else 1 << 16
    stream = b"data: " + b"x" * size + b"\n\n"
    Watched.searched = 0
    chunks = range(0, len(stream), chunk_bytes)
    events, _ = read([Watched(stream[at : at + chunk_bytes]) for at in chunks], limit=1 << 23)
    assert len(events[0].data) == size
    assert Watched.searched == len(stream)


def test_an_event_of_too_many_lines_is_oversized() -> None:
    """What reads an event does so in one step, so that its lines are bounded as its bytes are."""
    lines = b"data:x\n" * MAX_LINES
    [whole, over] = SseReader(1 << 30).feed(lines + b"\n" + lines + b"event:end\ndata:\n\n")
    assert (whole.oversized, whole.lines) == (False, MAX_LINES)
    assert (over.oversized, over.lines, over.name, over.data) == (True, MAX_LINES + 1, b"end", b"")
