"""Answers that are too large to be parsed: what is read of them, and what that takes."""

import tracemalloc

import orjson
import pytest

from cab.proxy.meter import Usage
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
