"""The whole meter, over answers as endpoints send them, in every slicing; their end; its own faults."""

import gzip
import json
import random
from typing import Unpack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cab.proxy.meter import CallMeter, Dialect, dialect_for
from cab.proxy.meter.dialects.answer import Answer
from cab.proxy.meter.json_values import JsonObject
from tests.proxy.meter.drive import (
    ASKING,
    CHAT,
    DONE,
    JSON,
    SSE,
    USAGE,
    Options,
    bytewise,
    drive,
    event,
    events,
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
    # Each run tries another third of the places: each costs as much as reading the whole answer.
    for cut in range(1 + random.randrange(3), len(recorded.answer), 3):
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
@settings(max_examples=25)
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
@settings(max_examples=40)
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
    """After a resend nothing of the rejection is left in the outcome."""
    meter = started(status=400, content_type=JSON)
    meter.feed(b'{"error":{"type":"bad","message":"stream_options"}}', 1)
    meter.finish(2)
    assert meter.outcome().error == ("bad", "stream_options")
    assert meter.without_injection() == ASKING
    assert meter.upstream_body is ASKING
    meter.start(200, SSE, "", None)
    answer = event(USAGE)
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


def test_calls_of_other_paths_pass_unread() -> None:
    """A path that is not metered passes as it is, and its clean end is its completion."""
    meter = started("/v1/models", b"", content_type=JSON)
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


def test_the_last_chunk_of_a_body_of_known_length_waits() -> None:
    """When `Content-Length` bytes have come, the chunk with the last of them is kept inside."""
    meter = started(content_type=JSON, length=len(USAGE))
    assert meter.feed(USAGE[:5], 1) == (USAGE[:5], False)
    assert meter.feed(USAGE[5:], 2) == (b"", True)
    assert meter.outcome().complete
    assert meter.outcome().usage is not None
    assert meter.feed(b"x", 3) == (b"", False)
    assert meter.release() == USAGE[5:] + b"x"
    assert meter.feed(b"y", 4) == (b"y", False)
    assert meter.finish(5) == (b"", False)
    assert meter.cut() == b""


def test_a_body_of_unknown_length_ends_with_its_stream() -> None:
    """For a chunked body it is the end itself that tells the client."""
    meter = started(content_type=JSON)
    assert meter.feed(USAGE, 1) == (USAGE, False)
    assert not meter.outcome().complete
    assert meter.finish(2) == (b"", True)
    assert meter.release() == b""
    assert meter.outcome().complete


def test_without_hold_the_last_chunk_passes() -> None:
    """With `hold_terminal=False` a body of known length passes and its end is reported."""
    meter = started(content_type=JSON, length=len(USAGE), hold_terminal=False)
    assert meter.feed(USAGE, 1) == (USAGE, True)
    assert meter.feed(b"x", 1) == (b"x", False)


@pytest.mark.parametrize("content_type", [JSON, SSE])
def test_an_empty_body_ends_at_once(content_type: str) -> None:
    """A body of length 0 has no chunk; its end is the terminal."""
    meter = started(content_type=content_type, length=0)
    assert meter.feed(b"", 1) == (b"", False)
    assert meter.finish(1) == (b"", True)
    assert meter.outcome().last_byte_ns is None
    assert not meter.outcome().complete


def test_a_stream_of_known_length_waits_too() -> None:
    """A stream that announces its length and has no terminal event waits with its last bytes."""
    stream = events(USAGE)
    meter = started(length=len(stream), inject_usage=False)
    assert meter.feed(stream[:-4], 1).data == stream[:-4]
    assert meter.feed(stream[-4:], 2) == (b"", True)
    assert meter.release() == stream[-4:]
    meter = started(length=len(stream + DONE), inject_usage=False)
    assert meter.feed(stream + DONE, 1) == (stream, True)
    assert meter.finish(2) == (b"", False)
    assert meter.release() == DONE


def test_white_space_before_the_answer_passes() -> None:
    """Until the first byte that says something, bytes pass as they are."""
    meter = started(content_type=JSON, length=len(USAGE) + 2)
    assert meter.feed(b"\r\n", 1) == (b"\r\n", False)
    assert meter.feed(USAGE, 2) == (b"", True)
    assert meter.outcome().usage is not None
    blank = started(content_type=JSON, length=2)
    assert blank.feed(b"\r\n", 1) == (b"", True)
    assert blank.feed(b"x", 1) == (b"", False)
    assert blank.release() == b"\r\nx"


@pytest.mark.parametrize(
    ("content_type", "encoding", "injects", "alters"),
    [
        (SSE, "", True, True),
        ("", "", True, True),
        (SSE, "gzip", True, False),
        (SSE, "", False, False),
        (JSON, "", True, False),
        ("text/html", "", True, False),
    ],
)
def test_a_length_can_be_promised_unless_usage_may_be_filtered(
    content_type: str, encoding: str, injects: bool, alters: bool
) -> None:
    """Only an uncompressed stream for which usage was asked may become shorter."""
    meter = started(content_type=content_type, encoding=encoding, inject_usage=injects)
    assert meter.may_alter is alters


class Faulty(Answer):
    """An answer with a bug, as a dialect of tomorrow may have one."""

    def read_event(self, _kind: str, data: JsonObject, /) -> bool:
        raise KeyError(str(data))

    def read_body(self, data: JsonObject) -> None:
        raise KeyError(str(data))

    def add_done(self) -> None:
        self.complete = True


def faulty(content_type: str, encoding: str = "") -> CallMeter:
    meter = CallMeter(Dialect("chat.completions", Faulty, usage_on_request=True), CHAT, ASKING)
    meter.start(200, content_type, encoding, None)
    return meter


@pytest.mark.parametrize(
    "chunks", [[events(USAGE) + DONE], [events(USAGE), DONE], [DONE, event(USAGE)]]
)
@pytest.mark.parametrize(("content_type", "encoding"), [(SSE, ""), (SSE, "gzip"), (JSON, "")])
def test_a_fault_of_the_meter_never_holds_up_bytes(
    chunks: list[bytes], content_type: str, encoding: str
) -> None:
    """Whatever goes wrong inside, every byte passes, and the outcome names the fault."""
    chunks = [gzip.compress(chunk) for chunk in chunks] if encoding else chunks
    meter = faulty(content_type, encoding)
    driven = drive(meter, chunks)
    assert driven.sent == b"".join(chunks)
    assert driven.terminals == 1
    assert driven.outcome.unmetered is not None
    assert driven.outcome.unmetered.startswith("fault in the meter: KeyError")


def test_a_fault_at_the_end_gives_out_what_is_inside() -> None:
    """An unfinished event that leads to a fault at the very end is passed on."""
    meter = faulty(SSE)
    assert meter.feed(b"data: " + USAGE, 1).data == b""
    assert meter.finish(2) == (b"data: " + USAGE, True)
    broken = faulty(SSE)
    broken.feed(b"data: " + USAGE, 1)
    assert broken.cut() == b"data: " + USAGE
