"""Which bytes of a stream wait, and which never leave."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.proxy.meter import Outcome
from tests.proxy.meter.drive import CHAT, DONE, bytewise, drive, event, events, slicings, started
from tests.proxy.meter.recorded import RECORDED

ASKED = b'{"stream":true,"stream_options":{"include_usage":true}}'
TEXT = b'{"id":"a","choices":[{"index":0,"delta":{"content":"x"}}],"usage":null}'
BARE = b'{"id":"a","choices":[{"index":0,"delta":{"content":"x"}}]}'
LAST = b'{"id":"a","choices":[{"index":0,"delta":{"content":"y"}}],"usage":{"completion_tokens":2}}'
USAGE = b'{"id":"a","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}'


def test_what_was_not_asked_for_does_not_reach_the_client() -> None:
    """Injected usage goes: the chunk with usage alone, and the null in all others."""
    stream = events(TEXT, LAST, USAGE) + DONE
    driven = drive(started(), [stream])
    assert driven.early == events(BARE, LAST)
    assert driven.late == DONE
    assert driven.outcome.usage is not None
    assert driven.outcome.usage.prompt_tokens == 1


def test_a_client_that_asked_gets_everything() -> None:
    """With its own `include_usage` a client sees the stream as it is."""
    stream = events(TEXT, USAGE) + DONE
    assert drive(started(body=ASKED), [stream]).sent == stream


def test_a_recorded_stream_loses_only_usage() -> None:
    """Over OpenAI's real shapes, with umlauts, U+2028 and lookalikes, only usage is gone."""
    answer = next(recorded.answer for recorded in RECORDED if recorded.file == "chat-openai.sse")
    expected = re.sub(rb'data: \{[^\n]*"choices":\[\][^\n]*\n\n', b"", answer)
    expected = expected.replace(b',"usage":null,"obf', b',"obf')
    assert expected.count(b"usage") == 1
    assert drive(started(), bytewise(answer)).sent == expected


@pytest.mark.parametrize("eol", [b"\n", b"\r\n", b"\r"])
def test_every_line_end_is_taken_out_with_its_event(eol: bytes) -> None:
    """Cut anywhere, also within a CRLF, the client gets the same bytes."""
    stream = (b": ping\n\n" + events(TEXT, USAGE, TEXT) + DONE).replace(b"\n", eol)
    expected = (b": ping\n\n" + events(BARE, BARE) + DONE).replace(b"\n", eol)
    for cut in range(len(stream)):
        assert drive(started(), [stream[:cut], stream[cut:]]).sent == expected
    assert drive(started(), bytewise(stream)).sent == expected


def test_whole_events_leave_when_usage_is_filtered() -> None:
    """With injection nothing of an event leaves before its blank line, comments leave at once."""
    meter = started()
    assert meter.feed(b": keep-", 1).data == b": keep-"
    assert meter.feed(b"alive\n", 1).data == b"alive\n"
    assert meter.feed(b"data: " + BARE[:9], 1).data == b""
    assert meter.feed(BARE[9:] + b"\n", 1).data == b""
    assert meter.feed(b"\nda", 1).data == event(BARE)
    assert meter.cut() == b"da"


def test_bytes_leave_as_they_come_when_nothing_is_filtered() -> None:
    """Without injection even half a line leaves at once."""
    meter = started(inject_usage=False)
    stream = b": c\n\n" + event(BARE)
    for byte in bytewise(stream[: stream.index(b"data")]):
        assert meter.feed(byte, 1).data == byte
    assert meter.feed(b"data: {", 1).data == b"data: {"
    assert meter.feed(BARE[1:] + b"\n", 1).data == BARE[1:] + b"\n"
    assert meter.feed(b"\n", 1).data == b"\n"


def test_an_event_of_several_lines_is_never_altered() -> None:
    """Data in several lines pass raw, whole or in pieces, so that streaming goes on."""
    stream = b'data: {"choices":[],\ndata: "usage":{"prompt_tokens":1}}\n\n' + DONE
    driven = drive(started(), [stream])
    assert driven.sent == stream
    assert driven.outcome.usage is not None
    meter = started()
    assert meter.feed(b"data: {}\n", 1).data == b""
    assert meter.feed(b"data: {}\n", 1).data == b"data: {}\ndata: {}\n"


def test_an_event_over_the_limit_is_never_altered() -> None:
    """An event too large to be understood passes as it comes."""
    big = b'{"choices":[],"usage":{"prompt_tokens":1},"x":"' + b"x" * 200 + b'"}'
    stream = event(big) + b"id: " + b"y" * 200 + b"\n" + event(USAGE) + DONE
    for chunks in ([stream], bytewise(stream)):
        driven = drive(started(capture_limit_bytes=100), chunks)
        assert driven.sent == stream
        assert driven.outcome.usage is not None


@pytest.mark.parametrize(
    "tail", [b"data: [DONE]\n\n", b"data:[DONE]\r\n\r\n", b"data: [DONE]", b"data: [DONE]\n"]
)
def test_the_end_waits_from_the_start_of_its_line(tail: bytes) -> None:
    """`[DONE]` is kept inside from its first byte, also where its line or blank line is missing."""
    stream = event(BARE)
    for chunks in ([stream + tail], [stream, tail], bytewise(stream + tail)):
        driven = drive(started(inject_usage=False), chunks)
        assert (driven.early, driven.late, driven.terminals) == (stream, tail, 1)
        assert driven.outcome.complete


def test_a_line_that_only_begins_like_the_end_goes_on() -> None:
    """A partial line is kept back only until it is decided."""
    meter = started(inject_usage=False)
    assert meter.feed(b"data: [DO", 1).data == b""
    assert meter.feed(b"UBT]", 1).data == b"data: [DOUBT]"
    meter = started("/v1/responses", inject_usage=False)
    assert meter.feed(b"event: response.", 1).data == b""
    assert meter.feed(b"created\n", 1).data == b"event: response.created\n"


@pytest.mark.parametrize(
    ("path", "kind", "data"),
    [
        ("/v1/responses", b"response.completed", b'{"type":"response.completed","response":{}}'),
        ("/v1/responses", b"response.incomplete", b'{"type":"response.incomplete","response":{}}'),
        ("/v1/responses", b"response.failed", b'{"type":"response.failed","response":{}}'),
        ("/v1/messages", b"message_stop", b'{"type":"message_stop"}'),
    ],
)
def test_typed_ends_wait_with_and_without_a_name(path: str, kind: bytes, data: bytes) -> None:
    """The terminal event is kept inside from its start, or from its line if it has no name."""
    before = event(b'{"type":"ping"}', b"ping")
    for end in (event(data, kind), event(data)):
        for chunks in ([before + end], [before, end], [before, end[:-1], end[-1:]]):
            driven = drive(started(path), chunks)
            assert (driven.early, driven.late, driven.terminals) == (before, end, 1)
    driven = drive(started(path), bytewise(before + event(data, kind)))
    assert (driven.early, driven.late) == (before, event(data, kind))
    # Without a name the line tells only once it is whole, so its blank line is what waits.
    driven = drive(started(path), bytewise(before + event(data)))
    assert driven.sent == before + event(data)
    assert driven.late.endswith(b"\n\n")


def test_text_that_speaks_of_the_end_is_not_the_end() -> None:
    """A delta whose text names a terminal event waits for its blank line and then passes."""
    data = b'{"type":"response.output_text.delta","delta":"see response.completed"}'
    meter = started("/v1/responses")
    assert meter.feed(b"data: " + data + b"\n", 1).data == b""
    assert meter.feed(b"\n", 1) == (event(data), False)
    named = b"event: response.output_text.delta\ndata: " + data + b"\n"
    assert meter.feed(named, 1).data == named


def test_an_event_that_came_to_nothing_does_not_taint_the_next() -> None:
    """A terminal name without data does not end the answer, and what follows passes."""
    meter = started("/v1/messages")
    assert meter.feed(b"event: message_stop\n", 1).data == b""
    assert meter.feed(b"\n", 1).data == b"event: message_stop\n\n"
    assert meter.feed(b"data: {}\n", 1).data == b"data: {}\n"


def test_after_the_end_bytes_are_kept_until_release_and_then_pass() -> None:
    """What follows the terminal event is counted, kept with it, and passes once it is released."""
    meter = started(inject_usage=False)
    assert meter.feed(event(BARE) + DONE + b": x\n\n", 1) == (event(BARE), True)
    assert meter.feed(event(USAGE), 2) == (b"", False)
    assert meter.release() == DONE + b": x\n\n" + event(USAGE)
    assert meter.feed(DONE, 3) == (DONE, False)
    assert meter.finish(4) == (b"", False)
    assert meter.release() == b""
    outcome = meter.outcome()
    assert outcome.usage is not None
    assert outcome.last_byte_ns == 3
    assert outcome.response_bytes == len(event(BARE) + DONE + b": x\n\n" + event(USAGE) + DONE)


def test_release_before_the_end_lets_nothing_slip() -> None:
    """A release that comes too early lets nothing out."""
    meter = started(inject_usage=False)
    assert meter.release() == b""
    assert meter.feed(DONE, 1) == (b"", True)
    assert meter.feed(b": x\n\n", 1) == (b"", False)
    assert meter.release() == DONE + b": x\n\n"


def test_without_hold_nothing_waits() -> None:
    """With `hold_terminal=False` the end passes as it comes and is still reported."""
    meter = started(inject_usage=False, hold_terminal=False)
    assert meter.feed(b"data: [DONE]", 1) == (b"data: [DONE]", False)
    assert meter.feed(b"\n\n", 1) == (b"\n\n", True)
    assert meter.feed(b": x", 1) == (b": x", False)
    assert meter.release() == b""


def test_a_cut_gives_out_what_was_inside() -> None:
    """A stream that breaks off is passed on as truncated; nothing is invented or lost."""
    meter = started()
    assert meter.feed(event(BARE) + b"data: " + USAGE[:30], 1).data == event(BARE)
    assert meter.cut() == b"data: " + USAGE[:30]
    assert not meter.outcome().complete
    assert meter.outcome().unmetered is None
    meter = started()
    meter.feed(b"data: " + USAGE, 1)
    assert meter.cut() == b""
    assert meter.outcome().usage is not None
    meter = started()
    meter.feed(event(BARE) + DONE, 1)
    assert meter.cut() == DONE
    assert meter.outcome().complete


def test_every_chunk_leaves_before_the_next_comes() -> None:
    """Fed one event per chunk, each event leaves with its own chunk."""
    answer = next(recorded for recorded in RECORDED if recorded.file == "messages.sse").answer
    meter = started("/v1/messages")
    chunks = [chunk + b"\n\n" for chunk in answer.split(b"\n\n")[:-1]]
    assert [meter.feed(chunk, 1).data for chunk in chunks] == [*chunks[:-1], b""]


PIECES = st.sampled_from(
    [
        *(event(TEXT), event(BARE), event(USAGE), event(LAST), event(b'{"error":"e"}'), DONE),
        *(event(TEXT).replace(b"\n", b"\r\n"), event(USAGE).replace(b"\n", b"\r\n")),
        *(b": c\n\n", b": c\n", b"\n", b"\r", b"event: x\n", b"data: x\n", b"id: 1\n", b"data: {"),
        b"\xef\xbb\xbf",
    ]
)


@given(st.data(), st.booleans(), st.booleans())
def test_streams_of_odd_pieces_are_the_same_in_any_slicing(
    data: st.DataObject, hold: bool, end: bool
) -> None:
    """Well-formed and odd pieces in any order and slicing give the same bytes and outcome."""
    stream = b"".join(data.draw(st.lists(PIECES, max_size=12)))
    limit_bytes = data.draw(st.sampled_from((90, 9999)))

    def metered(chunks: list[bytes]) -> tuple[bytes, Outcome]:
        meter = started(CHAT, hold_terminal=hold, capture_limit_bytes=limit_bytes)
        if end:
            driven = drive(meter, chunks)
            return driven.sent, driven.outcome
        sent = b"".join(meter.feed(chunk, 7).data for chunk in chunks) + meter.cut()
        return sent, meter.outcome()

    assert metered(data.draw(slicings(stream))) == metered([stream])
