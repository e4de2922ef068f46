"""Anthropic messages beyond the recorded ones."""

import pytest

from cab.proxy.meter import Usage
from tests.proxy.meter.drive import JSON, event, events, outcome_of, started

PATH = "/v1/messages"
START = b'{"type":"message_start","message":{"id":"m","content":[],"usage":{"input_tokens":5,"cache_read_input_tokens":7,"output_tokens":1}}}'


def test_cumulative_deltas_count_once_and_keep_the_cache() -> None:
    """The last `message_delta` stands; what it does not repeat stays from `message_start`."""
    stream = events(
        START,
        b'{"type":"message_delta","delta":{},"usage":{"output_tokens":10}}',
        b'{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":25,"input_tokens":null}}',
        b'{"type":"message_stop"}',
    )
    outcome = outcome_of(PATH, stream)
    assert outcome.usage == Usage(12, 25, 37, 7)
    assert outcome.usage_raw == {
        "input_tokens": 5,
        "cache_read_input_tokens": 7,
        "output_tokens": 25,
    }
    assert outcome.finish_reason == "end_turn"
    assert outcome.tool_calls == 0


def test_a_delta_may_correct_the_prompt() -> None:
    """An endpoint that learns its prompt count late reports it in `message_delta`."""
    delta = b'{"type":"message_delta","delta":{"stop_reason":"x"},"usage":{"input_tokens":9,"output_tokens":2}}'
    assert outcome_of(PATH, events(START, delta)).usage == Usage(16, 2, 18, 7)


def test_a_broken_stream_has_the_prompt_and_is_partial() -> None:
    """After `message_start` alone the prompt is exact and the completion is not yet."""
    meter = started(PATH)
    meter.feed(event(START, b"message_start"), 1)
    meter.cut()
    outcome = meter.outcome()
    assert outcome.usage == Usage(12, 1, 13, 7)
    assert outcome.usage_status == "partial"
    assert not outcome.complete


@pytest.mark.parametrize(
    "block",
    [
        b'{"type":"text","text":"x"}',
        b'{"type":"redacted_thinking","data":"x"}',
        b'{"type":"tool_use","name":"f","input":{}}',
        b'{"type":"tool_use","input":{"a":1}}',
    ],
)
def test_a_block_that_starts_with_something_is_a_first_delta(block: bytes) -> None:
    """Text, redacted thinking and a tool's name in a block's start are something delivered."""
    outcome = outcome_of(PATH, event(b'{"type":"content_block_start","content_block":%s}' % block))
    assert outcome.first_delta_ns == 7
    assert outcome.tool_calls == (1 if b"tool_use" in block else 0)


def test_a_signature_is_not_a_delta() -> None:
    """The signature of a thinking block is not generated text."""
    delta = b'{"type":"content_block_delta","delta":{"type":"signature_delta","signature":"x"}}'
    assert outcome_of(PATH, event(delta)).first_delta_ns is None


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b'{"type":"error","error":{"type":"overloaded_error","message":"m"}}', b"error"),
        (b'{"error":{"type":"overloaded_error","message":"m"}}', b""),
        (b'{"message":"m","status":"overloaded_error"}', b"error"),
    ],
)
def test_an_error_event_is_kept(data: bytes, name: bytes) -> None:
    """An error in mid-stream is the call's error, and the first one stands."""
    stream = event(START) + event(data, name) + event(b'{"error":{"type":"later"}}')
    outcome = outcome_of(PATH, stream)
    assert outcome.error == ("overloaded_error", "m")
    assert not outcome.complete


def test_usage_that_is_not_an_object_is_named() -> None:
    """A usage of the wrong type is unknown and named."""
    outcome = outcome_of(PATH, b'{"id":"m","content":[],"usage":"12"}', JSON)
    assert outcome.usage is None
    assert outcome.unmetered == "usage is not an object"


def test_a_rejected_request_has_an_error() -> None:
    """Anthropic's error body gives class and message."""
    body = b'{"type":"error","error":{"type":"not_found_error","message":"model: x"}}'
    outcome = outcome_of(PATH, body, JSON)
    assert outcome.error == ("not_found_error", "model: x")
    assert outcome.tool_calls is None
