"""The whole meter, over answers as endpoints send them, in every slicing."""

import gzip
import json
from typing import Unpack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cab.proxy.meter import CallMeter, Dialect, dialect_for
from tests.proxy.meter.drive import (
    ASKING,
    CHAT,
    SSE,
    Options,
    bytewise,
    drive,
    event,
    slicings,
    started,
)
from tests.proxy.meter.recorded import RECORDED, Recorded


def meter_of(recorded: Recorded, **options: Unpack[Options]) -> CallMeter:
    return started(recorded.path, content_type=recorded.content_type, **options)


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: recorded.file)
def test_each_recorded_answer_yields_its_figures(recorded: Recorded) -> None:
    """Every dialect, streamed or not, gives the figures that the endpoint states."""
    outcome = drive(meter_of(recorded), [recorded.answer]).outcome
    assert outcome.usage == recorded.usage
    assert outcome.usage_status == "complete"
    assert outcome.complete
    assert outcome.delivered
    assert outcome.error is None
    assert outcome.unmetered is None
    assert outcome.model_served == recorded.model
    assert outcome.finish_reason == recorded.finish
    assert outcome.finish_reasons == (list(recorded.finish_all) if recorded.finish_all else None)
    assert outcome.tool_calls == recorded.tool_calls
    assert tuple(outcome.completion_texts) == recorded.texts
    assert outcome.cost_usd == recorded.cost_usd
    assert outcome.response_bytes == len(recorded.answer)
    assert outcome.last_byte_ns == 7
    parts = recorded.file.endswith(".sse") or "array" in recorded.file
    assert outcome.first_delta_ns == (7 if parts else None)


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: recorded.file)
def test_bytes_pass_unchanged_and_the_end_waits(recorded: Recorded) -> None:
    """Without injection every byte passes, and only the terminal ones wait for `release`."""
    driven = drive(meter_of(recorded, inject_usage=False), bytewise(recorded.answer))
    assert driven.sent == recorded.answer
    assert driven.terminals == 1
    start = recorded.answer.index(recorded.terminal) if recorded.terminal else None
    assert driven.early == recorded.answer[:start]


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: recorded.file)
def test_every_cut_point_gives_the_same_outcome_and_bytes(recorded: Recorded) -> None:
    """Cut in two anywhere, an answer gives the same record and the same bytes."""
    whole = drive(meter_of(recorded), [recorded.answer])
    for cut in range(1, len(recorded.answer)):
        driven = drive(meter_of(recorded), [recorded.answer[:cut], recorded.answer[cut:]])
        assert driven == whole, cut


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: recorded.file)
@settings(max_examples=25)
@given(data=st.data(), inject=st.booleans(), hold=st.booleans(), compress=st.booleans())
def test_slicing_never_matters(
    recorded: Recorded, data: st.DataObject, inject: bool, hold: bool, compress: bool
) -> None:
    """Any slicing, with any setting, gives the outcome and the bytes of one piece."""
    answer = gzip.compress(recorded.answer, mtime=0) if compress else recorded.answer
    encoding = "gzip" if compress else ""

    def meter() -> CallMeter:
        return started(
            recorded.path,
            content_type=recorded.content_type,
            encoding=encoding,
            inject_usage=inject,
            hold_terminal=hold,
        )

    whole = drive(meter(), [answer])
    driven = drive(meter(), data.draw(slicings(answer)))
    assert driven.outcome == whole.outcome
    assert driven.sent == whole.sent
    assert driven.terminals == whole.terminals == 1
    assert whole.outcome.usage == recorded.usage


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: recorded.file)
@settings(max_examples=25)
@given(data=st.data())
def test_broken_answers_lose_no_byte_and_raise_nothing(
    recorded: Recorded, data: st.DataObject
) -> None:
    """However an answer is mangled and wherever it breaks off, all its bytes pass."""
    answer = bytearray(recorded.answer)
    places = st.integers(0, len(answer) - 1)
    for place, byte in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=6)):
        answer[place] = byte
    broken = bytes(answer[: data.draw(places)])
    meter = meter_of(recorded, inject_usage=False)
    sent = b"".join(meter.feed(chunk, 1).data for chunk in data.draw(slicings(broken)))
    sent += meter.cut()
    assert sent == broken
    outcome = meter.outcome()
    assert outcome.response_bytes == len(broken)
    assert meter.cut() == b""


@pytest.mark.parametrize("path", sorted({recorded.path for recorded in RECORDED}))
@given(data=st.data())
def test_noise_is_passed_on_whatever_it_is_called(path: str, data: st.DataObject) -> None:
    """Random bytes under any header pass unchanged and leave an outcome without counts."""
    noise = data.draw(st.binary(max_size=200))
    kind = data.draw(st.sampled_from(("", SSE, "application/json", "text/html", "text/plain")))
    encoding = data.draw(st.sampled_from(("", "gzip", "deflate", "br", "zstd", "zz")))
    length = data.draw(st.none() | st.integers(0, 200))
    meter = started(path, content_type=kind, encoding=encoding, length=length, inject_usage=False)
    driven = drive(meter, data.draw(slicings(noise)))
    assert driven.sent == noise
    assert driven.terminals == 1
    assert driven.outcome.usage is None
    assert driven.outcome.unmetered is not None


NAMES = [
    *("choices", "usage", "delta", "content", "tool_calls", "type", "error", "response", "output"),
    *("message", "content_block", "candidates", "parts", "usageMetadata", "index", "function"),
    *("prompt_tokens", "input_tokens", "promptTokenCount", "prompt_tokens_details", "cost"),
    *("finish_reason", "stop_reason", "x_groq", "text", "item", "data", "id", "model", "status"),
]


def json_values() -> st.SearchStrategy[object]:
    leaves: st.SearchStrategy[object] = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=4),
        st.sampled_from(("12", "stop", "[DONE]", "message_stop", "response.completed")),
    )
    names = st.sampled_from(NAMES)
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
        max_leaves=25,
    )


@pytest.mark.parametrize("path", sorted({recorded.path for recorded in RECORDED}))
@settings(max_examples=150)
@given(values=st.lists(json_values(), min_size=1, max_size=4), streamed=st.booleans())
def test_json_of_any_shape_is_survived(path: str, values: list[object], streamed: bool) -> None:
    """Well-formed JSON with the right names and the wrong types never leads to a fault."""
    texts = [json.dumps(value).encode() for value in values]
    answer = b"".join(map(event, texts)) if streamed else texts[0]
    kind = SSE if streamed else "application/json"
    driven = drive(started(path, content_type=kind, inject_usage=False), [answer])
    assert driven.sent == answer
    assert "fault" not in (driven.outcome.unmetered or "")


def test_a_second_head_begins_all_over() -> None:
    """After a resend nothing of the refused answer is left in the outcome."""
    meter = started(status=400, content_type="application/json")
    meter.feed(b'{"error":{"type":"bad","message":"stream_options"}}', 1)
    meter.finish(2)
    assert meter.outcome().error == ("bad", "stream_options")
    assert meter.without_injection() == ASKING
    assert meter.upstream_body is ASKING
    meter.start(200, SSE, "", None)
    answer = event(b'{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}')
    driven = drive(meter, [answer])
    assert driven.outcome.error is None
    assert driven.sent == answer
    assert not meter.request.injected


def test_a_resend_without_usage_says_why_none_is_known() -> None:
    """When the endpoint refuses to be asked for usage, the outcome says so."""
    meter = started()
    meter.without_injection()
    meter.start(200, SSE, "", None)
    outcome = drive(meter, [event(b'{"id":"a","choices":[]}'), event(b"[DONE]")]).outcome
    assert outcome.usage is None
    assert outcome.unmetered == "the endpoint refused to be asked for usage"


def test_an_outcome_can_be_had_before_anything_came() -> None:
    """A call whose endpoint never answered has an outcome in which all is unknown."""
    outcome = CallMeter(dialect_for("POST", CHAT), CHAT, ASKING).outcome()
    assert outcome.usage is None
    assert outcome.last_byte_ns is None
    assert not outcome.complete
    assert not outcome.delivered
    assert outcome.response_bytes == 0
    assert outcome.request_json == {"model": "m", "stream": True, "messages": []}


def test_calls_of_other_paths_pass_unheard() -> None:
    """A path that is not metered passes as it is, and its clean end is its completion."""
    meter = started("/v1/models", b"", content_type="application/json")
    driven = drive(meter, [b'{"usage":{"prompt_tokens":1}}'])
    assert driven.sent == b'{"usage":{"prompt_tokens":1}}'
    assert driven.outcome.complete
    assert driven.outcome.usage is None
    assert driven.outcome.unmetered is None
    cut = started("/v1/models", b"")
    cut.feed(b"x", 1)
    assert cut.cut() == b""
    assert not cut.outcome().complete


def test_the_dialect_is_a_plain_value() -> None:
    """A dialect compares by its facts, so that a test or a config can name one."""
    assert dialect_for("POST", CHAT) == dialect_for("POST", "/api" + CHAT + "/")
    assert isinstance(dialect_for("POST", CHAT), Dialect)
