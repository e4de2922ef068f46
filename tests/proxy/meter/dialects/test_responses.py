"""Responses beyond the recorded ones."""

import pytest

from cab.proxy.meter import Usage
from tests.proxy.meter.drive import JSON, event, events, outcome_of, started

PATH = "/v1/responses"


@pytest.mark.parametrize(
    ("status", "details", "finish"),
    [
        (b"completed", b"null", "completed"),
        (b"incomplete", b'{"reason":"max_output_tokens"}', "max_output_tokens"),
        (b"failed", b"null", "failed"),
        (b"cancelled", b"null", "cancelled"),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_these_events_end_a_response(
    status: bytes, details: bytes, finish: str, named: bool
) -> None:
    """Completed, incomplete, failed and cancelled end a stream, with or without an event name."""
    response = (
        b'{"status":"%s","incomplete_details":%s,"usage":{"input_tokens":3,"output_tokens":1}}'
    )
    data = b'{"type":"response.%s","response":%s}' % (status, response % (status, details))
    outcome = outcome_of(PATH, event(data, b"response." + status if named else b""))
    assert outcome.complete
    assert outcome.finish_reason == finish
    assert outcome.usage == Usage(3, 1, 4)
    assert outcome.usage_status == "complete"


def test_a_failed_response_without_an_error_is_an_error() -> None:
    """The status alone says that it failed."""
    outcome = outcome_of(PATH, b'{"id":"r","status":"failed","output":[],"error":null}', JSON)
    assert outcome.error is not None
    assert outcome.error.type == "failed"


def test_a_failed_response_keeps_its_error() -> None:
    """The error inside a failed response is the call's error."""
    data = b'{"type":"response.failed","response":{"status":"failed","error":{"code":"c","message":"m"}}}'
    assert outcome_of(PATH, event(data)).error == ("c", "m")


@pytest.mark.parametrize(
    "data",
    [
        b'{"type":"error","code":"c","message":"m","param":null}',
        b'{"type":"error","error":{"code":"c","message":"m"}}',
        b'{"error":{"code":"c","message":"m"}}',
    ],
)
def test_an_error_event_is_kept(data: bytes) -> None:
    """Flat and nested error events give class and message, and the first one stands."""
    other = b'{"type":"error","code":"other","message":"later"}'
    outcome = outcome_of(PATH, events(data, other))
    assert outcome.error == ("c", "m")
    assert not outcome.complete


def test_usage_before_the_end_is_partial() -> None:
    """A stream that breaks after a usage in passing is marked."""
    meter = started(PATH)
    meter.feed(event(b'{"type":"response.in_progress","response":{"usage":{"input_tokens":3}}}'), 1)
    meter.cut()
    assert meter.outcome().usage_status == "partial"


def test_done_does_not_end_a_response() -> None:
    """`[DONE]` lets a client go, but only the dialect's own end completes a response."""
    stream = events(b'{"type":"response.output_text.delta","delta":"x"}', b"[DONE]")
    assert not outcome_of(PATH, stream).complete


def test_every_delta_with_text_is_a_first_delta() -> None:
    """Any event that ends in `.delta` counts if it brings text; a delta that is not a text does not."""
    meter = started(PATH)
    meter.feed(event(b'{"type":"response.audio.delta","delta":""}'), 1)
    meter.feed(event(b'{"type":"response.shell_call_output_content.delta","delta":{"a":1}}'), 2)
    assert meter.outcome().first_delta_ns is None
    meter.feed(event(b'{"delta":"x"}', b"response.refusal.delta"), 3)
    assert meter.outcome().first_delta_ns == 3


def test_calls_are_counted_in_stream_and_body() -> None:
    """Items whose type ends in `_call` are tool calls, wherever they stand."""
    added = b'{"type":"response.output_item.added","item":{"type":"%s","name":"n"}}'
    end = b'{"type":"response.completed","response":{"status":"completed","output":[]}}'
    stream = events(
        added % b"custom_tool_call", added % b"web_search_call", added % b"message", end
    )
    assert outcome_of(PATH, stream).tool_calls == 2
    body = b'{"status":"completed","output":[{"type":"custom_tool_call","name":"n","input":"i"},7]}'
    outcome = outcome_of(PATH, body, JSON)
    assert outcome.tool_calls == 1
    assert outcome.completion_texts == ["n", "i"]


def test_a_background_response_says_that_its_usage_comes_later() -> None:
    """A queued response has no usage and is not complete, and the reason is named."""
    zeros = b'{"input_tokens":0,"output_tokens":0,"total_tokens":0}'
    assert outcome_of(PATH, b'{"status":"queued","usage":%s}' % zeros, JSON).usage is None
    outcome = outcome_of(PATH, b'{"id":"r","status":"queued","usage":null}', JSON)
    assert outcome.usage is None
    assert outcome.deferred
    assert not outcome.complete
    assert outcome.unmetered == "background response: only later polls report its usage"


@pytest.mark.parametrize(
    "last",
    [
        b'{"type":"response.queued","response":{"status":"queued","usage":%s}}',
        b'{"type":"response.in_progress","response":{"status":"in_progress","background":true,"usage":%s}}',
    ],
)
@pytest.mark.parametrize("counts", [b"null", b'{"input_tokens":0}', b'{"input_tokens":9}'])
@pytest.mark.parametrize("clean", [True, False])
def test_a_background_stream_that_ends_early_has_no_usage(
    last: bytes, counts: bytes, clean: bool
) -> None:
    """The response goes on without its stream: what it stated so far is no count of it."""
    meter = started(PATH)
    meter.feed(event(b'{"type":"response.created","response":{"id":"r","status":"queued"}}'), 1)
    meter.feed(event(last % counts), 2)
    if clean:
        meter.finish(3)
    else:
        meter.cut()
    outcome = meter.outcome()
    assert (outcome.usage, outcome.usage_status, outcome.deferred) == (None, None, True)
    assert not outcome.complete


def test_a_queued_response_in_the_foreground_is_cut_as_any_other() -> None:
    """Its stream was all there was of it."""
    queued = (
        b'{"type":"response.queued","response":{"id":"r","status":"queued","background":false}}'
    )
    outcome = outcome_of(PATH, event(queued))
    assert (outcome.deferred, outcome.complete, outcome.begun) == (False, False, True)


def test_zeros_of_a_response_that_has_only_begun_are_no_counts() -> None:
    """A stream in the foreground that ends early is a cut one; its placeholders count nothing, a prompt does."""
    begun = b'{"type":"response.in_progress","response":{"status":"in_progress","usage":{"input_tokens":%d,"output_tokens":0}}}'
    for prompt, usage in ((0, None), (7, Usage(7, 0, 7))):
        outcome = outcome_of(PATH, event(begun % prompt))
        assert (outcome.usage, outcome.deferred, outcome.complete) == (usage, False, False)


def test_a_rejected_request_has_an_error() -> None:
    """An error body is understood, whatever its shape."""
    assert outcome_of(PATH, b'{"detail":"no"}', JSON).error == ("error", "no")
