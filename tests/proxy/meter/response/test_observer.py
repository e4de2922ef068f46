"""Reading answers under right and wrong names."""

import pytest

from cab.proxy.meter import Usage
from cab.proxy.meter.response.observer import is_event_stream
from tests.proxy.meter.drive import (
    CHAT,
    CHUNK,
    DONE,
    JSON,
    SSE,
    USAGE,
    bytewise,
    drive,
    event,
    outcome_of,
    started,
)
from tests.proxy.meter.recorded import GEMINI_STREAM

BODY = (
    b'{"choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":1,"completion_tokens":2}}'
)


@pytest.mark.parametrize(
    ("content_type", "first", "events"),
    [
        (SSE, b"d", True),
        (SSE, b"\xef", True),
        (SSE, b"{", False),
        (SSE, b"[", False),
        (SSE, b"<", False),
        ("", b"d", True),
        ("text/plain", b":", True),
        ("application/octet-stream", b"e", True),
        ("", b"{", False),
        ("", b"x", False),
        ("application/json", b"d", False),
        ("text/html", b"e", False),
    ],
)
def test_a_stream_is_known_by_its_name_and_its_first_byte(
    content_type: str, first: bytes, events: bool
) -> None:
    """The header decides, unless the first byte contradicts it or the header does not say."""
    assert is_event_stream(content_type, first) is events


@pytest.mark.parametrize("kind", [SSE, f"{JSON}; charset=utf-8", "", "text/plain"])
@pytest.mark.parametrize(
    "answer",
    [
        BODY,
        b"\r\n \t" + BODY,
        event(CHUNK) + event(USAGE) + DONE,
        CHUNK + b"\n" + USAGE + b"\n",
        b"data: " + CHUNK + b"\ndata: " + USAGE + b"\ndata: [DONE]\n",
    ],
)
def test_an_answer_is_understood_under_any_name(kind: str, answer: bytes) -> None:
    """Objects, events, JSON lines and events without blank lines count whatever the header says."""
    for chunks in ([answer], bytewise(answer)):
        driven = drive(started(content_type=kind, inject_usage=False), chunks)
        assert driven.sent == answer
        assert driven.outcome.usage == Usage(1, 2, 3)
        assert driven.outcome.completion_texts == ["x"]
        assert driven.outcome.complete
        assert driven.outcome.unmetered is None


@pytest.mark.parametrize(
    ("answer", "kind", "reason"),
    [
        (b"", JSON, "the answer is empty"),
        (b" \n", JSON, "the answer is empty"),
        (b"<html>", "text/html", "the answer is not a JSON object (text/html)"),
        (b"<html>", SSE, "the answer is not a JSON object (text/event-stream)"),
        (b"no", "", "the answer is not a JSON object (no content type)"),
        (b'"text"', JSON, "the answer is not a JSON object (application/json)"),
        (b'{"a":', JSON, "the answer is not a JSON object (application/json)"),
        (b"error", "text/plain", "the answer holds nothing that its dialect knows"),
        (b"{}", JSON, "the answer holds nothing that its dialect knows"),
        (b": c\n\n", SSE, "the answer holds nothing that its dialect knows"),
        (b"[]", JSON, "the answer is an array without objects"),
        (b"[{a}]", JSON, "a part of the answer's array is not a JSON object"),
        (b"data: x\n\ndata: \n\n", SSE, "an event of the stream is not a JSON object"),
    ],
)
def test_what_is_not_understood_is_named(answer: bytes, kind: str, reason: str) -> None:
    """An answer from which nothing could be read says why, and is passed on."""
    driven = drive(started(content_type=kind), [answer] if answer else [])
    assert driven.sent == answer
    assert (driven.outcome.unmetered or "").startswith(reason)
    assert driven.outcome.usage is None


def test_noise_beside_usage_does_not_matter() -> None:
    """A malformed event is not worth a warning where the endpoint's own count came."""
    outcome = outcome_of(CHAT, event(b"{oops") + event(CHUNK) + event(USAGE))
    assert outcome.usage == Usage(1, 2, 3)
    assert outcome.unmetered is None


def test_a_body_over_the_limit_is_named_and_passes() -> None:
    """A body too large to be kept is passed on, and memory stays bounded."""
    meter = started(content_type=JSON, capture_limit_bytes=50)
    driven = drive(meter, [BODY, BODY])
    assert driven.sent == BODY + BODY
    assert driven.outcome.unmetered == "the answer is over 50 bytes or 262144 values"
    assert not driven.outcome.complete


def test_a_part_over_the_limit_is_named() -> None:
    """A part of an array too large to be kept is named."""
    meter = started(GEMINI_STREAM, content_type=JSON, capture_limit_bytes=20)
    outcome = drive(meter, [b'[{"a":"' + b"x" * 30 + b'"}]']).outcome
    assert outcome.unmetered is not None
    assert outcome.unmetered.startswith("a part of the answer's array is over the limit")


def test_an_event_over_the_limit_ends_the_answer_by_its_name() -> None:
    """A terminal event too large to be read still ends the answer, and says what was lost."""
    big = event(b'{"type":"response.completed","x":"' + b"x" * 90 + b'"}', b"response.completed")
    driven = drive(started("/v1/responses", capture_limit_bytes=60), [big])
    assert driven.outcome.complete
    assert driven.outcome.unmetered is not None
    assert driven.outcome.unmetered.startswith("an event of the stream is over the limit")
    assert (driven.early, driven.late) == (b"", big)


def test_a_body_that_breaks_off_is_not_complete_yet_its_usage_counts() -> None:
    """A body that parses counts although the connection broke; one that does not is named."""
    meter = started(content_type=JSON)
    meter.feed(BODY, 1)
    assert meter.cut() == b""
    assert meter.outcome().usage == Usage(1, 2, 3)
    assert not meter.outcome().complete
    meter = started(content_type=JSON)
    meter.feed(BODY[:-4], 1)
    meter.cut()
    assert (
        meter.outcome().unmetered == "the answer is not a JSON object (application/json, cut off)"
    )


def test_parts_of_an_array_have_their_times() -> None:
    """The first part with text gives the time of the first delta, while the array is still open."""
    meter = started(GEMINI_STREAM, content_type=JSON)
    meter.feed(b"[", 1)
    meter.feed(b'{"candidates":[{"content":{"parts":[{"text":"x"}]}}]}', 2)
    meter.feed(b',{"candidates":[{"finishReason":"STOP"}]}', 3)
    assert meter.outcome().first_delta_ns == 2
    assert meter.cut() == b""
    assert not meter.outcome().complete


def test_an_array_that_is_not_closed_is_not_complete() -> None:
    """A clean end in the middle of an array completes nothing."""
    answer = b'[{"candidates":[{"finishReason":"STOP"}]}'
    assert not outcome_of(GEMINI_STREAM, answer, JSON).complete
    assert outcome_of(GEMINI_STREAM, answer + b"]", JSON).complete
