"""Gemini beyond the recorded answers."""

import pytest

from cab.proxy.meter import Usage
from tests.proxy.meter.drive import JSON, event, events, outcome_of
from tests.proxy.meter.recorded import GEMINI_STREAM as PATH


def part(text: bytes) -> bytes:
    return b'{"candidates":[{"content":{"parts":[%s]}}]}' % text


@pytest.mark.parametrize(
    ("text", "delivered"),
    [
        (b'{"text":""}', False),
        (b'{"thoughtSignature":"x"}', False),
        (b'{"text":"x"}', True),
        (b'{"text":"x","thought":true}', True),
        (b'{"functionCall":{"name":"f"}}', True),
        (b'{"inlineData":{"data":"x"}}', True),
        (b'{"executableCode":{"code":"x"}}', True),
        (b"7", False),
    ],
)
def test_a_part_of_any_kind_is_a_first_delta(text: bytes, delivered: bool) -> None:
    """Text, thoughts, calls and data are something delivered; signatures are not."""
    outcome = outcome_of(PATH, event(part(text)))
    assert outcome.delivered is delivered
    assert outcome.first_delta_ns == (7 if delivered else None)


def test_a_blocked_prompt_is_a_complete_answer() -> None:
    """A prompt that is blocked has no candidate and a measured completion of zero."""
    data = b'{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":5,"totalTokenCount":5}}'
    outcome = outcome_of(PATH, event(data))
    assert outcome.complete
    assert outcome.usage == Usage(5, 0, 5)
    assert outcome.usage_status == "complete"


def test_a_stream_without_finish_reason_is_not_complete() -> None:
    """Cumulative usage before the finish reason covers only a part."""
    data = part(b'{"text":"x"}')[:-1] + b',"usageMetadata":{"promptTokenCount":5}}'
    outcome = outcome_of(PATH, event(data))
    assert not outcome.complete
    assert outcome.usage_status == "partial"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b'{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT"}}', JSON),
        (b'[{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT"}}]', JSON),
        (
            event(b'{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT"}}'),
            "text/event-stream",
        ),
    ],
)
def test_errors_are_kept_in_every_form(answer: bytes, kind: str) -> None:
    """An error comes as an object, as an array of one, or as an event."""
    outcome = outcome_of(PATH, answer, kind)
    assert outcome.error == ("INVALID_ARGUMENT", "m")


def test_candidates_are_kept_apart() -> None:
    """Several candidates have their own texts and finish reasons."""
    stream = events(
        b'{"candidates":[{"index":1,"content":{"parts":[{"text":"b"}]},"finishReason":"STOP"}]}',
        b'{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"MAX_TOKENS"}]}',
    )
    outcome = outcome_of(PATH, stream)
    assert outcome.completion_texts == ["b", "a"]
    assert outcome.finish_reasons == ["MAX_TOKENS", "STOP"]
