"""What is said about a call in the end."""

import orjson
import pytest

from cab.proxy.meter import Usage
from tests.proxy.meter.drive import CHAT, JSON, SSE, drive, event, events, outcome_of, started
from tests.proxy.meter.recorded import GEMINI_STREAM


def test_an_error_status_without_an_error_object_is_known_by_its_status() -> None:
    """An HTML error page is an error of the status's class."""
    meter = started(status=502, content_type="text/html")
    outcome = drive(meter, [b"<html>Bad Gateway</html>"]).outcome
    assert outcome.error == ("http_502", "the endpoint gave no error object")
    assert outcome.unmetered == "the answer is not a JSON object (text/html)"


def test_an_error_status_keeps_its_own_error() -> None:
    """The endpoint's class and message stand before the status."""
    meter = started(status=429, content_type=JSON)
    outcome = drive(meter, [b'{"error":{"type":"rate_limit","message":"slow down"}}']).outcome
    assert outcome.error == ("rate_limit", "slow down")
    assert outcome.complete
    assert outcome.unmetered is None


@pytest.mark.parametrize(
    ("usage", "reason"),
    [
        (
            b'{"prompt_tokens":"twelve"}',
            "usage.prompt_tokens is not a count of tokens; usage holds no counts",
        ),
        (b'{"foo":1}', "usage holds no counts"),
        (b'"12"', "usage is not an object"),
        (b"[]", "usage is not an object"),
    ],
)
def test_usage_that_says_nothing_is_unknown(usage: bytes, reason: str) -> None:
    """A usage object without a single count is unknown usage, and the reason is named."""
    outcome = outcome_of(CHAT, b'{"id":"a","choices":[],"usage":%s}' % usage, JSON)
    assert outcome.usage is None
    assert outcome.usage_status is None
    assert outcome.unmetered == reason


@pytest.mark.parametrize(
    ("usage", "status", "noted"),
    [
        (b'{"prompt_tokens":3,"completion_tokens":1}', "complete", False),
        (b'{"prompt_tokens":3,"completion_tokens":1,"total_tokens":90}', "complete", True),
        (b'{"prompt_tokens":3,"completion_tokens":9,"total_tokens":7}', "inconsistent", True),
        (b'{"prompt_tokens":3,"completion_tokens":0}', "inconsistent", True),
        (b'{"prompt_tokens":0,"completion_tokens":7}', "partial", True),
        (b'{"prompt_tokens":3}', "partial", False),
        (b'{"completion_tokens":3}', "partial", False),
        (b'{"prompt_tokens":3,"total_tokens":1}', "partial", True),
    ],
)
def test_usage_is_complete_only_if_all_is_known_and_agrees(
    usage: bytes, status: str, noted: bool
) -> None:
    """A missing count is partial; counts that contradict each other or the text are inconsistent."""
    choices = b'[{"message":{"content":"x"},"finish_reason":"stop"}]'
    outcome = outcome_of(CHAT, b'{"choices":%s,"usage":%s}' % (choices, usage), JSON)
    assert outcome.usage_status == status
    assert (outcome.usage_note is not None) is noted


def test_parts_have_the_answers_model_where_they_name_none() -> None:
    """Each part can be priced."""
    entry = b'{"type":"%s","input_tokens":3,"output_tokens":1%s}'
    entries = entry % (b"message", b"") + b"," + entry % (b"advisor_message", b',"model":"big"')
    usage = b'{"input_tokens":3,"output_tokens":1,"iterations":[%s]}' % entries
    body = b'{"model":"small","content":[{"type":"text","text":"x"}],"usage":%s}' % usage
    outcome = outcome_of("/v1/messages", body, JSON)
    assert outcome.usage == Usage(6, 2, 8)
    assert [part["model"] for part in outcome.usage_parts or []] == ["small", "big"]
    assert outcome.usage_status == "complete"


@pytest.mark.parametrize(
    ("path", "usages", "usage"),
    [
        (CHAT, [b'{"prompt_tokens":9}', b'{"completion_tokens":7}'], Usage(9, 7, 16)),
        (CHAT, [b'{"prompt_tokens":9,"completion_tokens":7}', b'{"prompt_tokens":0}'], Usage(9, 7, 16)),
        ("/v1/completions", [b'{"prompt_tokens":0}', b'{"prompt_tokens":9,"completion_tokens":7}'], Usage(9, 7, 16)),
        ("/v1/embeddings", [b'{"prompt_tokens":9}', b'{"prompt_tokens":null}'], Usage(9, 0, 9)),
    ],
)  # fmt: skip
def test_later_usage_never_takes_counts_away(path: str, usages: list[bytes], usage: Usage) -> None:
    """Each dialect merges the usage objects of a stream."""
    chunk = b'{"data":[[1]],"choices":[{"text":"x","delta":{"content":"x"},"finish_reason":"stop"}],"usage":%s}'
    outcome = outcome_of(path, events(*(chunk % given for given in usages)))
    assert (outcome.usage, outcome.usage_status) == (usage, "complete")


def test_responses_and_gemini_merge_too() -> None:
    """Their usage is deeper inside, and merged in the same way."""
    early = (
        b'{"type":"response.in_progress","response":{"usage":{"input_tokens":9,"output_tokens":1}}}'
    )
    end = b'{"type":"response.completed","response":{"status":"completed","usage":{"output_tokens":7,"input_tokens":0}}}'
    assert outcome_of("/v1/responses", events(early, end)).usage == Usage(9, 7, 16)
    counts = b'{"usageMetadata":{"promptTokenCount":9,"thoughtsTokenCount":3,"totalTokenCount":12}}'
    finish = b'{"candidates":[{"content":{"parts":[{"text":"x"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":4,"totalTokenCount":16}}'
    traffic = b'{"usageMetadata":{"trafficType":"ON_DEMAND"}}'
    path = "/v1beta/models/g:streamGenerateContent"
    outcome = outcome_of(path, events(counts, finish, traffic))
    assert outcome.usage == Usage(9, 7, 16, reasoning_tokens=3)
    assert outcome.usage_status == "complete"


def test_a_cache_of_unclear_place_is_inconsistent() -> None:
    """What two usage objects of an answer contradict each other in reaches its status."""
    start = b'{"type":"message_start","message":{"content":[],"usage":{"input_tokens":3602,"output_tokens":0}}}'
    delta = b'{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"cache_read_input_tokens":3604,"output_tokens":878}}'
    outcome = outcome_of("/v1/messages", events(start, delta, b'{"type":"message_stop"}'))
    assert outcome.usage == Usage(7206, 878, 8084, 3604)
    assert outcome.usage_status == "inconsistent"


def test_one_bad_count_does_not_spoil_the_others() -> None:
    """What is understood is kept, and what is not is named."""
    usage = b'{"prompt_tokens":3,"completion_tokens":-1}'
    outcome = outcome_of(CHAT, b'{"id":"a","usage":%s}' % usage, JSON)
    assert outcome.usage == Usage(3, None, None)
    assert outcome.usage_raw == {"prompt_tokens": 3, "completion_tokens": -1}
    assert outcome.unmetered == "usage.completion_tokens is not a count of tokens"


@pytest.mark.parametrize("odd", [rb'"\ud83d"', b"[" * 300 + b"]" * 300])
def test_usage_that_the_ledger_could_not_write_loses_its_raw_form(odd: bytes) -> None:
    """A usage object with half a surrogate or a deep nest keeps its counts and drops the raw."""
    usage = b'{"prompt_tokens":3,"odd":%s}' % odd
    outcome = outcome_of(CHAT, b'{"id":"a","usage":%s}' % usage, JSON)
    assert outcome.usage == Usage(3, None, None)
    assert outcome.usage_raw is None
    assert outcome.unmetered == "usage cannot be written as JSON"


def test_all_texts_can_be_written() -> None:
    """Names and texts with half surrogates are made writable before they reach a record."""
    chunk = rb'{"id":"\ud83d","model":"\ud83d","system_fingerprint":"\ude00","choices":[{"delta":{"content":"\ud83d"},"finish_reason":"\ud83d"}]}'
    outcome = outcome_of(CHAT, events(chunk, rb'{"choices":[{"delta":{"content":"\ude00"}}]}'))
    named = (outcome.upstream_id, outcome.model_served, outcome.system_fingerprint)
    assert named == ("\ufffd", "\ufffd", "\ufffd")
    assert outcome.finish_reason == "\ufffd"
    assert outcome.completion_texts == ["😀"]
    orjson.dumps([*named, outcome.completion_texts])


def test_only_a_few_warnings_are_kept() -> None:
    """The reason stays one readable line."""
    parts = [b'{"id":"a","usage":{%s}}' % b",".join(b'"%s":"x"' % name for name in COUNTS)]
    outcome = outcome_of(CHAT, parts[0], JSON)
    assert (outcome.unmetered or "").count(";") == 2


COUNTS = (b"prompt_tokens", b"completion_tokens", b"total_tokens", b"reasoning_tokens")


def test_more_text_than_the_limit_is_marked() -> None:
    """Texts are kept up to the limit; beyond it they are marked as incomplete."""
    chunk = event(b'{"choices":[{"delta":{"content":"%s"}}]}' % (b"x" * 40))
    meter = started(content_type=SSE, text_limit_chars=100)
    outcome = drive(meter, [chunk] * 3).outcome
    assert outcome.texts_truncated
    assert outcome.completion_texts == ["x" * 80]


EVERY = (CHAT, "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/messages", GEMINI_STREAM)


@pytest.mark.parametrize("path", EVERY)
@pytest.mark.parametrize("body", [b"{}", b'{"id":"x","data":[]}', b'{"choices":[{}],"usage":null}'])
def test_an_answer_that_holds_nothing_of_its_dialect_is_an_error(path: str, body: bytes) -> None:
    """A whole body of status 200 is no answer unless something in it is."""
    outcome = outcome_of(path, body, JSON)
    assert not outcome.complete
    assert outcome.error is not None
    assert outcome.error.type == "not_understood"


def test_generated_tokens_are_something_of_the_dialect() -> None:
    """Usage with completion tokens is an answer even without a choice; a prompt alone is none."""
    body = b'{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":%d}}'
    assert outcome_of(CHAT, body % 7, JSON).complete
    assert not outcome_of(CHAT, body % 0, JSON).complete


def test_a_stream_has_begun_once_it_broke_off_or_holds_something() -> None:
    """The same counts of a stream that broke off before its first text and after it."""
    for chunks, begun in (((), True), ((b": wait\n\n",), True), ((b"<html>",), False)):
        meter = started()
        for chunk in chunks:
            meter.feed(chunk, 1)
        meter.cut()
        assert meter.outcome().begun is begun
        assert not meter.outcome().complete
    assert not drive(started(), []).outcome.begun
    assert not drive(started(), [b": wait\n\n"]).outcome.begun


def test_the_error_of_groq_is_a_text() -> None:
    """`x_groq.error` ends the stream of a failed generation."""
    stream = events(b'{"choices":[],"x_groq":{"id":"r","error":"overloaded"}}')
    assert outcome_of(CHAT, stream).error == ("error", "overloaded")


@pytest.mark.parametrize("reason", [b"error", b"network-error", b"abort", b"error_finish"])
def test_a_finish_reason_may_be_an_error(reason: bytes) -> None:
    """It is kept as the finish reason too."""
    outcome = outcome_of(CHAT, events(b'{"choices":[{"finish_reason":"%s"}]}' % reason))
    assert outcome.error is not None
    assert outcome.error.type == outcome.finish_reason == reason.decode()
