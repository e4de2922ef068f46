"""Chat completions beyond the recorded ones."""

import pytest

from cab.proxy.meter import Usage
from cab.proxy.meter.dialects.chat import ChatAnswer
from tests.proxy.meter.drive import CHAT, JSON, drive, event, events, outcome_of, started

CALL = b'{%s,"function":{"name":"f","arguments":"{}"}}'
MORE = b'{%s,"function":{"arguments":"x"}}'


def chunk(delta: bytes, rest: bytes = b"") -> bytes:
    return event(b'{"id":"c","choices":[{"index":0,"delta":%s}]%s}' % (delta, rest))


@pytest.mark.parametrize(
    "delta",
    [
        b'{"content":"x"}',
        b'{"content":[{"type":"text","text":"x"}]}',
        b'{"reasoning_content":"x"}',
        b'{"reasoning":"x"}',
        b'{"reasoning_details":[{"type":"reasoning.encrypted","data":"x"}]}',
        b'{"refusal":"x"}',
        b'{"tool_calls":[{"index":0,"function":{"name":"x"}}]}',
        b'{"tool_calls":[{"index":0,"function":{"arguments":"x"}}]}',
        b'{"function_call":{"name":"x"}}',
        b'{"audio":{"data":"x"}}',
    ],
)
def test_the_first_delta_of_any_kind_counts(delta: bytes) -> None:
    """Role-only and empty deltas are no answer yet; text, reasoning and tool calls are."""
    meter = started()
    meter.feed(chunk(b'{"role":"assistant","content":""}'), 1)
    meter.feed(chunk(b'{"content":null,"tool_calls":[]}') + b": keep-alive\n\n", 2)
    assert meter.outcome().first_delta_ns is None
    assert not meter.outcome().delivered
    meter.feed(chunk(delta), 3)
    meter.feed(chunk(delta), 4)
    assert meter.outcome().first_delta_ns == 3
    assert meter.outcome().delivered


def test_cumulative_usage_counts_once() -> None:
    """Usage in every chunk is cumulative: the last one stands, never the sum."""
    chunks = [
        chunk(b'{"content":"x"}', b',"usage":{"completion_tokens":%d}' % n) for n in (1, 2, 3)
    ]
    outcome = outcome_of(CHAT, chunks)
    assert outcome.usage == Usage(None, 3, None)
    assert outcome.usage_raw == {"completion_tokens": 3}


def test_usage_of_a_broken_stream_is_partial_until_the_choices_are_finished() -> None:
    """Before any finish reason usage covers only a part; after it the figures are final."""
    usage = b',"usage":{"prompt_tokens":5,"completion_tokens":1}'
    meter = started()
    meter.feed(chunk(b'{"content":"x"}', usage), 1)
    meter.cut()
    assert meter.outcome().usage_status == "partial"
    assert not meter.outcome().complete
    meter = started()
    meter.feed(event(b'{"choices":[{"index":0,"finish_reason":"stop"}]}'), 1)
    meter.feed(event(b'{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":1}}'), 2)
    meter.cut()
    assert meter.outcome().usage_status == "complete"
    assert not meter.outcome().complete


def test_moonshot_puts_usage_into_the_choice() -> None:
    """A usage object inside the first choice is found."""
    stream = event(
        b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop","usage":{"prompt_tokens":4}}]}'
    )
    assert outcome_of(CHAT, stream).usage == Usage(4, None, None)


@pytest.mark.parametrize(
    ("calls", "count"),
    [
        (
            [
                b'{"index":0,"id":"a"}',
                b'{"index":0}',
                b'{"index":1,"id":"b"}',
                b'{"index":1,"id":""}',
            ],
            2,
        ),
        # Gemini's OpenAI endpoint: every call has the index 0 and an id of its own.
        ([CALL % b'"index":0,"id":"a"', CALL % b'"index":0,"id":"b"', b'{"index":0}'], 2),
        # Two calls at index 0 without ids; without any index.
        ([CALL % b'"index":0', CALL % b'"index":0'], 2),
        ([CALL % b'"id":"a"', CALL % b'"id":"b"'], 2),
        # A new id with every fragment; an id that changes; a name that every fragment repeats.
        (
            [
                CALL % b'"index":0,"id":"a"',
                *(MORE % (b'"index":0,"id":"%d"' % n) for n in range(5)),
            ],
            1,
        ),
        ([b'{"index":0,"id":"a"}', b'{"index":0,"id":"b"}'], 1),
        ([CALL % b'"index":0,"id":"a"'] * 3, 1),
        # The first fragment under another number than the later ones.
        ([CALL % b'"index":3,"id":"a"', MORE % b'"index":0', MORE % b'"index":0'], 1),
        ([b'{"index":0}', b'{"index":0,"id":"a"}', b'{"index":0,"id":"a"}'], 1),
        ([b'{"id":"a"}', b"{}"], 1),
    ],
)
def test_tool_calls_are_counted_once_each(calls: list[bytes], count: int) -> None:
    """Fragments join by index; a name under a known index starts a new call, an id does not."""
    stream = [chunk(b'{"tool_calls":[%s]}' % call) for call in calls]
    assert outcome_of(CHAT, stream).tool_calls == count


def test_an_answer_without_choices_has_no_known_tool_calls() -> None:
    """Unknown is not zero."""
    assert outcome_of(CHAT, b'{"error":"x"}', JSON).tool_calls is None
    body = (
        b'{"choices":[{"message":{"content":"x","function_call":{"name":"f","arguments":"{}"}}}]}'
    )
    outcome = outcome_of(CHAT, body, JSON)
    assert outcome.tool_calls == 1
    assert outcome.completion_texts == ["x", "f", "{}"]


def test_reasoning_under_two_names_is_one_text() -> None:
    """An endpoint that sends `reasoning` and `reasoning_content` alike has said it once."""
    delta = b'{"reasoning":"r","reasoning_content":"r","content":"c"}'
    assert outcome_of(CHAT, chunk(delta)).completion_texts == ["r", "c"]


@pytest.mark.parametrize(
    "stream",
    [
        event(b'{"error":{"type":"server_error","message":"boom"}}'),
        event(b'{"message":"boom","type":"server_error"}', b"error"),
        event(b'{"id":"c","choices":[],"error":{"code":"server_error","message":"boom"}}'),
    ],
)
def test_an_error_in_mid_stream_is_kept(stream: bytes) -> None:
    """An error object inside a 200 stream is the call's error, and the stream is not complete."""
    outcome = outcome_of(CHAT, chunk(b'{"content":"x"}') + stream)
    assert outcome.error == ("server_error", "boom")
    assert outcome.delivered
    assert not outcome.complete


def test_an_error_body_with_status_200_is_an_error() -> None:
    """A 200 whose body is an error object says so."""
    outcome = outcome_of(CHAT, b'{"error":{"type":"t","message":"m"}}', JSON)
    assert outcome.error == ("t", "m")
    assert outcome.complete
    assert not outcome.delivered


def test_a_clean_end_completes_only_what_is_finished() -> None:
    """Without `[DONE]` a stream is complete if every choice has its finish reason."""
    open_choice = b'{"choices":[{"index":0,"delta":{"content":"x"}}]}'
    finish = b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'
    other = b'{"choices":[{"index":1,"delta":{"content":"y"}}]}'
    assert not outcome_of(CHAT, events(open_choice)).complete
    assert outcome_of(CHAT, events(open_choice, finish)).complete
    assert not outcome_of(CHAT, events(open_choice, other, finish)).complete
    assert outcome_of(CHAT, events(open_choice, b"[DONE]")).complete


def test_finish_reasons_keep_the_order_of_the_choices() -> None:
    """Several choices finish in any order and are kept in theirs."""
    stream = events(
        b'{"choices":[{"index":1,"finish_reason":"length"}]}',
        b'{"choices":[{"index":0,"finish_reason":"stop"},{"index":2,"finish_reason":""}]}',
    )
    outcome = outcome_of(CHAT, stream)
    assert outcome.finish_reason == "stop"
    assert outcome.finish_reasons == ["stop", "length"]


def test_the_first_identity_stands() -> None:
    """Azure's first chunk has empty names; the first real ones are kept."""
    stream = events(b'{"id":"","model":"","choices":[]}', b'{"id":"a","model":"m","choices":[]}')
    outcome = outcome_of(CHAT, stream + event(b'{"id":"b","model":"n","choices":[]}'))
    assert (outcome.upstream_id, outcome.model_served) == ("a", "m")


def test_a_stream_answered_in_one_piece_and_the_reverse() -> None:
    """A JSON body for a stream request, and a stream for another, are both understood."""
    body = b'{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}'
    driven = drive(started(content_type=JSON), [body])
    assert driven.outcome.usage == Usage(1, None, None)
    assert driven.sent == body
    meter = started(body=b'{"stream":false}')
    assert drive(meter, [chunk(b'{"content":"x"}')]).outcome.completion_texts == ["x"]


def test_a_bare_answer_knows_nothing() -> None:
    """Before its first event an answer is unfinished."""
    assert not ChatAnswer(10).finished()
