"""Malformed input from both sides, drawn at random: every call is one row, nothing is lost, nothing breaks.

One proxy serves all examples; the bench fails the run if a log line reports a fault of the proxy.
"""

import json
import re
from collections.abc import Generator
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cab.scoring.ledger.records import parse_record
from tests.tools.bench import Bench, running_bench
from tests.tools.dialects import BY_ENDPOINT, SAMPLES, Sample
from tests.tools.raw import Answer, request
from tests.tools.spoiled import JSON, as_json, sliced, spoiled_bytes, spoiled_json
from tests.tools.upstream import LAST_CHUNK, Fault, chunk, event, json_answer, sse_head
from tests.tools.wires import BOTH, DIRECT

CHAT = BY_ENDPOINT["chat.completions"]
STREAMS = [sample for sample in SAMPLES if sample.streams]
GOOD_CALL = request(CHAT.path, orjson.dumps(CHAT.request))
CODINGS = ["", "", "gzip", "br", "deflate", "zstd", "x-none", "gzip,br"]
LAST = re.compile(rb"(?:^|\n)0+[ \t]*(?:;[^\n]*)?\r?\n")
"""What HTTP may take for a last chunk."""
THE_END = re.compile(rb"\[DONE\]|response\.completed|message_stop")
"""What ends an answer before HTTP does; its record is written then."""
some = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
more = settings(some, max_examples=50)


@pytest.fixture(scope="module", params=BOTH, ids=lambda wire: wire.name)
def bench(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Bench]:
    with running_bench(tmp_path_factory.mktemp("bench"), request.param) as running:
        yield running


@pytest.fixture(scope="module")
def open_bench(tmp_path_factory: pytest.TempPathFactory) -> Generator[Bench]:
    """A proxy without any key: there is nothing to spend, so it refuses no body."""
    with running_bench(tmp_path_factory.mktemp("open"), DIRECT, key=None) as running:
        yield running


def call(sample: Sample, *, stream: bool = False) -> bytes:
    return request(sample.target(stream=stream), orjson.dumps(sample.body(stream=stream)))


def one_row(bench: Bench) -> dict[str, Any]:
    """Return the only new record; it can be read back."""
    [row] = bench.news().ends
    parse_record(orjson.dumps(row))
    return row


def assert_serves(bench: Bench) -> None:
    """Make a good call: whatever came before did no harm."""
    bench.play(json_answer(CHAT.answer))
    assert got(bench.exchange(GOOD_CALL)).body == orjson.dumps(CHAT.answer)
    assert one_row(bench)["total_tokens"] == 78


def got(answer: Answer | None) -> Answer:
    assert answer is not None
    return answer


def bad_body(good: Any) -> st.SearchStrategy[bytes]:
    """Draw a body that is not, or not quite, the good one."""
    return (
        st.binary(max_size=200)
        | spoiled_bytes(orjson.dumps(good))
        | spoiled_json(good).map(as_json)
        | JSON.map(as_json)
    )


@st.composite
def some_request(draw: st.DrawFn) -> tuple[Sample, bool, bytes]:
    sample = draw(st.sampled_from(SAMPLES))
    stream = sample.streams and draw(st.booleans())
    return sample, stream, draw(bad_body(sample.body(stream=stream)))


@some
@given(some_request())
def test_requests(open_bench: Bench, drawn: tuple[Sample, bool, bytes]) -> None:
    """A bad request goes up as it is, is answered as always, and is one row."""
    sample, stream, body = drawn
    open_bench.play(json_answer(sample.answer))
    answer = got(open_bench.exchange(request(sample.target(stream=stream), body)))
    [row], [sent] = open_bench.news()
    assert sent.body == body or re.search(rb'"include_usage"\s*:\s*true', sent.body)
    assert answer.body == orjson.dumps(sample.answer)
    assert (row["request_bytes"], row["request_hash"] is None) == (len(body), not body)
    assert_serves(open_bench)


@some
@given(some_request())
def test_requests_with_a_key_at_stake(bench: Bench, drawn: tuple[Sample, bool, bytes]) -> None:
    """A bad request is refused and recorded, or it is JSON that all readers understand alike."""
    sample, stream, body = drawn
    bench.play(json_answer(sample.answer))
    answer = got(bench.exchange(request(sample.target(stream=stream), body)))
    [row], sent = bench.news()
    if row["end_reason"] == "rejected":
        assert (answer.status, row["error"]["type"], sent) == (400, "unclear_body", [])
    else:
        assert not body or isinstance(json.loads(body.decode()), dict)
    assert_serves(bench)


@st.composite
def some_answer(draw: st.DrawFn) -> tuple[Sample, bytes]:
    sample = draw(st.sampled_from(SAMPLES))
    return sample, draw(bad_body(sample.answer))


@some
@given(some_answer(), st.sampled_from([200, 200, 404, 500]), st.sampled_from(CODINGS))
def test_answers(bench: Bench, drawn: tuple[Sample, bytes], status: int, coding: str) -> None:
    """A bad answer reaches the client byte for byte, and is one row."""
    sample, body = drawn
    headers = [f"Content-Encoding: {coding}"] if coding else []
    bench.play(json_answer(body, f"{status} Such", *headers))
    answer = got(bench.exchange(call(sample)))
    row = one_row(bench)
    assert (answer.status, answer.body, answer.complete) == (status, body, True)
    assert (row["status"], row["response_bytes"]) == (status, len(body))
    assert_serves(bench)


@st.composite
def spoiled_stream(draw: st.DrawFn, sample: Sample) -> bytes:
    """Draw a stream with an event spoiled, lost, repeated or moved, or a few bytes wrong."""
    events = list(sample.events)
    at = draw(st.integers(0, len(events) - 1))
    match draw(st.integers(0, 4)):
        case 0:
            head, _, data = events[at].partition(b"data: ")
            value = None if data.startswith(b"[") else orjson.loads(data)
            events[at] = head + b"data: " + as_json(draw(spoiled_json(value))) + b"\n\n"
        case 1:
            del events[at]
        case 2:
            events.insert(draw(st.integers(0, len(events))), events[at])
        case 3:
            events[at] = draw(st.binary(max_size=60))
        case _:
            return draw(spoiled_bytes(b"".join(events)))
    return b"".join(events)


@st.composite
def some_stream(draw: st.DrawFn, samples: list[Sample]) -> tuple[Sample, list[bytes]]:
    """Draw a spoiled stream, sliced."""
    sample = draw(st.sampled_from(samples))
    return sample, draw(sliced(draw(spoiled_stream(sample))))


@more
@given(some_stream(STREAMS))
def test_streams(bench: Bench, drawn: tuple[Sample, list[bytes]]) -> None:
    """A bad stream reaches the client byte for byte, and is one row."""
    sample, pieces = drawn
    body = b"".join(pieces)
    bench.play(sse_head(), *map(chunk, pieces), LAST_CHUNK)
    answer = got(bench.exchange(call(sample, stream=True)))
    row = one_row(bench)
    assert (answer.body, answer.complete) == (body, True)
    assert row["response_bytes"] == len(body) or THE_END.search(body[: row["response_bytes"]])
    assert_serves(bench)


@some
@given(some_stream([CHAT]))
def test_streams_that_are_looked_through_for_usage(
    bench: Bench, drawn: tuple[Sample, list[bytes]]
) -> None:
    """Where usage is filtered, whatever is not usage still arrives, byte for byte."""
    _, pieces = drawn
    body = b"".join(pieces)
    bench.play(sse_head(), *map(chunk, pieces), LAST_CHUNK)
    silent = orjson.dumps({**CHAT.request, "stream": True})
    answer = got(bench.exchange(request(CHAT.path, silent)))
    one_row(bench)
    assert answer.complete
    assert answer.body == body if b"usage" not in body else left_out(body, answer.body)
    assert_serves(bench)


def left_out(whole: bytes, kept: bytes) -> bool:
    """Return whether `kept` is `whole` with some bytes left out, and none added or moved."""
    rest = iter(whole)
    return all(byte in rest for byte in kept)


@st.composite
def some_framing(draw: st.DrawFn) -> tuple[Sample, bytes]:
    sample = draw(st.sampled_from(STREAMS))
    return sample, draw(spoiled_bytes(b"".join(map(chunk, sample.events)) + LAST_CHUNK))


@more
@given(some_framing())
def test_chunk_framing(bench: Bench, drawn: tuple[Sample, bytes]) -> None:
    """Broken framing breaks the client's answer too, or gives 502; no end is ever made up."""
    sample, framed = drawn
    bench.play(sse_head() + framed, Fault.CLOSE)
    answer = got(bench.exchange(call(sample, stream=True)))
    row = one_row(bench)
    assert answer.status == row["status"]
    assert answer.status == 200 or (answer.status, row["response_bytes"]) == (502, 0)
    if answer.status == 200 and answer.complete:
        assert LAST.search(framed)
    elif row["end_reason"] == "completed":
        assert THE_END.search(answer.body)
    assert_serves(bench)


HEAD = json_answer(CHAT.answer, "200 OK", "Date: now", "X-A: b").partition(b"\r\n\r\n")[0]


@more
@given(spoiled_bytes(HEAD))
def test_heads_of_answers(bench: Bench, head: bytes) -> None:
    """A spoiled head is passed on or answered with 502, and is one row in either case."""
    bench.play(head + b"\r\n\r\n" + orjson.dumps(CHAT.answer), Fault.CLOSE)
    answer = got(bench.exchange(GOOD_CALL))
    row = one_row(bench)
    assert answer.status == row["status"]
    assert_serves(bench)


@some
@given(spoiled_bytes(GOOD_CALL))
def test_requests_on_the_wire(bench: Bench, raw: bytes) -> None:
    """A spoiled request is rejected, or waited for, or goes up as one clear request with one row."""
    bench.play(json_answer(CHAT.answer))
    bench.exchange(raw, patience_s=0.1)
    assert len(bench.news().ends) <= 2
    assert_serves(bench)


@pytest.mark.parametrize("depth", [100, 253, 254, 255, 1000, 20_000])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_depth(bench: Bench, depth: int, stream: bool) -> None:
    """A usage nested deeper than a record can be passes as it is, and is one row."""
    deep = b'{"a":' * depth + b"1" + b"}" * depth
    content = b'{"choices":[],"model":"m","usage":{"prompt_tokens":5,"x":' + deep + b"}}"
    if stream:
        bench.play(sse_head(), chunk(event(content)), chunk(event(b"[DONE]")), LAST_CHUNK)
    else:
        bench.play(json_answer(content))
    answer = got(bench.exchange(call(CHAT, stream=stream)))
    row = one_row(bench)
    assert content in answer.body
    assert row["status"] == 200
    assert_serves(bench)
