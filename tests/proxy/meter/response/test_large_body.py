"""Answers that are too large to be parsed: what is read of them, and what that takes."""

import tracemalloc

import orjson
import pytest

from cab.proxy.meter import Usage
from cab.proxy.meter.completion_text import Texts
from tests.proxy.meter.drive import drive, started

JSON = "application/json"
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
HEAD = b'{"id":"a1", "model" : "m-1","created":1,'
LISTS = b'"data":[' + b"[]," * (1 << 20) + b"0]"
TEXT = b'"choices":[{"message":{"content":"' + b', {\\"usage\\":1} ' * (1 << 20) + b'"}}]'
TAIL = b', "usage": ' + orjson.dumps(USAGE) + b',"object":"x"}\n'


@pytest.mark.parametrize("large", [LISTS, TEXT], ids=["lists", "text"])
def test_a_large_answer_is_metered_at_its_ends(large: bytes) -> None:
    """Model, id and usage are read, the text is not counted, and the bytes pass."""
    body = HEAD + large + TAIL
    driven = drive(started(content_type=JSON), [body[:100], body[100:-30], body[-30:]])
    outcome = driven.outcome
    assert driven.sent == body
    assert (outcome.model_served, outcome.upstream_id) == ("m-1", "a1")
    assert (outcome.usage, outcome.usage_status) == (Usage(11, 7, 18), "complete")
    assert (outcome.complete, outcome.texts_truncated, outcome.error) == (True, True, None)


@pytest.mark.parametrize(
    "tail",
    [b"}", b',"inner":{"usage":{"prompt_tokens":1}}}', b',"a":"usage"}', b',"usage":{"prompt_tok'],
)
def test_only_usage_at_the_top_level_is_taken(tail: bytes) -> None:
    """What stands deeper, is a text, or is cut, is no usage of the answer."""
    outcome = drive(started(content_type=JSON), [HEAD + LISTS + tail]).outcome
    assert (outcome.usage, outcome.model_served) == (None, "m-1")
    assert outcome.complete == tail.endswith(b"}")


def test_a_large_answer_takes_little_memory() -> None:
    """What would take fifty times its bytes is not made."""
    body = HEAD + LISTS + TAIL
    meter = started(content_type=JSON)
    tracemalloc.start()
    drive(meter, [body])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6 * len(body)


def test_an_event_of_many_values_is_not_parsed() -> None:
    """An event of a stream, too, is named and passes."""
    outcome = drive(started(), [b"data: {" + LISTS + b"}\n\n"]).outcome
    assert "is over the limit" in str(outcome.unmetered)


SSE = "text/event-stream"
LONG = b"x" * (9 << 20)
RESPONSE = {
    "/v1/responses": (
        b'{"type":"response.completed","sequence_number":9,"response":{"id":"a1","model":"m-1",'
        b'"status":"completed","output":[{"type":"message","content":[{"text":"%s"}]}],"usage":'
        b'{"input_tokens":11,"output_tokens":7,"total_tokens":18},"metadata":{}}}',
        SSE,
    ),
    "/v1/chat/completions": (
        HEAD + b'"choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":"stop"}]' + TAIL,
        SSE,
    ),
    "/v1beta/models/m:streamGenerateContent": (
        b'{"candidates":[{"content":{"parts":[{"inlineData":{"data":"%s"}}]},"finishReason":"STOP"}],'
        b'"usageMetadata":{"promptTokenCount":11,"candidatesTokenCount":7,"totalTokenCount":18},'
        b'"modelVersion":"m-1","responseId":"a1"}',
        JSON,
    ),
}
"""Path -> an event, or a part of an array, with one long text; and its content type."""


def streamed(path: str, text: bytes) -> bytes:
    part, content_type = RESPONSE[path]
    part = part.replace(b"%s", text).strip()
    return b"data: " + part + b"\n\n" if content_type == SSE else b"[" + part + b"]"


@pytest.mark.parametrize("path", RESPONSE)
@pytest.mark.parametrize("step", [1 << 16, 1 << 30])
def test_an_event_of_one_long_text_is_metered_at_its_ends(path: str, step: int) -> None:
    """Id, model and usage are read, the bytes pass, and the text is not counted."""
    body, content_type = streamed(path, LONG), RESPONSE[path][1]
    chunks = [body[at : at + step] for at in range(0, len(body), step)]
    driven = drive(started(path, content_type=content_type), chunks)
    outcome = driven.outcome
    assert driven.sent == body
    assert (outcome.model_served, outcome.upstream_id) == ("m-1", "a1")
    assert outcome.usage is not None
    assert (outcome.usage.prompt_tokens, outcome.usage.completion_tokens) == (11, 7)
    assert (outcome.texts_truncated, outcome.delivered, outcome.error) == (True, True, None)


def test_twenty_streams_of_one_long_text_each_take_bounded_memory() -> None:
    """Of what has passed each keeps 8 MiB at most, twice where an event waits for its end."""
    streams, chunk = 20, b"x" * (1 << 20)
    paths = [path for _ in range(streams) for path in RESPONSE][:streams]
    meters = [started(path, content_type=RESPONSE[path][1]) for path in paths]
    tracemalloc.start()
    for meter, path in zip(meters, paths, strict=True):
        meter.feed(streamed(path, b"")[:100], 1)
    for _ in range(40):
        for meter in meters:
            meter.feed(chunk, 1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * streams * (8 << 20)


def test_many_short_texts_take_little_more_than_their_characters() -> None:
    """A list of them would take ten times as much."""
    texts = Texts(8 << 20)
    tracemalloc.start()
    for number in range(1 << 16):
        texts.add(0, f"{number:08}")
    kept, _ = tracemalloc.get_traced_memory()
    [joined] = texts.joined()
    tracemalloc.stop()
    assert kept < 2 * len(joined) == 2 * 8 * (1 << 16)
